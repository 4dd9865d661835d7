//! Runs the operator under test as a process of its own, built from this workspace, so that it can be killed like one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::{self, Body};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::devcluster::DevCluster;
use crate::guarded::{self, Guarded};
use crate::{cargo, eventually, shared};

const PACKAGE: &str = "hostport";

/// How long the operator may take to be ready, with the machine busy.
const READY: Duration = Duration::from_secs(60);

/// A running operator; killed when dropped, and at the latest with this process.
#[derive(Debug)]
pub struct Operator {
    process: Guarded,
    address: SocketAddr,
}

impl Operator {
    /// Starts `hostport ARGS --listen 127.0.0.1:0` against the cluster and waits until it says that it is ready. Its log
    /// goes to `operator-N.log` in the cluster's folder. It is the admin, unless `env` names another `KUBECONFIG`.
    pub async fn start(cluster: &DevCluster, args: &[&str], env: &[(&str, &str)]) -> Result<Operator> {
        static STARTED: AtomicUsize = AtomicUsize::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let mut command = guarded::command(binary().await?);
        command.args(args).args(["--listen", "127.0.0.1:0"]);
        command.env("KUBECONFIG", cluster.kubeconfig()).envs(env.iter().copied());
        let log = cluster.dir().join(format!("operator-{number}.log"));
        let process = Guarded::spawn(PACKAGE, command, log)?;

        let address = until(&process, "the operator to listen", || async {
            std::fs::read_to_string(process.log())?
                .lines()
                .find_map(listening)
                .context("no line of its log says \"listening\" with an addr")
        })
        .await?;
        until(&process, "the operator to be ready", || ready(address)).await?;
        Ok(Operator { process, address })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it serves `/readyz` and `/metrics`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log, JSON lines.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// How it ended, or nothing while it runs.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// A crash: it gets no chance to do anything.
    pub fn kill9(self) {
        drop(self);
    }

    /// The same for one that is kept, to be asked how it ended.
    pub fn crash(&self) {
        self.process.signal(Signal::KILL);
        self.process.wait_until(Instant::now() + Duration::from_secs(10));
    }

    /// SIGTERM, and nothing more.
    pub fn ask_to_end(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Code and body of what it answers to a GET of this path: `/readyz`, `/metrics`.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        get(self.address, path).await
    }

    /// The value of a line of its metrics, by all that stands before it: `hostport_leader`.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no line of its metrics begins with {name:?}"))?;
        Ok(value.parse()?)
    }

    /// What a Deployment does: SIGTERM, and 30 s later SIGKILL (which is an error here).
    pub async fn terminate(self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM);
        eventually(Duration::from_secs(30), "the operator to end after SIGTERM", || async {
            self.exited()
                .with_context(|| format!("it still runs, its log ends in:\n{}", self.process.log_tail(15)))
        })
        .await
    }
}

/// What `hostport ARGS` prints, as the cluster's admin, or an error with what it complains about.
pub async fn print(cluster: &DevCluster, args: &[&str]) -> Result<String> {
    print_as(cluster.kubeconfig(), args).await
}

/// The same as whom this kubeconfig is of.
pub async fn print_as(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    said(tokio::process::Command::new(binary().await?).args(args).env("KUBECONFIG", kubeconfig), args).await
}

/// The same for what needs no cluster.
pub async fn printed(args: &[&str]) -> Result<String> {
    said(tokio::process::Command::new(binary().await?).args(args), args).await
}

async fn said(command: &mut tokio::process::Command, args: &[&str]) -> Result<String> {
    let output = command.output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "hostport {} failed: {complaint}", args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits as long as the operator lives.
async fn until<T, F, Fut>(process: &Guarded, what: &str, mut condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let tail = || format!("the end of {}:\n{}", process.log().display(), process.log_tail(15));
    eventually(READY, what, || {
        let exited = process.exited();
        let condition = condition();
        async move {
            match exited {
                Some(status) => Ok(Err(status)),
                None => condition.await.map(Ok),
            }
        }
    })
    .await
    .with_context(tail)?
    .map_err(|status| anyhow::anyhow!("the operator ended ({status}); {}", tail()))
}

/// The address in a log line such as `{"fields":{"message":"listening","addr":"127.0.0.1:4711"}}`, also when flattened.
fn listening(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok().filter(|_| line.contains("\"listening\""))?;
    let fields = [line.get("fields"), Some(&line)];
    fields.into_iter().flatten().find_map(|fields| fields.get("addr")?.as_str()?.parse().ok())
}

async fn ready(address: SocketAddr) -> Result<()> {
    let (code, text) = get(address, "/readyz").await?;
    ensure!(code == 200, "/readyz answers {code} {text:?}");
    Ok(())
}

async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    // Not kube's client, which wants certificate authorities for this as well.
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let (head, body) = client.get(format!("http://{address}{path}").parse()?).await?.into_parts();
    let text = body::to_bytes(Body::new(body), usize::MAX).await?;
    Ok((head.status.as_u16(), String::from_utf8(text.to_vec())?))
}

/// The operator's binary, brought up to date by cargo once per process, in the profile of this test.
async fn binary() -> Result<PathBuf> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_try_init(|| async { tokio::task::spawn_blocking(build).await? }).await.cloned()
}

fn build() -> Result<PathBuf> {
    let profile_dir = shared::target_dir()?;
    let binary = profile_dir.join(PACKAGE);
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => anyhow::bail!("{} is not a target folder of cargo", profile_dir.display()),
    };
    let start = Instant::now();
    let target_dir = profile_dir.parent().context("the target folder has no parent")?;
    cargo::build(cargo::cargo(), PACKAGE, profile, target_dir, |_| {})?;
    ensure!(binary.is_file(), "cargo built package {PACKAGE}, but there is no {}", binary.display());
    tracing::info!("the operator is built ({:.1?})", start.elapsed());
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_nested_and_from_flat_log_lines() {
        let address: SocketAddr = "127.0.0.1:4711".parse().unwrap();

        for line in [
            r#"{"level":"INFO","fields":{"message":"listening","addr":"127.0.0.1:4711"},"target":"hostport"}"#,
            r#"{"level":"INFO","message":"listening","addr":"127.0.0.1:4711"}"#,
        ] {
            assert_eq!(listening(line), Some(address), "{line}");
        }
        assert_eq!(listening(r#"{"fields":{"message":"started","addr":"127.0.0.1:1"}}"#), None);
        assert_eq!(listening("not JSON, \"listening\""), None);
    }
}
