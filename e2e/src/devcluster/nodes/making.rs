//! How a node is made: its folder is filled, and its first process started in namespaces of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::network::{Network, has_own_namespace};
use super::{Node, config, name, user};
use crate::devcluster::{credentials, remove_proxies};
use crate::guarded::{self, Guarded};
use crate::image::{self, StaticProgram};
use crate::kubelet::{self, NodePrograms};
use crate::machine::Machine;

const INIT: &str = include_str!("init.sh");

/// What all nodes of a cluster are made of.
pub(super) struct Making<'a> {
    pub(super) machine: Machine,
    pub(super) programs: NodePrograms,
    pub(super) dir: &'a Path,
    pub(super) network: &'a Network,
    pub(super) count: u8,
}

impl Making<'_> {
    pub(super) async fn start(&self, number: u8) -> Result<Node> {
        let (name, addresses) = (name(number), self.network.addresses());
        let address = addresses.node(number);
        let home = self.dir.join(&name);
        self.furnish(&home, number)?;

        let mut command = guarded::command("unshare");
        command.args(["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "--", "/bin/sh", "-c", INIT]).current_dir(&home);
        command.env("NODE_NAME", &name).env("NODE_ADDRESS", address.to_string());
        command.env("NODE_GATEWAY", addresses.host().to_string());
        remove_proxies(&mut command);
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
    pub(super) fn cgroup(&self, number: u8) -> String {
        format!(
            "hostport{}{}",
            self.network.addresses().prefix().trim_start_matches("10").replace('.', "-"),
            number
        )
    }
}

const IMAGES: [&str; 2] = ["pause.tar", "echo.tar"];

/// The images that every node has: what holds a pod, and what tests and examples run.
pub(super) fn write_images(dir: &Path) -> Result<()> {
    let echo = StaticProgram { package: "echo", profile: "quick", auditable: false }.build()?;
    for (image, file) in [image::pause(&[config::PAUSE]), image::echo()].iter().zip(IMAGES) {
        image.write(&echo, &dir.join(file))?;
    }
    Ok(())
}

/// The file under another name, a copy where a link cannot be.
fn same_file(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
