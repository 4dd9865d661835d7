//! The devcluster itself: starts, answers, and leaves nothing behind, however its parent ends.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::controlplane::{Binaries, Program, version};
use e2e::devcluster::{DevCluster, Options, User};
use e2e::eventually;
use e2e::kwok::Kwok;
use e2e::shared::TestEnv;

const SOON: Duration = Duration::from_secs(30);

/// Two clusters are 8 processes and the machine may be busy.
const UP: Duration = Duration::from_secs(120);

const RUN_BY_US: [Program; 4] =
    [Program::Etcd, Program::ApiServer, Program::ControllerManager, Program::Scheduler];

#[tokio::test]
async fn two_clusters_run_side_by_side_and_leave_nothing_behind() -> Result<()> {
    let start = Instant::now();
    let alice = User { name: "alice".to_owned(), groups: vec!["team".to_owned()] };
    let with_alice = Options { users: vec![alice], ..Options::default() };
    let (one, two) = tokio::try_join!(DevCluster::start(with_alice), DevCluster::start(Options::default()))?;
    eprintln!("two clusters at once: APIs ready after {:.1?}", start.elapsed());

    for cluster in [&one, &two] {
        let answer = cluster.kubectl(["version"]).await?;
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        let built = env::var_os("KUBEBUILDER_ASSETS").is_none();
        let version = if built { version() } else { "v1." };
        ensure!(answer.contains(&format!("Client Version: {version}")), "{answer}");
        ensure!(answer.contains(&format!("Server Version: {version}")), "{answer}");
    }
    let answer = one.kubectl(["create", "namespace", "only-in-one"]).await?;
    ensure!(answer.status.success(), "{answer:?}");
    let answer = two.kubectl(["get", "namespace", "only-in-one"]).await?;
    ensure!(String::from_utf8_lossy(&answer.stderr).contains("NotFound"), "{answer:?}");

    let alice = one.kubeconfig_of("alice").display().to_string();
    let answer = one.kubectl(["auth", "whoami", "-o", "yaml", "--kubeconfig", &alice]).await?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    ensure!(answer.contains("username: alice") && answer.contains("- team"), "{answer}");

    let audit = fs::read_to_string(one.audit_log().context("our own cluster has an audit log")?)?;
    ensure!(audit.contains("\"name\":\"only-in-one\""), "the audit log lacks the namespace");

    let dir = one.dir().to_owned();
    let pids: Vec<u32> = [&one, &two]
        .iter()
        .flat_map(|cluster| RUN_BY_US.map(|program| cluster.pid(program)))
        .flatten()
        .collect();
    ensure!(pids.len() == 2 * programs()? && pids.iter().all(|pid| runs(*pid)), "not all run: {pids:?}");
    let start = Instant::now();
    drop(one);
    eprintln!("stopped one after {:.1?}", start.elapsed());
    drop(two);

    let left: Vec<u32> = pids.into_iter().filter(|pid| runs(*pid)).collect();
    ensure!(left.is_empty(), "still there after drop: {left:?}");
    ensure!(!dir.exists(), "{} is still there", dir.display());
    Ok(())
}

