//! What this machine needs so that real nodes run on it, and what is missing: said in one sentence, installed only for
//! those who ask for it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

/// Where distributions put CNI plugins.
const PLUGIN_DIRS: [&str; 4] = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni", "/usr/lib/cni-plugins"];

const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// Programs, and the packages of Debian and Ubuntu that have them.
const PROGRAMS: [(&str, &str); 10] = [
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
];
const PLUGINS_PACKAGE: &str = "containernetworking-plugins";

/// A machine on which real nodes can run.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The folder of the CNI plugins.
    pub(crate) plugins: PathBuf,
}

impl Machine {
    /// This machine as it is, or an error that says what is missing and what to do.
    pub fn check() -> Result<Machine> {
        may_make_nodes()?;
        let packages = missing_packages();
        ensure!(
            packages.is_empty(),
            "real nodes need programs that are not installed. On Debian and Ubuntu `cargo devcluster build --nodes` \
             installs them, or you do: apt-get install {}",
            packages.join(" ")
        );
        Ok(Machine { plugins: plugins().context("the CNI plugins are not where they were just now")? })
    }

    /// The same, after what is missing has been installed with apt-get, which is said aloud. Nothing that is installed is
    /// removed or started anew.
    pub fn prepare() -> Result<Machine> {
        may_make_nodes()?;
        let packages = missing_packages();
        if packages.is_empty() || find("apt-get").is_none() {
            return Machine::check();
        }
        eprintln!("Real nodes need some programs. Installing: apt-get install {}", packages.join(" "));
        apt_get(&["update", "--quiet"])?;
        let install =
            ["install", "--quiet", "--yes", "--no-install-recommends", "--no-remove", "--no-upgrade"];
        apt_get(&[&install[..], &packages].concat())?;
        Machine::check()
    }
}

/// Whether the kernel lets us: root, with namespaces and control groups of our own.
fn may_make_nodes() -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "real nodes need root, for namespaces and control groups of their own: run it as root, or use --fake-nodes"
    );
    let unshare = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--uts", "--fork", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ensure!(
        unshare.is_ok_and(|status| status.success()),
        "real nodes need network, mount and process namespaces of their own, and this machine gives us none \
         (`unshare --net --mount --pid true` fails): in a container, run that one privileged"
    );
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    ensure!(
        mounts.lines().any(is_our_cgroups),
        "real nodes need control groups, and none are mounted here that we may write: in a container, run that one \
         privileged"
    );
    Ok(())
}

/// Whether a line of /proc/self/mounts is a hierarchy of control groups that can be written.
fn is_our_cgroups(mount: &str) -> bool {
    let mut fields = mount.split(' ').skip(2);
    let (kind, options) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    kind.starts_with("cgroup") && options.split(',').any(|option| option == "rw")
}

/// Packages that are missing, each once.
fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if plugins().is_none() {
        packages.push(PLUGINS_PACKAGE);
    }
    packages.dedup();
    packages
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The folder that has all plugins we use.
fn plugins() -> Option<PathBuf> {
    let has_all = |dir: &&Path| PLUGINS.iter().all(|plugin| dir.join(plugin).is_file());
    PLUGIN_DIRS.iter().map(Path::new).find(has_all).map(PathBuf::from)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt_get = Command::new("apt-get");
    // What it says goes where all else is said that is not asked for.
    apt_get.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = apt_get.output().context("run apt-get")?;
    if !output.status.success() {
        bail!("apt-get {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_of_either_version_count_if_they_can_be_written() {
        assert!(is_our_cgroups("cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0"));
        assert!(is_our_cgroups("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0"));
        assert!(!is_our_cgroups("cgroup /sys/fs/cgroup cgroup2 ro,nosuid 0 0"));
        assert!(!is_our_cgroups("tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0"));
    }
}
