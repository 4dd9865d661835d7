//! The folder of a cluster. While a process runs a cluster in it, that process holds a lock on the pid file there: so a
//! pid in the file is believed only while the lock is held, and nothing is ever done to a stranger's process.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::eventually;
use crate::gobuild::cache_dir;

const PID_FILE: &str = "devcluster.pid";

/// A folder that is ours alone until this is dropped.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    _lock: File,
    /// Removes the folder when dropped.
    _temporary: Option<TempDir>,
}

impl Home {
    /// A folder that goes away again.
    pub(crate) fn temporary() -> Result<Home> {
        let temporary = tempfile::Builder::new().prefix("hostport-devcluster-").tempdir()?;
        let mut home = Home::in_dir(temporary.path())?;
        home._temporary = Some(temporary);
        Ok(home)
    }

    /// This folder, made if need be and kept.
    pub(crate) fn in_dir(dir: &Path) -> Result<Home> {
        fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
        // Tokens and etcd's socket are in it. Also, the programs run in it: a relative path would mean another there.
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        let path = dir.canonicalize()?;

        let Some(mut lock) = try_lock(&path)? else {
            bail!(
                "a cluster runs in {dir} already: stop it with `cargo devcluster down --dir {dir}`, or choose \
                 another folder with --dir",
                dir = path.display()
            );
        };
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Home { path, _lock: lock, _temporary: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where `cargo devcluster` keeps its cluster unless told otherwise.
pub fn default_dir() -> Result<PathBuf> {
    Ok(cache_dir()?.join("devcluster"))
}

/// Stops the process that runs a cluster in this folder and waits until it has ended; returns its process id, or nothing
/// if no cluster runs there.
pub async fn stop(dir: &Path) -> Result<Option<u32>> {
    if !dir.join(PID_FILE).exists() || try_lock(dir)?.is_some() {
        return Ok(None);
    }
    let file = dir.join(PID_FILE);
    let mut text = String::new();
    File::open(&file)?.read_to_string(&mut text)?;
    let pid: i32 = text
        .trim()
        .parse()
        .with_context(|| format!("{} is locked but holds no process id: try again", file.display()))?;
    let process = Pid::from_raw(pid).filter(|_| pid > 1).context("the process id is none")?;

    let gone = || async {
        ensure!(try_lock(dir)?.is_some(), "process {pid} still holds {}", file.display());
        Ok(())
    };
    kill_process(process, Signal::TERM)
        .with_context(|| format!("stop process {pid}: does it belong to another user?"))?;
    if eventually(Duration::from_secs(10), "the cluster to end", gone).await.is_err() {
        tracing::warn!("process {pid} did not end within 10 s: killing it");
        let _ = kill_process(process, Signal::KILL);
        eventually(Duration::from_secs(10), "the cluster to end", gone).await?;
    }
    Ok(Some(pid.unsigned_abs()))
}

/// Removes those folders in `dir` whose cluster has ended.
pub(crate) fn remove_dead(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.join(PID_FILE).is_file() && try_lock(&path)?.is_some() {
            fs::remove_dir_all(&path).with_context(|| format!("remove the old folder {}", path.display()))?;
        }
    }
    Ok(())
}

/// The locked pid file; nothing if another process has the lock.
fn try_lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join(PID_FILE);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context(format!("lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_cluster_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::in_dir(dir.path()).unwrap();

        let error = Home::in_dir(dir.path()).unwrap_err().to_string();
        drop(first);

        assert!(error.contains("cargo devcluster down --dir"), "{error}");
        Home::in_dir(dir.path()).unwrap();
    }

    #[tokio::test]
    async fn a_pid_left_behind_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        // This process: the test would not live to tell.
        fs::write(dir.path().join(PID_FILE), std::process::id().to_string()).unwrap();

        assert_eq!(stop(dir.path()).await.unwrap(), None);
    }

    #[test]
    fn only_folders_of_ended_clusters_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let alive = Home::in_dir(&dir.path().join("alive")).unwrap();
        drop(Home::in_dir(&dir.path().join("dead")).unwrap());
        fs::create_dir(dir.path().join("other")).unwrap();

        remove_dead(dir.path()).unwrap();

        assert!(alive.path().exists() && dir.path().join("other").exists());
        assert!(!dir.path().join("dead").exists());
    }
}
