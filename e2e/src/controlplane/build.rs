//! Builds the control plane with Go into the cache folder: once per machine and recipe, whoever comes second waits, and
//! what is there is always complete.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ring::digest::{SHA256, digest};

use super::{GO_MOD, GO_SUM, Program, cache_dir, version};
use crate::guarded;

/// The name go gives to etcd's binary.
const ETCD_AS_BUILT: &str = "server";

/// How much of go's output an error shows.
const KEPT_LINES: usize = 20;

/// The folder with the binaries, built if they are not there.
pub(super) fn once_per_machine() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let name = format!("controlplane-{}-{}", version(), recipe_hash());
    let done = cache.join(&name);
    if done.is_dir() {
        return Ok(done);
    }

    fs::create_dir_all(&cache).with_context(|| format!("create the cache folder {}", cache.display()))?;
    let _lock = lock(&cache.join(format!("{name}.lock")))?;
    // Whoever had the lock before us may have built it.
    if !done.is_dir() {
        build(&cache.join(format!("{name}.partial")), &done)?;
    }
    Ok(done)
}

/// All that decides what comes out, but for the Go version.
fn recipe_hash() -> String {
    let recipe = format!("{GO_MOD}\0{GO_SUM}\0{}", go_arguments().join("\0"));
    digest(&SHA256, recipe.as_bytes()).as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `go build`, but for where the result goes. Without the version the kubelet and `kubectl version` say v0.0.0.
fn go_arguments() -> Vec<String> {
    let version = version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let ldflags = format!(
        "-s -w -X k8s.io/component-base/version.gitVersion={version} \
         -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={version}"
    );
    ["build", "-v", "-trimpath", "-ldflags", &ldflags].map(str::to_owned).to_vec()
}

/// An exclusive lock that ends with this process at the latest.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("create the lock file {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error).context(format!("lock {}", path.display())),
    }
    eprintln!("Another process is building the control plane; waiting for it.");
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Builds in `partial` and, when all is there, renames it to `done`.
fn build(partial: &Path, done: &Path) -> Result<()> {
    check_go()?;
    eprintln!(
        "Building Kubernetes {} (etcd, API server, controller manager, scheduler, kubectl) from source, once on this \
         machine.\nThe first build takes about 5 minutes on 2 cores and needs 8 GB of disk for Go's caches.",
        version()
    );
    let start = Instant::now();

    // What a build that was interrupted has left.
    match fs::remove_dir_all(partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context(format!("remove {}", partial.display()));
        }
        _ => {}
    }
    let source = partial.join("source");
    fs::create_dir_all(&source).with_context(|| format!("create {}", source.display()))?;
    fs::write(source.join("go.mod"), GO_MOD)?;
    fs::write(source.join("go.sum"), GO_SUM)?;

    run_go(&source, partial, start)?;

    fs::rename(partial.join(ETCD_AS_BUILT), partial.join(Program::Etcd.name()))?;
    for program in Program::ALL {
        if !partial.join(program.name()).is_file() {
            bail!("go built no {program}: it must be among the tool lines of e2e/controlplane/go.mod");
        }
    }
    fs::remove_dir_all(source)?;
    fs::rename(partial, done).with_context(|| format!("move the binaries to {}", done.display()))?;
    eprintln!("Built Kubernetes {} in {}: {}", version(), minutes(start.elapsed()), done.display());
    Ok(())
}

fn check_go() -> Result<()> {
    if let Err(error) = Command::new("go").arg("version").stdout(Stdio::null()).status() {
        bail!(
            "cannot run `go` ({error}), and it is needed to build the Kubernetes control plane for the tests.\n\
             Install Go 1.26 or newer and have it in PATH; or set KUBEBUILDER_ASSETS to a folder with ready \
             binaries (kube-apiserver, etcd, kubectl); or use the cluster your kubeconfig names \
             (HOSTPORT_USE_CURRENT_CLUSTER=1)."
        );
    }
    Ok(())
}

/// Runs go and shows how far it is: it names each module it downloads and each package it compiles.
fn run_go(source: &Path, out: &Path, start: Instant) -> Result<()> {
    let mut go = guarded::command("go");
    go.args(go_arguments()).arg("-o").arg(out).arg("tool");
    // A go.work or a vendoring flag of the user is for another module.
    go.current_dir(source)
        .env("GOWORK", "off")
        .env_remove("GOFLAGS")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut go = go.spawn().context("start go")?;
    // Taken, not dropped: closed it would have go killed.
    let mut leash = go.stdin.take();
    let lines = lines_of(go.stderr.take().context("go's output is not piped")?);

    let mut progress = Progress::new(start);
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => progress.line(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        progress.show();
    }
    progress.clear();

    let status = go.wait().context("wait for go")?;
    if let Some(leash) = &mut leash {
        let _ = leash.write_all(b"stand-down\n");
    }
    if !status.success() {
        bail!("go build failed ({status}); its last words:\n{}", progress.tail());
    }
    Ok(())
}

/// The lines of a pipe as they come; the channel ends with the pipe.
fn lines_of(pipe: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

/// On a terminal one line that changes, elsewhere a line every half minute.
struct Progress {
    start: Instant,
    terminal: bool,
    packages: usize,
    downloads: usize,
    last: VecDeque<String>,
    shown: Option<Instant>,
}

impl Progress {
    fn new(start: Instant) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { start, terminal, packages: 0, downloads: 0, last: VecDeque::new(), shown: None }
    }

    fn line(&mut self, line: String) {
        if line.starts_with("go: downloading") {
            self.downloads += 1;
        } else if !line.contains(' ') {
            self.packages += 1;
        }
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn show(&mut self) {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(30) };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let now = self.last.back().map_or("go is looking at what is there", String::as_str);
        let line = format!(
            "  {}  {} modules downloaded, {} packages compiled; {now}",
            minutes(self.start.elapsed()),
            self.downloads,
            self.packages
        );
        if self.terminal {
            // Cut, so that it stays one line on a terminal of usual width.
            eprint!("\r\x1b[2K{}", line.chars().take(110).collect::<String>());
        } else {
            eprintln!("{line}");
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }

    fn tail(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// `4m08s`
fn minutes(time: Duration) -> String {
    format!("{}m{:02}s", time.as_secs() / 60, time.as_secs() % 60)
}
