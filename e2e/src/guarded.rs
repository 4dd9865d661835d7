//! Child processes that cannot outlive us, not even when we are killed with -9: each has a watchdog, a shell that waits
//! on a pipe whose other end only we hold. The pipe closes when we end, however we end, and the watchdog kills.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, Signal, kill_process};

/// The shell becomes the program (`exec`), so the pid we know is the program's. The watchdog is forked twice, so that
/// the program has no child it does not know. It kills the process group, unless told to stand down first.
const WATCHDOG: &str = r#"
exec 3<&0 </dev/null
( { read -r order <&3; [ "$order" = stand-down ] || kill -s KILL -- "-$$"; } >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"#;

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// A command that runs `program` under a watchdog, in a process group of its own (Ctrl-C in the terminal is for us
/// alone). Its stdin is the watchdog's pipe: keep it open for as long as the program may live.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WATCHDOG, "watchdog"]).arg(program).stdin(Stdio::piped()).process_group(0);
    command
}

/// A child under a watchdog, with a name and a log file.
pub(crate) struct Guarded {
    name: String,
    pid: Pid,
    log: PathBuf,
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    /// Held for the watchdog; taken when the child has been reaped and its pid may belong to somebody else.
    leash: Option<ChildStdin>,
    exited: Option<ExitStatus>,
}

impl Guarded {
    /// Starts a command made by [`command`]; stdout and stderr go to `log`, which starts empty.
    pub(crate) fn spawn(name: &str, mut command: Command, log: PathBuf) -> Result<Guarded> {
        let out = File::create(&log).with_context(|| format!("create the log file {}", log.display()))?;
        command.stderr(out.try_clone()?).stdout(out);
        let mut child =
            command.spawn().with_context(|| format!("start {name}: /bin/sh is needed to watch over it"))?;

        let leash = child.stdin.take();
        let pid = Pid::from_child(&child);
        Ok(Guarded {
            name: name.to_owned(),
            pid,
            log,
            process: Mutex::new(Process { child, leash, exited: None }),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or nothing while it runs.
    pub(crate) fn exited(&self) -> Option<ExitStatus> {
        let mut process = self.process();
        process.reap();
        process.exited
    }

    /// Sends a signal, unless the child has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut process = self.process();
        process.reap();
        // Under the lock and not yet reaped, so the pid is still the child's.
        if process.exited.is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Blocks until it has ended or the time has come; whether it has ended.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.exited() {
                None if Instant::now() < deadline => thread::sleep(POLL),
                status => return status,
            }
        }
    }

    /// The last lines of its log, for an error message.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock()
    }
}

impl Process {
    fn reap(&mut self) {
        if self.exited.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exited = Some(status);
            if let Some(mut leash) = self.leash.take() {
                let _ = leash.write_all(b"stand-down\n");
            }
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid())
    }
}

/// Stops all of them at once: SIGTERM, then SIGKILL to those that have not ended after `grace`.
pub(crate) fn stop(children: &[Guarded], grace: Duration) {
    for child in children {
        child.signal(Signal::TERM);
    }
    let deadline = Instant::now() + grace;
    for child in children {
        if child.wait_until(deadline).is_none() {
            child.signal(Signal::KILL);
        }
    }
    // A killed process ends as soon as the kernel gets to it.
    let deadline = Instant::now() + Duration::from_secs(10);
    for child in children {
        child.wait_until(deadline);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.wait_until(Instant::now() + Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(dir: &Path, script: &str) -> Guarded {
        let mut command = command("/bin/sh");
        command.args(["-c", script]);
        Guarded::spawn("script", command, dir.join("script.log")).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn the_pid_is_the_programs_and_its_output_is_in_the_log() {
        let dir = tempfile::tempdir().unwrap();

        let child = guarded(dir.path(), "echo $$; echo two >&2; exit 3");

        assert_eq!(child.wait_until(soon()).unwrap().code(), Some(3));
        assert_eq!(child.log_tail(9), format!("{}\ntwo", child.pid()));
        assert_eq!(child.log_tail(1), "two");
    }

    #[test]
    fn a_closed_pipe_kills_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let child = guarded(dir.path(), "trap '' TERM; while :; do sleep 1; done");

        drop(child.process().leash.take());

        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&child.wait_until(soon()).unwrap()),
            Some(9)
        );
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed_after_the_grace() {
        let dir = tempfile::tempdir().unwrap();
        let children = [guarded(dir.path(), "trap '' TERM; while :; do sleep 1; done")];

        stop(&children, Duration::from_millis(200));

        assert!(children[0].exited().is_some());
    }
}
