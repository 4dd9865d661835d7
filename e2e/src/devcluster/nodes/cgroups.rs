//! Control groups of the nodes, a subtree for each: two kubelets in one would delete each other's pods' groups. They are
//! removed by a process that waits for us to end, however we end.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// Waits until its input is closed, then removes the folders it was told; a group that still has processes stays, so it
/// tries for ten seconds.
const JANITOR: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
tries=100
while [ $tries -gt 0 ]; do
    find "$@" -depth -type d -exec rmdir {} + 2>/dev/null
    left=
    for dir; do [ ! -d "$dir" ] || left="$dir"; done
    [ -n "$left" ] || exit 0
    sleep 0.1
    tries=$((tries - 1))
done
exit 1
"#;

/// The subtrees of all nodes of a cluster.
#[derive(Debug)]
pub(super) struct Cgroups {
    janitor: Child,
    /// It is told by this being closed.
    leash: Option<ChildStdin>,
}

impl Cgroups {
    /// Makes a group of each name in every hierarchy.
    pub(super) fn create(names: &[String]) -> Result<Cgroups> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
        let (ours, all) = (with_controllers(&mounts), mounted(&mounts, &["cgroup", "cgroup2"]));
        let groups = |hierarchies: &[PathBuf]| -> Vec<PathBuf> {
            hierarchies.iter().flat_map(|hierarchy| names.iter().map(|name| hierarchy.join(name))).collect()
        };

        let mut janitor = Command::new("/bin/sh");
        janitor.args(["-c", JANITOR, "janitor"]).args(groups(&all)).current_dir("/").process_group(0);
        janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut janitor =
            janitor.spawn().context("start /bin/sh, which removes control groups at the end")?;
        let leash = janitor.stdin.take();
        let cgroups = Cgroups { janitor, leash };

        for hierarchy in &ours {
            enable_controllers(hierarchy);
        }
        for dir in groups(&ours) {
            make(&dir).with_context(|| format!("make the control group {}", dir.display()))?;
        }
        Ok(cgroups)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        drop(self.leash.take());
        if !self.janitor.wait().is_ok_and(|status| status.success()) {
            tracing::warn!(
                "control groups hostport-* of a cluster's nodes could not be removed from /sys/fs/cgroup"
            );
        }
    }
}

/// Where groups are made: in all hierarchies of version 1, or the one of version 2. Where there are both, the controllers
/// are with version 1, and runc makes groups in the other as well.
fn with_controllers(mounts: &str) -> Vec<PathBuf> {
    let first = mounted(mounts, &["cgroup"]);
    if first.is_empty() { mounted(mounts, &["cgroup2"]) } else { first }
}

/// Where hierarchies of these kinds are mounted.
fn mounted(mounts: &str, kinds: &[&str]) -> Vec<PathBuf> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (dir, kind) = (fields.next()?, fields.next()?);
        kinds.contains(&kind).then(|| PathBuf::from(dir))
    });
    mounts.collect()
}

/// In version 2 a group has only those controllers that the one above it hands down. Some may not exist here.
fn enable_controllers(hierarchy: &Path) {
    for controller in ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"] {
        let file = hierarchy.join("cgroup.subtree_control");
        if file.is_file() {
            let _ = fs::write(file, format!("+{controller}"));
        }
    }
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    // In version 1 a new group has no processors and no memory, unless it is told which.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let above = dir.parent().map(|parent| parent.join(file)).filter(|file| file.is_file());
        if let Some(above) = above.filter(|_| !dir.join("cgroup.controllers").exists()) {
            fs::write(dir.join(file), fs::read(above)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_where_the_controllers_are() {
        let hybrid =
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let unified = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";

        assert_eq!(with_controllers(hybrid), [PathBuf::from("/sys/fs/cgroup/cpu")]);
        assert_eq!(with_controllers(unified), [PathBuf::from("/sys/fs/cgroup")]);
    }
}
