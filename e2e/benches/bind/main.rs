//! How fast claims are bound, against the least that anyone could do: a null operator in the same language with
//! the same client, in the same run. A program that prints a table, not a timed test.

#[path = "../common/load.rs"]
mod load;
mod null;
mod process;
#[path = "../common/samples.rs"]
mod samples;
#[path = "../common/usage.rs"]
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use e2e::{
    controlplane::Program,
    devcluster::{DevCluster, Options},
    operator::Operator,
};

use crate::{
    load::{Load, Writes},
    process::Child,
    usage::Usage,
};

/// Binds claims on a devcluster and prints throughput, latency, writes and footprint beside a null operator's.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// How many claims each round binds.
    #[arg(long, default_value_t = 3000)]
    claims: usize,
    /// How many of them are created at once.
    #[arg(long, default_value_t = 64)]
    workers: usize,
    /// Rounds of each operator, taken in turns, each on a cluster of its own.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Instead: how the time per claim grows, in steps of 1,000 up to this many held ports.
    #[arg(long, value_name = "PORTS")]
    held: Option<usize>,
    /// Instead: both operators at the same time, each on a cluster of its own, and what a bind costs in processor time.
    /// Whatever else the machine does hits both alike.
    #[arg(long)]
    side_by_side: bool,
    /// Be the null operator (used by the benchmark itself).
    #[arg(long, hide = true)]
    null_operator: bool,
    /// Also a null operator whose objects are as ours: it watches HostPorts, and writes the same labels and status.
    #[arg(long)]
    alike: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Null,
    Alike,
    Hostport,
}

struct Round {
    binds_per_second: f64,
    p50: Duration,
    p99: Duration,
    writes_per_bind: f64,
    usage: Usage,
    /// Processor time of the API server, milliseconds per bind.
    api_server: f64,
    /// The same of etcd.
    etcd: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    e2e::init();
    if args.null_operator {
        return null::run(args.alike).await;
    }
    match args.held {
        Some(held) => growth(&args, held).await,
        None if args.side_by_side => side_by_side(&args).await,
        None => rounds(&args).await,
    }
}

async fn rounds(args: &Args) -> Result<()> {
    println!(
        "{} claims, {} workers; API server, etcd and the load on the same machine",
        args.claims, args.workers
    );
    println!("operator  round   binds/s  p50 ms  p99 ms  writes/bind  CPU s  RSS MiB  API server ms/bind");
    let mut all = Vec::new();
    for round in 1..=args.rounds {
        let mut subjects = vec![Subject::Null, Subject::Alike, Subject::Hostport];
        subjects.retain(|subject| *subject != Subject::Alike || args.alike);
        // By turns without a period (Thue–Morse): what the machine does meanwhile hits them alike.
        if round.count_ones() % 2 == 0 {
            subjects.reverse();
        }
        for subject in subjects {
            let measured = one_round(args, subject).await?;
            println!(
                "{:8}  {round:5}  {:8.1}  {:6}  {:6}  {:11.3}  {:5.2}  {:7.1}  {:18.2}",
                subject.name(),
                measured.binds_per_second,
                measured.p50.as_millis(),
                measured.p99.as_millis(),
                measured.writes_per_bind,
                measured.usage.cpu.as_secs_f64(),
                measured.usage.rss_mib,
                measured.api_server,
            );
            all.push((subject, measured));
        }
    }
    let median_of = |subject, what: fn(&Round) -> f64| {
        median(all.iter().filter(|(of, _)| *of == subject).map(|(_, round)| what(round)).collect())
    };
    let ratio = |what| median_of(Subject::Hostport, what) / median_of(Subject::Null, what);
    let alike = |what| median_of(Subject::Hostport, what) / median_of(Subject::Alike, what);
    let of =
        |subject| all.iter().filter(move |(of, _)| *of == subject).map(|(_, round)| round.binds_per_second);
    let neighbours = of(Subject::Hostport).zip(of(Subject::Null)).map(|(ours, null)| ours / null).collect();
    println!("\nhostport / null, medians of {} rounds:", args.rounds);
    println!("  throughput  {:.2}  (to reach: 0.95)", ratio(|round| round.binds_per_second));
    println!("  within a round: {:.2}", median(neighbours));
    if args.alike {
        println!("  of the one with objects as ours: {:.2}", alike(|round| round.binds_per_second));
    }
    println!("  p99         {:.2}", ratio(|round| round.p99.as_secs_f64()));
    println!("  CPU         {:.2}", ratio(|round| round.usage.cpu.as_secs_f64()));
    println!("  API server  {:.2}", ratio(|round| round.api_server));
    println!(
        "hostport: {:.3} writes a bind (to reach: 2.0)",
        median_of(Subject::Hostport, |round| round.writes_per_bind)
    );
    println!(
        "hostport: {:.1} MiB RSS (to reach: 25 at 3,000)",
        median_of(Subject::Hostport, |round| round.usage.rss_mib)
    );
    Ok(())
}

