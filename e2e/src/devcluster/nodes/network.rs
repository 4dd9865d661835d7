//! The wires between this machine and the nodes of a cluster. A bridge in a network namespace of its own joins them, and
//! this machine has one end of a wire to it. All of it ends with the process that holds that namespace: the kernel then
//! takes the wires away, and with ours the addresses and routes on it. No bridge and no rule is ever on the machine itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::addresses::Addresses;
use crate::eventually;
use crate::guarded::{self, Guarded};

/// A namespace is made within milliseconds, but much later on a machine that does many other things.
const MADE: Duration = Duration::from_secs(30);

const BRIDGE: &str = "bridge";

/// The second numbers of addresses that we take, if nobody else has them.
const NUMBERS: std::ops::Range<u8> = 200..250;

/// The network of one cluster.
#[derive(Debug)]
pub(in crate::devcluster) struct Network {
    addresses: Addresses,
    /// Holds the namespace with the bridge.
    switch: Guarded,
}

impl Network {
    /// Makes it, with addresses that nobody on this machine uses. The log goes to `dir`.
    pub(in crate::devcluster) async fn start(dir: &Path) -> Result<Network> {
        let switch = switch(dir).await?;
        let addresses = wire_to_host(&switch).await?;
        let network = Network { addresses, switch };
        network.join(network.pid(), "host").await?;

        let (host, device) = (format!("{}/24", addresses.host()), device(addresses));
        ip(&["address", "add", &host, "dev", &device]).await?;
        ip(&["link", "set", &device, "up"]).await?;
        Ok(network)
    }

    pub(in crate::devcluster) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Gives a network namespace, that of this process, a wire `eth0` to all others, and has this machine know the way to
    /// the pods behind it.
    pub(super) async fn connect(&self, number: u8, pid: u32) -> Result<()> {
        let (wire, switch, pid) = (format!("node-{number}"), self.pid().to_string(), pid.to_string());
        ip(&["link", "add", &wire, "netns", &switch, "type", "veth", "peer", "name", "eth0", "netns", &pid])
            .await?;
        self.join(self.pid(), &wire).await?;

        self.route(&self.addresses.pods_of(number), number).await
    }

    /// Has this machine, and so the API server, reach Services (such as those of webhooks) through a node: the rules for
    /// them are there and not here.
    pub(super) async fn route_services(&self, number: u8) -> Result<()> {
        self.route(&self.addresses.services(), number).await
    }

    async fn route(&self, target: &str, number: u8) -> Result<()> {
        let (via, device) = (self.addresses.node(number).to_string(), device(self.addresses));
        ip(&["route", "add", target, "via", &via, "dev", &device]).await
    }

    /// Plugs the wire's end in the switch into the bridge.
    async fn join(&self, switch: u32, wire: &str) -> Result<()> {
        let arguments = [
            "--target",
            &switch.to_string(),
            "--net",
            "--",
            "ip",
            "link",
            "set",
            wire,
            "master",
            BRIDGE,
            "up",
        ];
        run("nsenter", &arguments).await.map(drop)
    }

    fn pid(&self) -> u32 {
        self.switch.pid()
    }
}

/// Waits until a process has a network namespace that is not ours.
pub(super) async fn has_own_namespace(process: &Guarded) -> Result<()> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
    eventually(MADE, "a network namespace", || async {
        let (name, tail) = (process.name(), process.log_tail(5));
        ensure!(process.exited().is_none(), "{name} has ended: {tail}");
        ensure!(
            namespace(&process.pid().to_string())? != namespace("self")?,
            "{name} is still in ours: {tail}"
        );
        Ok(())
    })
    .await
}

/// Runs a program and returns what it printed, or an error with what it complained about.
pub(super) async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(program);
    let output = command.args(arguments).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("run {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {} failed: {}", arguments.join(" "), complaint.trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn switch(dir: &Path) -> Result<Guarded> {
    let mut command = guarded::command("unshare");
    let script =
        format!("ip link add {BRIDGE} type bridge && ip link set {BRIDGE} up && exec sleep infinity");
    command.args(["--net", "--", "/bin/sh", "-c", &script]).current_dir(dir);
    let switch = Guarded::spawn("the switch between the nodes", command, dir.join("switch.log"))?;
    has_own_namespace(&switch).await?;
    let pid = switch.pid().to_string();
    eventually(MADE, "the bridge between the nodes", || async {
        let look = ["--target", &pid, "--net", "--", "ip", "link", "show", BRIDGE, "up"];
        let seen = run("nsenter", &look).await?;
        ensure!(!seen.is_empty(), "it is not up");
        Ok(())
    })
    .await?;
    Ok(switch)
}

/// A wire between this machine and the switch. Our end has a name that only one cluster can have, which is how clusters
/// that start at the same time do not get the same addresses.
async fn wire_to_host(switch: &Guarded) -> Result<Addresses> {
    let known = ip_output(&["-4", "route", "show", "table", "all"]).await?;
    let pid = switch.pid().to_string();
    let is_free = |addresses: &Addresses| {
        !known.contains(&format!(" {}", addresses.prefix()))
            && !known.lines().any(|route| route.starts_with(&addresses.prefix()))
    };
    for addresses in NUMBERS.map(Addresses).filter(is_free) {
        let ours = device(addresses);
        let add = ["link", "add", &ours, "type", "veth", "peer", "name", "host", "netns", &pid];
        match ip(&add).await {
            Ok(()) => return Ok(addresses),
            Err(error) if format!("{error:#}").contains("File exists") => {}
            Err(error) => return Err(error).context("make a wire to the nodes"),
        }
    }
    bail!(
        "all networks from 10.{}.0.0/16 to 10.{}.0.0/16 are in use on this machine: stop other clusters",
        NUMBERS.start,
        NUMBERS.end - 1
    )
}

/// This machine's end of the wire.
fn device(addresses: Addresses) -> String {
    format!("hostport-{}", addresses.0)
}

async fn ip(arguments: &[&str]) -> Result<()> {
    ip_output(arguments).await.map(drop)
}

async fn ip_output(arguments: &[&str]) -> Result<String> {
    run("ip", arguments).await
}