#[tokio::test]
async fn each_test_has_a_namespace_in_which_pods_can_be_created() -> Result<()> {
    let start = Instant::now();
    let (one, two) = tokio::try_join!(TestEnv::new("pods"), TestEnv::new("pods"))?;
    eprintln!("shared cluster and two namespaces after {:.1?}", start.elapsed());

    let start = Instant::now();
    let third = TestEnv::new("pods").await?;
    eprintln!("one more namespace after {:.1?}", start.elapsed());

    ensure!(one.namespace() != two.namespace() && two.namespace() != third.namespace());
    one.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: web, image: none}]}}",
    )
    .await?;
    let refused =
        one.apply("{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {}}").await.unwrap_err();
    ensure!(refused.to_string().contains("spec.containers"), "{refused}");
    let absent = two.kubectl(&["get", "pod", "web"]).await.unwrap_err();
    ensure!(absent.to_string().contains("NotFound"), "{absent}");

    // Ready-made binaries may lack it.
    if one.cluster().is_own() && one.cluster().pid(Program::Scheduler).is_none() {
        return Ok(());
    }
    let reason =
        ["get", "pod", "web", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}"];
    one.eventually(SOON, "the scheduler to look at the pod", || async {
        let reason = one.kubectl(&reason).await?;
        ensure!(reason == "Unschedulable", "reason is {reason:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_outlives_a_kill_of_etcd_and_a_restart_of_its_api_server() -> Result<()> {
    let cluster = DevCluster::start(Options::default()).await?;
    let kept = ["get", "configmap", "kept", "-o", "jsonpath={.metadata.uid}"];
    let (etcd, api_server) = (cluster.pid(Program::Etcd), cluster.pid(Program::ApiServer));

    // The controller manager has come up: while it starts it would end without an API server.
    eventually(SOON, "the controller manager to work", || async {
        let account = cluster.kubectl(["get", "serviceaccount", "default"]).await?;
        let is_there = cluster.pid(Program::ControllerManager).is_some();
        ensure!(account.status.success() || !is_there, "{account:?}");
        Ok(())
    })
    .await?;
    let create = cluster.kubectl(["create", "configmap", "kept"]).await?;
    ensure!(create.status.success(), "{create:?}");
    let before = cluster.kubectl(kept).await?.stdout;

    // Killed just after an acknowledged write.
    cluster.kill_etcd()?;
    ensure!(etcd.is_some_and(|pid| !runs(pid)), "etcd is still there");
    ensure!(cluster.kill_etcd().is_err(), "it cannot be killed twice");
    let start = Instant::now();
    cluster.start_etcd().await?;
    eprintln!("etcd is back after {:.1?}", start.elapsed());
    ensure!(cluster.pid(Program::Etcd) != etcd && cluster.pid(Program::ApiServer) == api_server);
    let after = cluster.kubectl(kept).await?;
    ensure!(after.stdout == before && !before.is_empty(), "{after:?}");

    let start = Instant::now();
    cluster.restart_api_server().await?;
    eprintln!("the API server is back after {:.1?}", start.elapsed());
    ensure!(cluster.pid(Program::ApiServer) != api_server && api_server.is_some_and(|pid| !runs(pid)));
    let after = cluster.kubectl(kept).await?;
    ensure!(after.stdout == before, "{after:?}");
    if let Some(died) = cluster.died() {
        return Err(died);
    }

    let dir = cluster.dir().to_owned();
    let pids: Vec<u32> = RUN_BY_US.into_iter().filter_map(|program| cluster.pid(program)).collect();
    ensure!(pids.iter().all(|pid| runs(*pid)), "not all run: {pids:?}");
    drop(cluster);
    ensure!(pids.iter().all(|pid| !runs(*pid)), "something outlived its cluster");
    ensure!(!dir.exists(), "{} is still there", dir.display());
    Ok(())
}

#[tokio::test]
async fn a_program_that_dies_during_the_start_is_named_with_the_end_of_its_log() {
    let options = Options { apiserver_args: vec!["--no-such-flag".to_owned()], ..Options::default() };

    let error = DevCluster::start(options).await.unwrap_err().to_string();

    assert!(
        error.contains("kube-apiserver ended") && error.contains("unknown flag: --no-such-flag"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_survives_a_parent_killed_with_9() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let kwok = tokio::task::spawn_blocking(Kwok::find_or_build).await??;
    eprintln!("kwok is in {}", kwok.dir().display());
    let mut parent = Parent::up(dir.path(), &["--fake-nodes", "2"])?;
    eventually(SOON, "all programs and kwok, each with its watchdog", || async {
        let processes = processes_in(dir.path())?;
        ensure!(processes.len() == 2 * (programs()? + 1), "processes {processes:?}");
        Ok(())
    })
    .await?;
    ensure!(nodes(dir.path())? == ["fake-0 Ready", "fake-1 Ready"]);

    parent.child.kill()?;
    parent.child.wait()?;

    eventually(SOON, "all children to be gone", || async {
        let left = processes_in(dir.path())?;
        ensure!(left.is_empty(), "still there: {left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn down_stops_what_up_has_started() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().context("the path is text")?;
    let mut parent = Parent::up(dir.path(), &[])?;

    let second = devcluster(&["up", "--dir", path]).output()?;
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(!second.status.success() && complaint.contains("already"), "{complaint}");

    let start = Instant::now();
    let down = devcluster(&["down", "--dir", path]).output()?;
    eprintln!("down took {:.1?}", start.elapsed());
    ensure!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    ensure!(parent.child.wait()?.success(), "`up` ends well when it is told to end");
    eventually(SOON, "all children to be gone", || async {
        let left = processes_in(dir.path())?;
        ensure!(left.is_empty(), "still there: {left:?}");
        Ok(())
    })
    .await?;

    let again = devcluster(&["down", "--dir", path]).output()?;
    ensure!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("No cluster runs"));
    Ok(())
}

/// A `devcluster up` that is up. Killed when dropped.
struct Parent {
    child: Child,
    /// Kept open: it writes there.
    _stdout: BufReader<ChildStdout>,
}

impl Parent {
    fn up(dir: &Path, more: &[&str]) -> Result<Parent> {
        let start = Instant::now();
        let mut up = devcluster(&["up"]);
        let mut child = up.args(more).arg("--dir").arg(dir).stdout(Stdio::piped()).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let parent = Parent { child, _stdout: stdout };
        let expected = format!("export KUBECONFIG={}/kubeconfig\n", dir.display());
        ensure!(line == expected && start.elapsed() < UP, "after {:?}: {line:?}", start.elapsed());
        Ok(parent)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn devcluster(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devcluster"));
    command.args(args).stderr(Stdio::piped());
    command
}

/// Names and states of the nodes of the cluster in this folder.
fn nodes(dir: &Path) -> Result<Vec<String>> {
    let kubectl = Binaries::find_or_build()?.path(Program::Kubectl).context("there is kubectl")?;
    let mut command = Command::new(kubectl);
    command.args(["get", "nodes", "--no-headers"]).env("KUBECONFIG", dir.join("kubeconfig"));
    let text = String::from_utf8(command.output()?.stdout)?;
    let name_and_state = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(text.lines().map(name_and_state).collect())
}

/// How many programs a cluster is: four, or two if ready-made binaries lack the others.
fn programs() -> Result<usize> {
    let binaries = Binaries::find_or_build()?;
    Ok(RUN_BY_US.into_iter().filter(|program| binaries.path(*program).is_some()).count())
}

/// Processes whose working folder it is: the programs of a cluster and their watchdogs. Zombies have none.
fn processes_in(dir: &Path) -> Result<Vec<u32>> {
    let dir = dir.canonicalize()?;
    let processes = fs::read_dir("/proc")?.filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (fs::read_link(entry.path().join("cwd")).ok()? == dir).then_some(pid)
    });
    Ok(processes.collect())
}

/// Whether the process exists and is not a zombie.
fn runs(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}