async fn side_by_side(args: &Args) -> Result<()> {
    println!(
        "{} claims, {} workers for each of two clusters at once; milliseconds per bind",
        args.claims, args.workers
    );
    println!("operator  round  operator  API server    etcd     all");
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        let (null, ours) =
            tokio::try_join!(one_round(args, Subject::Null), one_round(args, Subject::Hostport))?;
        for (subject, it) in [(Subject::Null, &null), (Subject::Hostport, &ours)] {
            let (operator, all) = (it.operator(args), it.all(args));
            println!(
                "{:8}  {round:5}  {operator:8.2}  {:10.2}  {:6.2}  {all:6.2}",
                subject.name(),
                it.api_server,
                it.etcd
            );
        }
        ratios.push(null.all(args) / ours.all(args));
    }
    println!("\nnull / hostport, all, median of {} rounds: {:.2}", args.rounds, median(ratios));
    Ok(())
}

impl Round {
    /// Processor time of the operator, milliseconds per bind.
    fn operator(&self, args: &Args) -> f64 {
        self.usage.cpu.as_secs_f64() * 1000.0 / args.claims as f64
    }

    /// Of all that a bind goes through, milliseconds.
    fn all(&self, args: &Args) -> f64 {
        self.operator(args) + self.api_server + self.etcd
    }
}

async fn one_round(args: &Args, subject: Subject) -> Result<Round> {
    let cluster = DevCluster::start(Options::default()).await?;
    let load = Load::prepare(&cluster, args.workers, (1024, 65535)).await?;
    let running = subject.start(&cluster).await?;
    // A few claims first: connections, caches and the API server's own start are not what is measured.
    load.bind(0, 100).await?;
    let of = |program| Usage::of(cluster.pid(program).context("a part of the cluster has ended")?);
    let (before, usage) = (Writes::read(&load.client).await?, running.usage()?);
    let (served, stored) = (of(Program::ApiServer)?, of(Program::Etcd)?);
    let times = load.bind(100, args.claims).await?;
    let writes = Writes::read(&load.client).await?.since(&before);
    Ok(Round {
        binds_per_second: args.claims as f64 / times.whole.as_secs_f64(),
        p50: times.percentile(50.0),
        p99: times.percentile(99.0),
        // The load's own creates are not the operator's.
        writes_per_bind: (writes.all() - args.claims as f64) / args.claims as f64,
        usage: running.usage()?.since(&usage),
        api_server: of(Program::ApiServer)?.since(&served).cpu.as_secs_f64() * 1000.0 / args.claims as f64,
        etcd: of(Program::Etcd)?.since(&stored).cpu.as_secs_f64() * 1000.0 / args.claims as f64,
    })
}

async fn growth(args: &Args, held: usize) -> Result<()> {
    const STEP: usize = 1000;
    println!("time per claim while the ports held grow, {} workers, ms", args.workers);
    println!("held      null  hostport  hostport/null");
    let mut columns = Vec::new();
    for subject in [Subject::Null, Subject::Hostport] {
        let cluster = DevCluster::start(Options::default()).await?;
        let load = Load::prepare(&cluster, args.workers, (1024, 65535)).await?;
        let running = subject.start(&cluster).await?;
        load.bind(0, 100).await?;
        let mut column = Vec::new();
        for step in 0..held / STEP {
            let start = Instant::now();
            load.bind(100 + step * STEP, STEP).await?;
            column.push(start.elapsed().as_secs_f64() * 1000.0 / STEP as f64);
        }
        let usage = running.usage()?;
        eprintln!("{}: {:.1} MiB RSS, {:.1} CPU s", subject.name(), usage.rss_mib, usage.cpu.as_secs_f64());
        columns.push(column);
    }
    for (step, (null, ours)) in columns[0].iter().zip(&columns[1]).enumerate() {
        println!("{:6}  {null:6.2}  {ours:8.2}  {:13.2}", (step + 1) * STEP, ours / null);
    }
    Ok(())
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Null => "null",
            Subject::Alike => "alike",
            Subject::Hostport => "hostport",
        }
    }

    async fn start(self, cluster: &DevCluster) -> Result<Child> {
        match self {
            Subject::Null => Child::null(&["--null-operator"], cluster.kubeconfig()),
            Subject::Alike => Child::null(&["--null-operator", "--alike"], cluster.kubeconfig()),
            Subject::Hostport => Ok(Child::Operator(Operator::start(cluster, &["controller"], &[]).await?)),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
