//! Programs that Go builds from source into the cache folder: once per machine and recipe, whoever comes second waits,
//! and what is there is always complete.

mod progress;

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ring::digest::{SHA256, digest};

use crate::guarded;
use progress::{Progress, minutes};

/// A Go module whose `tool` lines name programs.
pub(crate) struct Recipe {
    /// Its folder beside this crate's sources, `controlplane`; also how its folder in the cache begins.
    pub(crate) name: &'static str,
    /// As go.mod has it: `v1.36.3`.
    pub(crate) version: &'static str,
    /// What that is: `Kubernetes v1.36.3`.
    pub(crate) title: String,
    /// What is in it and what the first build costs, for those who wait for it.
    pub(crate) notice: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// More flags for the linker, such as versions.
    pub(crate) ldflags: String,
    /// The programs, as go names them and as they are to be named.
    pub(crate) programs: Vec<(&'static str, &'static str)>,
    /// A file made of files of a module.
    pub(crate) joined: Option<Joined>,
    /// Others need the processor meanwhile.
    pub(crate) gives_way: bool,
    /// What somebody without Go can do.
    pub(crate) without_go: &'static str,
}

/// YAML documents out of a module's source, one after the other in one file beside the programs.
pub(crate) struct Joined {
    pub(crate) module: &'static str,
    pub(crate) files: &'static [&'static str],
    pub(crate) name: &'static str,
}

/// The version that a go.mod requires of a module; it is a constant of this crate, so one without it is our mistake.
pub(crate) fn version_in(go_mod: &'static str, module: &str) -> &'static str {
    let of = |line: &'static str| {
        line.trim().trim_start_matches("require ").strip_prefix(module)?.split_whitespace().next()
    };
    go_mod.lines().find_map(of).unwrap_or_else(|| panic!("go.mod does not require {module}"))
}

/// Where this project keeps what is worth keeping between runs: `$XDG_CACHE_HOME/hostport`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    // The XDG specification has relative paths ignored.
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(cache
        .context("there is no cache folder: set HOME or XDG_CACHE_HOME to an absolute path")?
        .join("hostport"))
}

impl Recipe {
    /// The folder with the programs, built if they are not there: that takes minutes, needs Go, blocks, and says on
    /// stderr how far it is.
    pub(crate) fn once_per_machine(&self) -> Result<PathBuf> {
        let cache = cache_dir()?;
        let name = format!("{}-{}-{}", self.name, self.version, self.hash());
        let done = cache.join(&name);
        if done.is_dir() {
            return Ok(done);
        }

        fs::create_dir_all(&cache).with_context(|| format!("create the cache folder {}", cache.display()))?;
        let _lock = self.lock(&cache.join(format!("{name}.lock")))?;
        // Whoever had the lock before us may have built it.
        if !done.is_dir() {
            self.build(&cache.join(format!("{name}.partial")), &done)?;
        }
        Ok(done)
    }

    /// All that decides what comes out, but for the Go version.
    fn hash(&self) -> String {
        let mut recipe = format!("{}\0{}\0{}", self.go_mod, self.go_sum, self.go_arguments().join("\0"));
        for file in self.joined.iter().flat_map(|joined| joined.files) {
            recipe.push('\0');
            recipe.push_str(file);
        }
        digest(&SHA256, recipe.as_bytes()).as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `go build`, but for where the result goes.
    fn go_arguments(&self) -> Vec<String> {
        let ldflags = format!("-s -w {}", self.ldflags);
        ["build", "-v", "-trimpath", "-ldflags", ldflags.trim_end()].map(str::to_owned).to_vec()
    }

    /// An exclusive lock that ends with this process at the latest.
    fn lock(&self, path: &Path) -> Result<File> {
        let file = File::create(path).with_context(|| format!("create the lock file {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).context(format!("lock {}", path.display())),
        }
        eprintln!("Another process is building {}; waiting for it.", self.title);
        file.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(file)
    }

    /// Builds in `partial` and, when all is there, renames it to `done`.
    fn build(&self, partial: &Path, done: &Path) -> Result<()> {
        self.check_go()?;
        eprintln!("Building {} from source, once on this machine.\n{}", self.title, self.notice);
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
        fs::write(source.join("go.mod"), self.go_mod)?;
        fs::write(source.join("go.sum"), self.go_sum)?;

        self.run_go(&source, partial, start)?;

        for (as_built, program) in &self.programs {
            let built = partial.join(as_built);
            ensure!(
                built.is_file(),
                "go built no {as_built}: it must be among the tool lines of e2e/{}/go.mod",
                self.name
            );
            fs::rename(built, partial.join(program))?;
        }
        if let Some(joined) = &self.joined {
            fs::write(partial.join(joined.name), joined.text(&source)?)?;
        }
        fs::remove_dir_all(source)?;
        fs::rename(partial, done).with_context(|| format!("move what was built to {}", done.display()))?;
        eprintln!("Built {} in {}: {}", self.title, minutes(start.elapsed()), done.display());
        Ok(())
    }

    fn check_go(&self) -> Result<()> {
        if let Err(error) = Command::new("go").arg("version").stdout(Stdio::null()).status() {
            bail!(
                "cannot run `go` ({error}), and it is needed to build {}.\nInstall Go 1.26 or newer and have it in \
                 PATH; {}",
                self.title,
                self.without_go
            );
        }
        Ok(())
    }

    /// Runs go and shows how far it is: it names each module it downloads and each package it compiles.
    fn run_go(&self, source: &Path, out: &Path, start: Instant) -> Result<()> {
        let mut go = guarded::command(if self.gives_way { "nice" } else { "go" });
        if self.gives_way {
            go.arg("go");
        }
        go.args(self.go_arguments()).arg("-o").arg(out).arg("tool");
        in_module(&mut go, source);
        go.stdout(Stdio::null()).stderr(Stdio::piped());
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
}

impl Joined {
    /// The documents, from where go has unpacked the module.
    fn text(&self, source: &Path) -> Result<String> {
        let mut go = Command::new("go");
        go.args(["list", "-m", "-f", "{{.Dir}}", self.module]);
        in_module(&mut go, source);
        let output = go.output().context("run go list")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "go does not say where {} is: {complaint}", self.module);
        let dir = PathBuf::from(String::from_utf8(output.stdout)?.trim_end());

        let mut text = String::new();
        for file in self.files {
            let file = dir.join(file);
            text += "---\n";
            text += &fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        }
        Ok(text)
    }
}

/// A go.work or a vendoring flag of the user is for another module.
fn in_module(go: &mut Command, source: &Path) {
    go.current_dir(source).env("GOWORK", "off").env_remove("GOFLAGS");
}

/// The lines of a pipe as they come; the channel ends with the pipe.
fn lines_of(pipe: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_module_is_read_from_a_block_and_from_a_line_of_its_own() {
        let block = "require (\n\tk8s.io/kubernetes-not v0.1.0\n\tk8s.io/kubernetes v1.36.3\n)";

        assert_eq!(version_in(block, "k8s.io/kubernetes "), "v1.36.3");
        assert_eq!(version_in("require sigs.k8s.io/kwok v0.8.0", "sigs.k8s.io/kwok "), "v0.8.0");
    }
}
