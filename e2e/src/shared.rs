//! One cluster for all tests of a process, and for each test a namespace of its own in it.
//!
//! The cluster is never stopped by name: it ends with the process. Its folder stays until the next run, for its logs.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::OnceCell;

use crate::controlplane::Program;
use crate::devcluster::{DevCluster, Home, Options, remove_dead};
use crate::eventually;
use crate::machine::Machine;

static CLUSTER: OnceCell<DevCluster> = OnceCell::const_new();

/// The cluster of this process, started by whoever asks first; the current one with `HOSTPORT_USE_CURRENT_CLUSTER=1`.
pub async fn cluster() -> Result<&'static DevCluster> {
    CLUSTER
        .get_or_try_init(|| async {
            if wants_current() {
                return DevCluster::current_in(home()?).await;
            }
            DevCluster::start_in(home()?, &Options::default()).await
        })
        .await
}

/// The same with this many real nodes, if nobody has asked for it before; nothing where the machine can have none, which is
/// said, and an error in CI.
pub async fn cluster_with_nodes(count: usize) -> Result<Option<&'static DevCluster>> {
    let can = match wants_current() {
        true => Err(anyhow::anyhow!(
            "real nodes are made in a cluster of our own only, not in that of your kubeconfig"
        )),
        false => Machine::check(),
    };
    if let Err(cannot) = can {
        ensure!(!crate::is_ci(), "{cannot:#} (CI is set, so nothing is skipped)");
        eprintln!("skipped: {cannot:#}");
        return Ok(None);
    }
    let start = || async {
        let options = Options { nodes: count, ..Options::default() };
        DevCluster::start_in(home()?, &options).await
    };
    let cluster = CLUSTER.get_or_try_init(start).await?;
    ensure!(
        cluster.nodes().len() == count,
        "the cluster of this process has {} nodes",
        cluster.nodes().len()
    );
    Ok(Some(cluster))
}

fn wants_current() -> bool {
    env::var("HOSTPORT_USE_CURRENT_CLUSTER").is_ok_and(|value| matches!(value.as_str(), "1" | "true"))
}

/// A folder in cargo's target folder, named after this process. Those of ended processes are removed.
fn home() -> Result<Home> {
    let clusters = target_dir()?.join("e2e");
    fs::create_dir_all(&clusters)?;
    let lock = File::create(clusters.join("lock"))?;
    lock.lock().context("lock the folder of test clusters")?;
    remove_dead(&clusters)?;
    Home::in_dir(&clusters.join(std::process::id().to_string()))
}

/// Cargo's target folder for this profile, e.g. `target/debug`: the folder above `deps` if this is a test.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let exe = env::current_exe().context("find this program")?;
    exe.ancestors()
        .skip(1)
        .find(|dir| !matches!(dir.file_name(), Some(name) if name == "deps" || name == "examples"))
        .map(PathBuf::from)
        .with_context(|| format!("{} is not in cargo's target folder", exe.display()))
}

/// What a test works with: the shared cluster, a client, and a namespace that no other test uses.
#[derive(Debug)]
pub struct TestEnv {
    cluster: &'static DevCluster,
    namespace: String,
    client: Client,
}

/// `kube::Client` has no `Debug`.
struct Client(kube::Client);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl TestEnv {
    /// Makes a namespace `<name>-<random>` that pods can be created in.
    pub async fn new(name: &str) -> Result<TestEnv> {
        let cluster = cluster().await?;
        let client = cluster.client().await?;
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{name}-")), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let created = Api::all(client.clone()).create(&PostParams::default(), &namespace).await;
        let namespace = created.with_context(|| format!("create a namespace for test {name}"))?.metadata.name;
        let env = TestEnv {
            cluster,
            namespace: namespace.context("the API server gave the namespace no name")?,
            client: Client(client),
        };

        // The API server refuses pods before the controller manager has made it.
        if !cluster.is_own() || cluster.pid(Program::ControllerManager).is_some() {
            let accounts: Api<ServiceAccount> = Api::namespaced(env.client(), &env.namespace);
            eventually(Duration::from_secs(30), "the default ServiceAccount of a new namespace", || async {
                let account = accounts.get_opt("default").await?;
                ensure!(account.is_some(), "{} has none; is the controller manager well?", env.namespace);
                Ok(())
            })
            .await?;
        }
        Ok(env)
    }

    /// The cluster, shared with other tests: what is cluster-scoped needs names of its own.
    pub fn cluster(&self) -> &'static DevCluster {
        self.cluster
    }

    /// An admin client of this test.
    pub fn client(&self) -> kube::Client {
        self.client.0.clone()
    }

    /// This test's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `kubectl apply` in this test's namespace, of one or several documents; what kubectl said, refusals as errors.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        self.run(&["apply", "-f", "-"], yaml).await
    }

    /// kubectl in this test's namespace: what it printed, or an error with what it complained about.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run(args, "").await
    }

    /// As [`fn@crate::eventually`].
    pub async fn eventually<T, F, Fut>(&self, deadline: Duration, what: &str, condition: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        eventually(deadline, what, condition).await
    }

    /// The same with this for its standard input.
    pub async fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let args_here = [&["--namespace", &self.namespace], args].concat();
        self.cluster.run_kubectl(&args_here, input).await
    }
}

impl Drop for TestEnv {
    /// Our own cluster is thrown away as a whole; from somebody else's we take away what we brought, unless the test
    /// failed and somebody will want to look.
    fn drop(&mut self) {
        if self.cluster.is_own() || std::thread::panicking() {
            return;
        }
        let deleted = std::process::Command::new("kubectl")
            .args(["delete", "namespace", "--wait=false", &self.namespace])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .output();
        if !deleted.is_ok_and(|output| output.status.success()) {
            eprintln!("could not delete namespace {}: do it by hand", self.namespace);
        }
    }
}
