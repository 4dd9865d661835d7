//! One round: a cluster with its nodes, the operator if the pods are to have ports of ours, and all Deployments from
//! nothing until every pod runs.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::{
    controlplane::Program,
    devcluster::{DevCluster, FakeNodes},
    operator::Operator,
};
use kube::Client;

use crate::{Args, time, usage::Usage, workload, writes::Writes};

/// Whose processor time is printed.
pub(crate) const PROGRAMS: [&str; 6] = ["apiserver", "etcd", "kcm", "scheduler", "kwok", "hostport"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Pods that carry no number.
    NoPort,
    /// The same pods, a number a Deployment written by hand.
    ByHand,
    /// The same pods with numbers of ours.
    Ours,
}

impl Subject {
    pub(crate) const ALL: [Subject; 3] = [Subject::NoPort, Subject::ByHand, Subject::Ours];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Subject::NoPort => "no port",
            Subject::ByHand => "a port by hand",
            Subject::Ours => "hostport",
        }
    }
}

/// A cluster in which all pods run; it ends when this is dropped.
pub(crate) struct Running {
    pub(crate) client: Client,
    pub(crate) operator: Option<Operator>,
    _cluster: DevCluster,
}

pub(crate) struct Round {
    pub(crate) elapsed: Duration,
    pub(crate) writes: Writes,
    pods: usize,
    cpu: [Duration; PROGRAMS.len()],
}

pub(crate) async fn run(args: &Args, subject: Subject) -> Result<(Running, Round)> {
    let cluster = DevCluster::start(args.cluster()).await?;
    let nodes = FakeNodes::reserved("fleet", args.nodes);
    cluster.add_fake_nodes(&nodes).await?;
    let operator = match subject {
        Subject::Ours => {
            Some(Operator::start(&cluster, &["dev", "--webhook-listen", "127.0.0.1:0"], &[]).await?)
        }
        Subject::NoPort | Subject::ByHand => None,
    };
    let client = cluster.client().await?;
    workload::prepare(&client, args, subject).await?;

    let (writes, usage) = (Writes::read(&client).await?, usage(&cluster, operator.as_ref())?);
    let start = Instant::now();
    workload::start(&client, args, subject, &nodes).await?;
    let elapsed = start.elapsed();
    let writes = Writes::read(&client).await?.since(&writes);
    let after = self::usage(&cluster, operator.as_ref())?;
    let cpu = std::array::from_fn(|program| match (after[program], usage[program]) {
        (Some(after), Some(before)) => after.since(&before).cpu,
        _ => Duration::ZERO,
    });
    let round = Round { elapsed, writes, pods: args.pods, cpu };
    Ok((Running { client, operator, _cluster: cluster }, round))
}

/// Of [`PROGRAMS`], in their order; nothing of one that does not run.
fn usage(cluster: &DevCluster, operator: Option<&Operator>) -> Result<[Option<Usage>; PROGRAMS.len()]> {
    let of = |pid: Option<u32>| pid.map(Usage::of).transpose();
    Ok([
        of(cluster.pid(Program::ApiServer))?,
        of(cluster.pid(Program::Etcd))?,
        of(cluster.pid(Program::ControllerManager))?,
        of(cluster.pid(Program::Scheduler))?,
        of(cluster.pid(Program::Kwok))?,
        of(operator.map(Operator::pid))?,
    ])
}

impl Round {
    pub(crate) fn pods_per_second(&self, pods: usize) -> f64 {
        pods as f64 / self.elapsed.as_secs_f64()
    }

    /// Who used how much of the machine, the busiest first: what is above 90 % of all processors is the machine's limit.
    pub(crate) fn bound_by(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let seconds = self.elapsed.as_secs_f64();
        let mut all: Vec<(&str, f64)> =
            PROGRAMS.into_iter().zip(self.cpu.map(|cpu| cpu.as_secs_f64() / seconds)).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let sum: f64 = all.iter().map(|(_, cores)| cores).sum();
        let each: Vec<String> = all.iter().map(|(name, cores)| format!("{name} {cores:.2}")).collect();
        format!("{sum:.2} of {cores} cores used by these programs: {}", each.join(", "))
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, ours) = (self.writes.all() / self.pods as f64, self.writes.ours() / self.pods as f64);
        write!(
            f,
            "{:>8}  {:7.1}  {all:10.2}  {ours:4.2}         ",
            time(self.elapsed),
            self.pods_per_second(self.pods)
        )?;
        for (name, cpu) in PROGRAMS.into_iter().zip(self.cpu) {
            write!(f, "{:>width$.1}  ", cpu.as_secs_f64(), width = name.len())?;
        }
        Ok(())
    }
}
