//! `cargo devcluster`: a Kubernetes control plane for development, without containers, stopped by Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use e2e::controlplane::Binaries;
use e2e::devcluster::{self, DevCluster, FakeNodes, Options};
use e2e::helm::Helm;
use e2e::kubelet::NodePrograms;
use e2e::kwok::Kwok;
use e2e::machine::Machine;
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on this machine: API server, etcd, controller manager, scheduler; and nodes if you ask
/// for them, real or fake ones.
///
/// The binaries come from KUBEBUILDER_ASSETS (a folder with kube-apiserver, etcd and kubectl) or are built from source,
/// once per machine: that needs Go and takes about 5 minutes on 2 cores.
#[derive(Parser)]
#[command(name = "devcluster", bin_name = "cargo devcluster")]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Start an empty cluster, print how to use it, and stay until Ctrl-C or SIGTERM
    Up(Up),
    /// Stop a cluster that was started in another terminal
    Down(Place),
    /// Only build the binaries, and print the folder they are in
    Build(Build),
}

#[derive(clap::Args)]
struct Up {
    #[command(flatten)]
    place: Place,
    /// Add this many real nodes, in namespaces of this machine: containers run and ports open
    ///
    /// It needs root, containerd, runc and CNI plugins; `cargo devcluster build --nodes` installs what is missing. Nodes
    /// have no registry and no DNS: give them images with --import.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    nodes: usize,
    /// Give the real nodes the images of this OCI archive, such as that of `cargo image`; may be repeated
    #[arg(long, value_name = "FILE", requires = "nodes")]
    import: Vec<PathBuf>,
    /// Add this many nodes that exist in the API only, played by kwok: pods on them say Running, but no container starts
    /// and no port opens
    ///
    /// kwok is built from source the first time, once per machine: about 2 minutes on 2 cores.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    fake_nodes: usize,
}

#[derive(clap::Args)]
struct Build {
    /// Also build what real nodes run (it prints one more folder), and install with apt-get what they need
    #[arg(long)]
    nodes: bool,
    /// Also build kwok, which plays fake nodes; it prints one more folder
    #[arg(long)]
    fake_nodes: bool,
    /// Also build Helm; it prints one more folder
    #[arg(long)]
    helm: bool,
}

#[derive(clap::Args)]
struct Place {
    /// Folder for the cluster's data, logs and kubeconfig [default: devcluster in the cache folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(self) -> Result<PathBuf> {
        self.dir.map_or_else(devcluster::default_dir, Ok)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let command = Cli::parse().command;
    e2e::init();
    match command {
        What::Up(up) => self::up(up).await,
        What::Down(place) => down(place.dir()?).await,
        What::Build(build) => self::build(&build),
    }
}

fn build(build: &Build) -> Result<()> {
    println!("{}", Binaries::find_or_build()?.dir().display());
    if build.fake_nodes {
        println!("{}", Kwok::find_or_build()?.dir().display());
    }
    if build.helm {
        println!("{}", Helm::find_or_build()?.dir().display());
    }
    if build.nodes {
        println!("{}", NodePrograms::find_or_build()?.dir().display());
        // What is built is of use on a machine that cannot run it, but for tests in CI.
        if let Err(cannot) = Machine::prepare() {
            ensure!(!e2e::is_ci(), cannot);
            eprintln!("Built, but no real node can run here: {cannot:#}");
        }
    }
    Ok(())
}

async fn up(up: Up) -> Result<()> {
    let down = match &up.place.dir {
        Some(dir) => format!("cargo devcluster down --dir {}", shell_word(&dir.display().to_string())),
        None => "cargo devcluster down".to_owned(),
    };
    let dir = up.place.dir()?;
    // Before signals are ours: Ctrl-C ends a build at once.
    let binaries = Binaries::find_or_build()?;
    if up.fake_nodes > 0 {
        Kwok::find_or_build()?;
    }
    if up.nodes > 0 {
        Machine::check()?;
        NodePrograms::find_or_build()?;
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let asked_to_end = async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };

    let run = async {
        let options = Options { dir: Some(dir), nodes: up.nodes, ..Options::default() };
        let cluster = DevCluster::start(options).await?;
        for node in cluster.nodes() {
            for archive in &up.import {
                node.import(archive).await?;
            }
            eprintln!("{} has address {}", node.name(), node.address());
        }
        if up.fake_nodes > 0 {
            let nodes = FakeNodes { name: "fake".to_owned(), numbers: 0..up.fake_nodes, reserved: false };
            cluster.add_fake_nodes(&nodes).await?;
        }
        eprintln!("The cluster is up, until Ctrl-C here or `{down}`. In another terminal:\n");
        println!("export KUBECONFIG={}", shell_word(&cluster.kubeconfig().display().to_string()));
        println!("export PATH={}:$PATH  # kubectl", shell_word(&binaries.dir().display().to_string()));
        eprintln!(
            "\nThere is no hostport in it yet: `cargo run -p hostport -- dev --log-format text` installs and runs it."
        );

        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            look.tick().await;
            if let Some(died) = cluster.died() {
                return Err(died).context("the cluster is broken and is stopped");
            }
        }
    };
    tokio::select! {
        failed = run => failed,
        () = asked_to_end => {
            eprintln!("The cluster is stopped.");
            Ok(())
        }
    }
}

async fn down(dir: PathBuf) -> Result<()> {
    match devcluster::stop(&dir).await? {
        Some(pid) => eprintln!("Stopped the cluster in {} (process {pid}).", dir.display()),
        None => eprintln!("No cluster runs in {}.", dir.display()),
    }
    Ok(())
}

/// Quoted if the shell would take it apart.
fn shell_word(text: &str) -> String {
    if text.chars().all(|c| c.is_alphanumeric() || "/._-+@%:,=".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
