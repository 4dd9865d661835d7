//! What a large cluster costs: how soon a restarted controller is ready in it, what it weighs, what it does in an idle
//! minute, and what a bind costs there beside an empty cluster of the same run. A program that prints a table.

#[path = "../common/load.rs"]
mod load;
mod restart;
#[path = "../common/samples.rs"]
mod samples;
mod state;
#[path = "../common/usage.rs"]
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use e2e::devcluster::{DevCluster, Options};
use e2e::operator::Operator;

use crate::load::{Load, Writes};
use crate::state::State;
use crate::usage::Usage;

/// Numbers from here on are of the class in which binds are measured.
const MEASURED: (u16, u16) = (60_001, 65_500);

/// Loads a cluster, restarts the controller in it and prints what that costs beside the goals.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// How many bound claims there are.
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    claims: u16,
    /// How many pods carry a port of one of them.
    #[arg(long, default_value_t = 20_000)]
    pods: u16,
    /// How many requests the loader and the binds have under way at once.
    #[arg(long, default_value_t = 64)]
    workers: usize,
    /// How long the idle minute is.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    idle: u64,
    /// Rounds of binds, in turns in the empty and in the full cluster.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Binds a round.
    #[arg(long, default_value_t = 500)]
    binds: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A cluster with a controller that is ready.
struct Side {
    load: Load,
    controller: Operator,
    /// Claims made so far.
    made: usize,
    cluster: DevCluster,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    e2e::init();
    let binds = args.rounds * args.binds + 200;
    ensure!(binds <= usize::from(MEASURED.1 - MEASURED.0), "there are no {binds} ports left to be measured");
    println!("{} bound claims, {} pods with host ports, no nodes", args.claims, args.pods);
    println!("API server, etcd and the load on the same machine\n");

    let mut full = full(&args).await?;
    let (restarted, idle) = {
        let restarted = restart::measure(&mut full).await?;
        (restarted, idle(&full, Duration::from_secs(args.idle)).await?)
    };
    let mut empty = empty(&args).await?;
    let ratio = binds_cost(&args, &mut empty, &mut full).await?;
    let at_last = Usage::of(full.controller.pid())?;

    println!("\n                              measured     goal");
    let goal = |what: &str, measured: String, goal: &str, passed: bool| {
        println!("{what:28}  {measured:>9}  {goal:>9}  {}", if passed { "pass" } else { "MISS" });
    };
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let second = Duration::from_secs(1);
    goal("restart to /readyz 200", seconds(restarted.ready), "< 10 s", restarted.ready < 10 * second);
    goal("restart to the first bind", seconds(restarted.bound), "< 10 s", restarted.bound < 10 * second);
    let rss = idle.usage.rss_mib.max(at_last.rss_mib);
    goal("memory (RSS)", format!("{rss:.1} MiB"), "< 150 MiB", rss < 150.0);
    goal(
        "memory at its peak (VmHWM)",
        format!("{:.1} MiB", restarted.peak_mib),
        "< 150 MiB",
        restarted.peak_mib < 150.0,
    );
    goal("writes while idle", format!("{}", idle.writes), "0", idle.writes == 0.0);
    let core = idle.usage.cpu.as_secs_f64() / idle.time.as_secs_f64() * 100.0;
    goal("CPU while idle, of a core", format!("{core:.2} %"), "< 1 %", core < 1.0);
    goal("a bind, of the empty cluster", format!("{ratio:.2}"), "<= 1.15", ratio <= 1.15);
    Ok(())
}

/// A cluster with that many claims and pods, and a controller that has looked at all of them.
async fn full(args: &Args) -> Result<Side> {
    let cluster = DevCluster::start(Options::default()).await?;
    let load = Load::prepare(&cluster, args.workers, MEASURED).await?;
    let state =
        State { client: load.client.clone(), claims: args.claims, pods: args.pods, workers: args.workers };
    // What one grant looks like is taken from the controller, so that there is nothing in the others to be put right.
    let controller = Operator::start(&cluster, &["controller"], &[]).await?;
    let pattern = state.pattern().await?;
    load.bind(0, 100).await?;
    drop(controller);

    let start = Instant::now();
    state.load(&pattern).await?;
    println!(
        "loaded in {:.0?}: each claim, HostPort and status written directly, as the controller writes them, not by it",
        start.elapsed()
    );
    let before = Writes::read(&load.client).await?;
    let start = Instant::now();
    let controller = Operator::start(&cluster, &["controller"], &[]).await?;
    let ready = start.elapsed();
    restart::settled(&load.client).await?;
    let writes = Writes::read(&load.client).await?.since(&before).all();
    println!("first start: ready after {ready:.1?}, {writes} writes until all was settled");
    ensure!(writes < 500.0, "the controller does not agree with what was loaded: this measures nothing");
    Ok(Side { load, controller, made: 100, cluster })
}

async fn empty(args: &Args) -> Result<Side> {
    let cluster = DevCluster::start(Options::default()).await?;
    let load = Load::prepare(&cluster, args.workers, MEASURED).await?;
    let controller = Operator::start(&cluster, &["controller"], &[]).await?;
    load.bind(0, 100).await?;
    Ok(Side { load, controller, made: 100, cluster })
}

struct Idle {
    time: Duration,
    writes: f64,
    usage: Usage,
}

async fn idle(side: &Side, time: Duration) -> Result<Idle> {
    restart::settled(&side.load.client).await?;
    let (start, pid) = (Instant::now(), side.controller.pid());
    let (writes, usage) = (Writes::read(&side.load.client).await?, Usage::of(pid)?);
    tokio::time::sleep(time).await;
    let usage = Usage::of(pid)?.since(&usage);
    let writes = Writes::read(&side.load.client).await?.since(&writes).all();
    Ok(Idle { time: start.elapsed(), writes, usage })
}

/// Time per bind in the full cluster, of that in the empty one: the median of the rounds' ratios.
async fn binds_cost(args: &Args, empty: &mut Side, full: &mut Side) -> Result<f64> {
    println!("\n{} binds a round, {} workers", args.binds, args.workers);
    println!("round    empty: ms/bind  p50 ms  CPU ms/bind     full: ms/bind  p50 ms  CPU ms/bind    ratio");
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        let (of_empty, of_full) = (empty.bind(args.binds).await?, full.bind(args.binds).await?);
        let ratio = of_full[0] / of_empty[0];
        let [columns_of_empty, columns_of_full] =
            [of_empty, of_full].map(|it| format!("{:14.2}  {:6.0}  {:11.3}", it[0], it[1], it[2]));
        println!("{round:5}  {columns_of_empty}    {columns_of_full}    {ratio:5.2}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios[ratios.len() / 2])
}

impl Side {
    /// Milliseconds per bind, in the middle from create to Bound, and of CPU per bind.
    async fn bind(&mut self, count: usize) -> Result<[f64; 3]> {
        let before = Usage::of(self.controller.pid())?;
        let times = self.load.bind(self.made, count).await?;
        self.made += count;
        let usage = Usage::of(self.controller.pid())?.since(&before);
        let each = |time: Duration| time.as_secs_f64() * 1000.0 / count as f64;
        Ok([each(times.whole), times.percentile(50.0).as_secs_f64() * 1000.0, each(usage.cpu)])
    }
}
