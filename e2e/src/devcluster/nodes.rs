//! Real nodes: a kubelet, a kube-proxy and a containerd each, in namespaces of their own on this machine. Containers run
//! and ports open, at addresses that this machine reaches. Nothing of it outlives the process that has started it.

mod addresses;
mod cgroups;
mod config;
mod making;
mod network;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::api::Api;
use rustix::process::{Pid, Signal, kill_process};

use super::{DevCluster, User, credentials, fake_nodes};
use crate::guarded::Guarded;
use crate::kubelet::NodePrograms;
use crate::machine::Machine;
use cgroups::Cgroups;
use making::Making;
pub(super) use network::Network;
use network::run;

/// How long a daemon may take to be back, with the machine busy.
const BACK: Duration = Duration::from_secs(60);

/// A running node; killed when dropped, with all its containers.
#[derive(Debug)]
pub struct Node {
    name: String,
    address: Ipv4Addr,
    /// Holds the namespaces. The first process in them is its child.
    process: Guarded,
}

/// All nodes of a cluster. Dropped in this order: nothing is taken away from under a node.
#[derive(Debug)]
pub(super) struct Nodes {
    all: Vec<Node>,
    _cgroups: Cgroups,
    _network: Network,
}

impl DevCluster {
    /// The real nodes of this cluster, as many as [`super::Options::nodes`] says.
    pub fn nodes(&self) -> &[Node] {
        self.nodes.as_ref().map_or(&[], |nodes| &nodes.all)
    }

    /// Kills the kubelet of a node with -9; returns when another one has told the API server that the node is alive.
    pub async fn restart_kubelet(&self, node: &Node) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client().await?, "kube-node-lease");
        let renewed = async || {
            // A node may be Ready a moment before its first lease.
            let lease = leases.get_opt(&node.name).await?;
            anyhow::Ok(lease.and_then(|lease| lease.spec?.renew_time).map(|time| time.0))
        };
        let old = node.daemon("kubelet").await?;
        node.run(&["kill", "-9", &old]).await?;
        let killed = renewed().await?;
        crate::eventually(BACK, "the kubelet to be back", async || {
            ensure!(node.daemon("kubelet").await? != old, "no other has been started");
            ensure!(renewed().await? > killed, "it has not renewed its lease");
            Ok(())
        })
        .await
    }

    /// Starts this many nodes and returns when all are Ready.
    pub(super) async fn start_nodes(&self, network: Network, count: usize) -> Result<Nodes> {
        let start = Instant::now();
        let making = Making {
            machine: Machine::check()?,
            programs: tokio::task::spawn_blocking(NodePrograms::find_or_build).await??,
            dir: self.dir(),
            network: &network,
            count: u8::try_from(count)?,
        };
        let dir = self.dir().to_owned();
        tokio::task::spawn_blocking(move || making::write_images(&dir)).await??;

        let names: Vec<String> = (1..=making.count).map(|number| making.cgroup(number)).collect();
        let cgroups = Cgroups::create(&names)?;
        let mut all = Vec::new();
        for number in 1..=making.count {
            all.push(making.start(number).await.with_context(|| format!("start {}", name(number)))?);
        }
        network.route_services(1).await?;
        let nodes = Nodes { all, _cgroups: cgroups, _network: network };

        self.until("the nodes to be Ready", || self.all_are_ready(&nodes)).await?;
        tracing::info!("{count} nodes are Ready after {:.1?}", start.elapsed());
        Ok(nodes)
    }

    async fn all_are_ready(&self, nodes: &Nodes) -> Result<()> {
        let api: Api<ApiNode> = Api::all(self.client().await?);
        for node in &nodes.all {
            if let Some(died) = node.died() {
                return Err(died);
            }
            let found = api.get_opt(&node.name).await?;
            let log = self.dir().join(&node.name).join("kubelet.log");
            ensure!(
                found.as_ref().is_some_and(fake_nodes::is_ready),
                "{} is not, see {}",
                node.name,
                log.display()
            );
        }
        Ok(())
    }
}

impl Node {
    /// As the API has it: `node-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its ports are, for this machine and all in the cluster.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs a command inside the node, as root, and returns what it printed.
    pub async fn run(&self, command: &[&str]) -> Result<String> {
        let entry = self.entry();
        let entry: Vec<&str> = entry.iter().map(String::as_str).collect();
        run("nsenter", &[&entry[..], command].concat()).await
    }

    /// Gives the node the images of an OCI archive, so that pods can use them: no registry is asked for what is there.
    pub async fn import(&self, archive: &Path) -> Result<()> {
        let file = fs::File::open(archive).with_context(|| format!("open {}", archive.display()))?;
        let mut command = tokio::process::Command::new("nsenter");
        command.args(self.entry()).args(["ctr", "--namespace", "k8s.io", "images", "import", "-"]);
        command.stdin(Stdio::from(file)).kill_on_drop(true);
        let output = command.output().await.context("run nsenter")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} cannot import {}: {}",
            self.name,
            archive.display(),
            complaint.trim_end()
        );
        Ok(())
    }

    /// The process id that a daemon has in the node.
    async fn daemon(&self, name: &str) -> Result<String> {
        Ok(self.run(&["cat", &format!("/run/node/{name}.pid")]).await?.trim().to_owned())
    }

    /// How to get inside.
    fn entry(&self) -> Vec<String> {
        let pid = self.process.pid();
        let processes = format!("--pid=/proc/{pid}/ns/pid_for_children");
        ["--target", &pid.to_string(), "--net", "--mount", "--uts", &processes, "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// An error if the node has ended by itself.
    pub(super) fn died(&self) -> Option<anyhow::Error> {
        let status = self.process.exited()?;
        let log = self.process.log().display();
        Some(anyhow::anyhow!(
            "{} ended ({status}); the end of {log}:\n{}",
            self.name,
            self.process.log_tail(15)
        ))
    }
}

impl Drop for Node {
    /// The kernel ends a node whose first process has ended, and that process has ended only when all others have.
    fn drop(&mut self) {
        let pid = self.process.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        if let Some(first) = first.and_then(Pid::from_raw).filter(|_| self.process.exited().is_none()) {
            let _ = kill_process(first, Signal::KILL);
            self.process.wait_until(Instant::now() + Duration::from_secs(10));
        }
    }
}

/// Users for the nodes, one each, and for the kube-proxies.
pub(super) fn users(count: usize) -> Vec<User> {
    let mut users: Vec<User> = (1..=count as u8).map(user).collect();
    if count > 0 {
        users.push(User { name: credentials::KUBE_PROXY.to_owned(), groups: Vec::new() });
    }
    users
}

/// An error if this machine cannot have so many, before anything has been started.
pub(super) fn check(count: usize) -> Result<()> {
    let most = addresses::MOST_NODES;
    ensure!(
        count <= most,
        "{count} real nodes are too many, {most} are possible; fake ones can be thousands"
    );
    Machine::check().map(drop)
}

fn name(number: u8) -> String {
    format!("node-{number}")
}

fn user(number: u8) -> User {
    User { name: format!("system:node:{}", name(number)), groups: vec!["system:nodes".to_owned()] }
}
