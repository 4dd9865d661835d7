//! Real nodes: a kubelet, a kube-proxy and a containerd each, in namespaces of their own on this machine. Containers run
//! and ports open, at addresses that this machine reaches. Nothing of it outlives the process that has started it.

mod addresses;
mod cgroups;
mod config;
mod network;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::api::Api;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{DevCluster, User, credentials, fake_nodes};
use crate::guarded::{self, Guarded};
use crate::image::{self, StaticProgram};
use crate::kubelet::{self, NodePrograms};
use crate::machine::Machine;
use cgroups::Cgroups;
pub(super) use network::Network;
use network::{has_own_namespace, run};

const INIT: &str = include_str!("nodes/init.sh");

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

/// What all nodes have in common.
struct Common<'a> {
    machine: Machine,
    programs: NodePrograms,
    dir: &'a Path,
    network: &'a Network,
    count: u8,
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
            let lease = leases.get(&node.name).await?;
            anyhow::Ok(lease.spec.and_then(|spec| spec.renew_time).map(|time| time.0))
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
        let common = Common {
            machine: Machine::check()?,
            programs: tokio::task::spawn_blocking(NodePrograms::find_or_build).await??,
            dir: self.dir(),
            network: &network,
            count: u8::try_from(count)?,
        };
        tokio::task::spawn_blocking({
            let dir = self.dir().to_owned();
            move || write_images(&dir)
        })
        .await??;

        let names: Vec<String> = (1..=common.count).map(|number| common.cgroup(number)).collect();
        let cgroups = Cgroups::create(&names)?;
        let mut all = Vec::new();
        for number in 1..=common.count {
            all.push(common.start(number).await.with_context(|| format!("start {}", name(number)))?);
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

impl Common<'_> {
    async fn start(&self, number: u8) -> Result<Node> {
        let (name, addresses) = (name(number), self.network.addresses());
        let address = addresses.node(number);
        let home = self.dir.join(&name);
        self.furnish(&home, number)?;

        let mut command = guarded::command("unshare");
        command.args(["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "--", "/bin/sh", "-c", INIT]).current_dir(&home);
        command.env("NODE_NAME", &name).env("NODE_ADDRESS", address.to_string());
        command.env("NODE_GATEWAY", addresses.host().to_string());
        super::remove_proxies(&mut command);
        let process = Guarded::spawn(&name, command, self.dir.join(format!("{name}.log")))?;
        has_own_namespace(&process).await?;
        self.network.connect(number, process.pid()).await?;
        Ok(Node { name, address, process })
    }

    /// Fills the folder of a node.
    fn furnish(&self, home: &Path, number: u8) -> Result<()> {
        let (name, addresses) = (name(number), self.network.addresses());
        let address = addresses.node(number).to_string();
        // What an earlier cluster has left.
        if home.exists() {
            fs::remove_dir_all(home).with_context(|| format!("remove {}", home.display()))?;
        }
        for dir in ["bin", "cni", "images", "lib", "log"] {
            fs::create_dir_all(home.join(dir))?;
        }
        for program in kubelet::PROGRAMS {
            same_file(&self.programs.dir().join(program), &home.join("bin").join(program))?;
        }
        for image in IMAGES {
            same_file(&self.dir.join(image), &home.join("images").join(image))?;
        }
        for (file, from) in [
            ("ca.crt", credentials::CA_CERT.to_owned()),
            ("kubelet.kubeconfig", credentials::kubeconfig_name(&user(number).name)),
            ("kube-proxy.kubeconfig", credentials::kubeconfig_name(credentials::KUBE_PROXY)),
        ] {
            fs::copy(self.dir.join(from), home.join(file))?;
        }

        let others = (1..=self.count).filter(|other| *other != number);
        let routes = others.map(|other| format!("{} {}\n", addresses.pods_of(other), addresses.node(other)));
        let json = |value: &Value| value.to_string();
        for (file, content) in [
            ("routes", routes.collect()),
            // There is no DNS.
            ("resolv.conf", "nameserver 127.0.0.1\n".to_owned()),
            ("containerd.toml", config::containerd(&self.machine.plugins)),
            ("cni/node.conflist", json(&config::cni(addresses, number))),
            ("kubelet.yaml", json(&config::kubelet(&address, &self.cgroup(number)))),
            ("kube-proxy.yaml", json(&config::kube_proxy(addresses, &address, &name))),
        ] {
            fs::write(home.join(file), content)?;
        }
        Ok(())
    }

    /// The name of a node's control groups, which no other cluster has.
    fn cgroup(&self, number: u8) -> String {
        format!(
            "hostport{}{}",
            self.network.addresses().prefix().trim_start_matches("10").replace('.', "-"),
            number
        )
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

const IMAGES: [&str; 2] = ["pause.tar", "echo.tar"];

/// The images that every node has: what holds a pod, and what tests and examples run.
fn write_images(dir: &Path) -> Result<()> {
    let echo = StaticProgram { package: "echo", profile: "quick" }.build()?;
    for (image, file) in [image::pause(&[config::PAUSE]), image::echo()].iter().zip(IMAGES) {
        image.write(&echo, &dir.join(file))?;
    }
    Ok(())
}

fn name(number: u8) -> String {
    format!("node-{number}")
}

fn user(number: u8) -> User {
    User { name: format!("system:node:{}", name(number)), groups: vec!["system:nodes".to_owned()] }
}

/// The file under another name, a copy where a link cannot be.
fn same_file(from: &Path, to: &PathBuf) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
