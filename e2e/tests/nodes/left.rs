//! What is left on the machine of a cluster with nodes: nothing, however its process ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::shared::cluster_with_nodes;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn nothing_of_a_node_survives_a_parent_killed_with_9() -> Result<()> {
    // A second cluster beside ours, with addresses of its own.
    if cluster_with_nodes(2).await?.is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut up = Command::new(env!("CARGO_BIN_EXE_devcluster"));
    up.args(["up", "--nodes", "1", "--dir"]).arg(dir.path()).stdout(Stdio::piped());
    let mut up = up.spawn()?;
    let mut line = String::new();
    BufReader::new(up.stdout.take().context("stdout is piped")?).read_line(&mut line)?;
    ensure!(line.starts_with("export KUBECONFIG="), "{line:?}");
    let kubeconfig = fs::read_to_string(dir.path().join("kubeconfig"))?;
    let number = kubeconfig.split("https://10.").nth(1).and_then(|rest| rest.split('.').next());
    let number: u8 = number.context("the API server is at an address of its nodes")?.parse()?;
    let before = Left::of(number, dir.path())?;
    ensure!(before.device && !before.cgroups.is_empty() && before.processes > 0, "{before:?}");

    up.kill()?;
    up.wait()?;

    eventually(SOON, "the machine to be as before", || async {
        let left = Left::of(number, dir.path())?;
        ensure!(!left.device && left.cgroups.is_empty() && left.processes == 0, "{left:?}");
        Ok(())
    })
    .await?;
    for look in [&["iptables-save"][..], &["nft", "list", "ruleset"], &["ip", "route"]] {
        let output = Command::new(look[0]).args(&look[1..]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!text.contains(&format!("10.{number}.")), "{look:?} shows {text}");
    }
    ensure!(!fs::read_to_string("/proc/self/mounts")?.contains(&dir.path().display().to_string()));
    Ok(())
}

/// What a cluster is on this machine.
#[derive(Debug)]
struct Left {
    device: bool,
    cgroups: Vec<PathBuf>,
    /// Those that work in its folder, and those of its nodes.
    processes: usize,
}

impl Left {
    fn of(number: u8, dir: &Path) -> Result<Left> {
        let device = Path::new("/sys/class/net").join(format!("hostport-{number}")).exists();
        let mut cgroups = Vec::new();
        for hierarchy in fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path()) {
            let inside = fs::read_dir(&hierarchy).into_iter().flatten().flatten().map(|entry| entry.path());
            let ours = |path: &PathBuf| path.to_string_lossy().contains(&format!("/hostport-{number}-"));
            cgroups.extend(inside.chain([hierarchy]).filter(ours));
        }
        // What a node runs has it from its first process.
        let mark = format!("NODE_GATEWAY=10.{number}.0.1\0");
        let processes = fs::read_dir("/proc")?.flatten().filter(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let works = fs::read_link(process.path().join("cwd")).unwrap_or_default();
            works.starts_with(dir) || String::from_utf8_lossy(&environment).contains(&mark)
        });
        Ok(Left { device, cgroups, processes: processes.count() })
    }
}
