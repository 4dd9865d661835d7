//! What a fleet costs: Deployments of many pods on nodes that are played, each pod with a port, beside the same pods
//! without us in the same run; whether all of it is right, also after a rolling update and after a stop; and how many
//! claims there can be. A program that prints tables and says of each goal whether it was reached.

mod claims;
mod proof;
mod round;
#[path = "../common/samples.rs"]
mod samples;
#[path = "../common/usage.rs"]
mod usage;
mod workload;
mod writes;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use e2e::devcluster::Options;

use crate::round::{Round, Subject};

/// What Agones' documentation says of a large cluster: game servers that become ready in a minute.
const AGONES_PER_MINUTE: f64 = 10_000.0;

/// Runs a fleet on fake nodes and prints what it costs.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// How many fake nodes there are.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// How many pods there are, shared out evenly among the Deployments.
    #[arg(long, default_value_t = 3_000)]
    pods: usize,
    /// How many Deployments.
    #[arg(long, default_value_t = 30)]
    deployments: usize,
    /// Rounds of each kind of pods, taken in turns, each on a cluster of its own.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Give kube-controller-manager the limits that it has by default (20 requests a second, 5 ReplicaSets at a time)
    /// instead of those of a test cluster (500 and 20).
    #[arg(long)]
    default_limits: bool,
    /// How many claims are bound at last, in a cluster of their own; 0 leaves that out.
    #[arg(long, default_value_t = 100_000)]
    claims: usize,
    /// How many claims are created at once.
    #[arg(long, default_value_t = 64)]
    workers: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// How many pods each Deployment has.
    fn replicas(&self) -> usize {
        self.pods / self.deployments
    }

    fn cluster(&self) -> Options {
        let limits = [
            "--kube-api-qps=20",
            "--kube-api-burst=30",
            "--concurrent-deployment-syncs=5",
            "--concurrent-replicaset-syncs=5",
        ];
        let limits = limits.iter().filter(|_| self.default_limits);
        Options {
            controller_manager_args: limits.map(|&limit| limit.to_owned()).collect(),
            ..Options::default()
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    e2e::init();
    ensure!(
        args.deployments > 0 && args.pods.is_multiple_of(args.deployments),
        "--pods is shared out evenly"
    );
    ensure!(args.replicas() <= args.nodes, "a Deployment has at most as many pods as there are nodes");
    println!(
        "{} pods by {} Deployments on {} fake nodes; API server, etcd, kwok and the load on the same machine",
        args.pods, args.deployments, args.nodes
    );

    let rounds = rounds(&args).await?;
    ratios(&args, &rounds);
    if args.claims > 0 {
        claims::measure(args.claims, args.workers).await?;
    }
    Ok(())
}

/// All rounds; the last one with ports goes on to the proof before its cluster ends.
async fn rounds(args: &Args) -> Result<Vec<(Subject, Round)>> {
    println!(
        "\npods with      round     all run   pods/s  writes/pod  ours  CPU s: {}",
        round::PROGRAMS.join("  ")
    );
    let mut all = Vec::new();
    for number in 1..=args.rounds {
        for subject in Subject::ALL {
            let (running, measured) = round::run(args, subject).await?;
            println!("{:14} {number:5}  {measured}", subject.title());
            all.push((subject, measured));
            if number == args.rounds && subject == Subject::Ours {
                writes::print(&all[all.len() - 1].1.writes, args.pods);
                proof::prove(args, &running).await?;
            }
        }
    }
    Ok(all)
}

fn ratios(args: &Args, rounds: &[(Subject, Round)]) {
    let median = |subject: Subject| {
        let of = rounds.iter().filter(|(of, _)| *of == subject);
        let mut speeds: Vec<f64> = of.map(|(_, round)| round.pods_per_second(args.pods)).collect();
        speeds.sort_by(f64::total_cmp);
        speeds[speeds.len() / 2]
    };
    let ours = median(Subject::Ours);
    println!("\npods with ports per second, medians of {} rounds:", args.rounds);
    for (subject, what) in
        [(Subject::NoPort, "pods without a port"), (Subject::ByHand, "pods with a port by hand")]
    {
        let ratio = ours / median(subject);
        let passed = if ratio >= 0.7 { "pass" } else { "MISS" };
        println!("  of {what:25} {ratio:5.2}   (to reach: 0.70)  {passed}");
    }
    let share = ours * 60.0 / AGONES_PER_MINUTE * 100.0;
    println!(
        "  {ours:.0} a second are {:.0} a minute: {share:.0} % of the {AGONES_PER_MINUTE} game servers a minute that Agones \
         documents for a large cluster",
        ours * 60.0
    );
    if let Some((_, round)) = rounds.iter().rev().find(|(subject, _)| *subject == Subject::Ours) {
        println!("  bound by: {}", round.bound_by());
    }
}

/// `1m07s`, or with tenths below a minute.
fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{}m{:02.0}s", time.as_secs() / 60, seconds % 60.0)
    }
}
