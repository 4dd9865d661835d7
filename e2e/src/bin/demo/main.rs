//! `cargo demo`: from an empty cluster to a pod with its port, told step by step on a real control plane. This file sets
//! the stage and clears it; what is shown is in `story`.

mod screen;
mod story;
mod visit;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use e2e::ClusterArgs;
use e2e::controlplane::{self, Binaries};
use e2e::devcluster::DevCluster;
use e2e::operator::Operator;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::screen::{Screen, shell_word};
use crate::visit::Visit;

/// Shows what hostport does, on a real Kubernetes control plane that it starts on this machine.
///
/// Builds the control plane (once per machine, about 5 minutes on 2 cores, needs Go) and the operator, starts both,
/// applies the files of examples/ and shows what becomes of them. Then all stays up to play with, until Ctrl-C.
#[derive(Parser)]
#[command(name = "demo", bin_name = "cargo demo", max_term_width = 110)]
struct Cli {
    /// End when the story is told; the exit code tells whether all of it came true
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Address of this machine at which the cluster's API server can call the operator; for --use-current-cluster (with
    /// kind it is the address of the bridge that its containers are on)
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    webhook_address: IpAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    screen::log_warnings_only();
    match run(&cli, Screen::stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("\nInterrupted.");
            ExitCode::from(130)
        }
        // `cargo demo | head` is no error of ours.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli, mut screen: Screen) -> Result<()> {
    let start = Instant::now();
    let own = !cli.cluster.use_current_cluster;
    screen.title("hostport: PersistentVolumes for network ports")?;
    screen.say("")?;
    if own {
        screen.say(&format!("Starting a Kubernetes {} control plane …", controlplane::version()))?;
        // Before signals are ours: Ctrl-C ends a build at once.
        Binaries::find_or_build()?;
    }
    let mut signals = Signals::new()?;
    let cluster = signals.unless_interrupted(cli.cluster.cluster()).await?;
    let visit = if own { None } else { Some(Visit::begin(&cluster).await?) };

    // It has to live until the visit has ended: it takes our finalizers off.
    let mut operator = None;
    let told = signals
        .unless_interrupted(async {
            screen.say("Building and starting the operator (some minutes the first time) …")?;
            let operator = operator.insert(start_operator(&cluster, cli.webhook_address).await?);
            screen.say(&format!("Both are ready after {} s.", start.elapsed().as_secs()))?;
            story::tell(&cluster, &mut screen).await.with_context(|| log_of(operator))?;
            screen.heading("All of it was checked against the API server.")?;
            if !cli.once {
                goodbye(&mut screen, &cluster)?;
            }
            anyhow::Ok(())
        })
        .await;
    let stayed = match (&told, &operator) {
        (Ok(()), Some(operator)) if !cli.once => {
            let stayed = signals.unless_interrupted(stay(&cluster, operator)).await;
            screen.say("\nStopping.")?;
            stayed.or_else(Interrupted::forgive)
        }
        _ => told,
    };
    let left = match visit {
        Some(visit) => signals.unless_interrupted(visit.end(&cluster, &mut screen)).await,
        None => Ok(()),
    };
    stayed.and(left)
}

async fn start_operator(cluster: &DevCluster, address: IpAddr) -> Result<Operator> {
    let listen = std::net::SocketAddr::new(address, 0).to_string();
    Operator::start(cluster, &["dev", "--webhook-listen", &listen], &[]).await
}

/// What a failure of the story adds: the operator's own view of it.
fn log_of(operator: &Operator) -> String {
    let log = std::fs::read_to_string(operator.log()).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(8)..].join("\n");
    format!("the story went wrong; the operator's log ends in:\n{end}\nIt went wrong here")
}

fn goodbye(screen: &mut Screen, cluster: &DevCluster) -> Result<()> {
    let kubeconfig = shell_word(&cluster.kubeconfig().display().to_string());
    let mut setup = format!("  export KUBECONFIG={kubeconfig}\n");
    if let Some(binaries) = cluster.binaries() {
        let dir = shell_word(&binaries.dir().display().to_string());
        setup.push_str(&format!("  export PATH={dir}:$PATH    # kubectl\n"));
    }
    screen.heading("It is yours now, until Ctrl-C here. In another terminal:")?;
    screen.say(&format!(
        "
{setup}
  kubectl get hpcl,hpc,hp                                # classes, claims, ports
  kubectl describe hpc third                             # the story of a claim
  kubectl explain hostportclass.spec                     # every field explains itself
  kubectl apply -f examples/several-ports                # a game server with three ports, two protocols
  kubectl apply -k examples/gitops/platform; kubectl apply -k examples/gitops/overlays/staging
  kubectl delete hpc echo-web --wait=false; kubectl get hpc echo-web -o wide    # a pod uses it: InUse
  kubectl delete pod echo; kubectl get hp -w             # now it goes, and its number rests for a minute"
    ))?;
    if let Some(log) = cluster.is_own().then(|| cluster.dir().join("operator-1.log")) {
        screen.say(&format!("\nThe operator's log: {}", log.display()))?;
    }
    Ok(())
}

/// Until something breaks.
async fn stay(cluster: &DevCluster, operator: &Operator) -> Result<()> {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        look.tick().await;
        if let Some(died) = cluster.died() {
            return Err(died).context("the cluster is broken and is stopped");
        }
        if let Some(status) = operator.exited() {
            bail!("the operator ended ({status}); {}", log_of(operator));
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// Ctrl-C or SIGTERM came.
#[derive(Debug)]
struct Interrupted;

impl Interrupted {
    /// What it is where everybody waits for it: no error.
    fn forgive(error: anyhow::Error) -> Result<()> {
        if error.is::<Interrupted>() { Ok(()) } else { Err(error) }
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn unless_interrupted<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            _ = self.interrupt.recv() => Err(Interrupted.into()),
            _ = self.terminate.recv() => Err(Interrupted.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_story_comes_true() {
        let cli = Cli::parse_from(["demo", "--once"]);
        if cli.cluster.use_current_cluster {
            return; // The other tests have hostport there: it is no place for a demo.
        }

        run(&cli, Screen::dark()).await.unwrap();
    }
}
