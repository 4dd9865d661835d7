//! A cluster for one test, with our definitions in it, and the few things that every test does there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use crds::{ClaimPhase, HostPort, HostPortClaim, HostPortClass};
use e2e::devcluster::{DevCluster, Options, User};
use e2e::eventually;
use e2e::operator::Operator;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::ledger::Ledger;

/// What anything may take, with the machine busy.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// The user that controllers log in as, so that the audit log tells their writes from ours.
const CONTROLLER: &str = "controller";

/// Another one, for tests that tell two controllers apart.
pub(crate) const SECOND: &str = "second";

/// How long a settled cluster must stay without a write.
const QUIET: Duration = Duration::from_secs(10);

/// What was begun before may still come to its end: pods are listed once a second, and that for many at once.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// One control plane, and the right to be the only one.
pub(crate) struct World {
    cluster: DevCluster,
    client: Client,
}

/// Runs a test in a cluster of its own. The folder with all logs goes when the test has passed.
pub(crate) async fn in_world(name: &str, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;
    let dir =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}", std::process::id())).join(name);
    let world = World::start(dir.clone()).await.context("start a cluster")?;
    test(&world).await.with_context(|| format!("the logs are in {}", dir.display()))?;
    drop(world);
    fs::remove_dir_all(&dir)?;
    let _ = fs::remove_dir(dir.parent().unwrap_or(&dir)); // Not empty while another test's logs are there.
    Ok(())
}

impl World {
    async fn start(dir: PathBuf) -> Result<World> {
        let users = [CONTROLLER, SECOND]
            .map(|name| User { name: name.to_owned(), groups: vec!["system:masters".to_owned()] });
        let options = Options { dir: Some(dir), users: users.into(), ..Options::default() };
        let cluster = DevCluster::start(options).await?;
        let client = cluster.client().await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in crds::all() {
            let (name, params) = (definition.name_any(), PatchParams::apply("test").force());
            definitions.patch(&name, &params, &Patch::Apply(&definition)).await?;
        }
        eventually(SOON, "our definitions to be served", || async {
            Api::<HostPortClass>::all(client.clone()).list(&ListParams::default()).await?;
            Api::<HostPortClaim>::all(client.clone()).list(&ListParams::default()).await?;
            Api::<HostPort>::all(client.clone()).list(&ListParams::default()).await?;
            Ok(())
        })
        .await?;
        Ok(World { cluster, client })
    }

    pub(crate) fn cluster(&self) -> &DevCluster {
        &self.cluster
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The admin's client, one that tries everything once.
    pub(super) async fn plain_client(&self) -> Result<Client> {
        plain_client(self.cluster.kubeconfig()).await
    }

    /// The same of the controllers' user.
    pub(super) async fn controllers_client(&self) -> Result<Client> {
        plain_client(&self.cluster.kubeconfig_of(CONTROLLER)).await
    }

    /// A controller that is ready.
    pub(crate) async fn controller(&self) -> Result<Operator> {
        let kubeconfig = self.cluster.kubeconfig_of(CONTROLLER).display().to_string();
        self.operator("controller", &kubeconfig).await
    }

    /// Admission that is ready.
    pub(super) async fn admission(&self) -> Result<Operator> {
        let kubeconfig = self.cluster.kubeconfig_of(CONTROLLER).display().to_string();
        self.operator("admission", &kubeconfig).await
    }

    /// The same, or another role of the binary, by another way to the API server.
    pub(super) async fn operator(&self, role: &str, kubeconfig: &str) -> Result<Operator> {
        let mut args = vec![role, "--log", "info,reconciler=debug"];
        if role != "controller" {
            args.extend(["--webhook-listen", "127.0.0.1:0"]);
        }
        Operator::start(&self.cluster, &args, &[("KUBECONFIG", kubeconfig)]).await
    }

    /// A class of these ports; `more` goes into its spec.
    pub(crate) async fn class(&self, name: &str, start: u16, end: u16, more: Value) -> Result<()> {
        let mut class = json!({
            "metadata": { "name": name },
            "spec": { "pools": [{ "start": start, "end": end }] },
        });
        let more = more.as_object().context("more of a spec is an object")?.clone();
        class["spec"].as_object_mut().context("a spec is an object")?.extend(more);
        let class: HostPortClass = serde_json::from_value(class)?;
        Api::all(self.client()).create(&PostParams::default(), &class).await?;
        Ok(())
    }

    /// A namespace in which pods can be created.
    pub(crate) async fn namespace(&self, name: &str) -> Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client()).create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), name);
        eventually(SOON, "the default ServiceAccount", || async {
            ensure!(accounts.get_opt("default").await?.is_some(), "there is none");
            Ok(())
        })
        .await
    }

    pub(crate) fn claims(&self, namespace: &str) -> Api<HostPortClaim> {
        Api::namespaced(self.client(), namespace)
    }

    pub(super) fn hostports(&self) -> Api<HostPort> {
        Api::all(self.client())
    }

    /// Makes a claim; its uid.
    pub(crate) async fn claim(&self, namespace: &str, name: &str, class: &str) -> Result<String> {
        let claim = claim_of(name, class)?;
        let created = self.claims(namespace).create(&PostParams::default(), &claim).await?;
        created.uid().context("the API server gave the claim no uid")
    }

    pub(crate) async fn delete_claim(&self, namespace: &str, name: &str) -> Result<()> {
        self.claims(namespace).delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the claim is Bound; its port.
    pub(crate) async fn bound(&self, namespace: &str, name: &str) -> Result<u16> {
        eventually(SOON, &format!("claim {namespace}/{name} to be Bound"), || async {
            let claim = self.claims(namespace).get(name).await?;
            port_of(&claim).with_context(|| format!("its status is {:?}", claim.status))
        })
        .await
    }

    /// Waits until every claim has its port, every other port is free again and the classes count right.
    pub(super) async fn settled(&self) -> Result<Ledger> {
        eventually(2 * SOON, "the ledger to be sound and at rest", || async {
            let ledger = Ledger::read(self.client()).await?;
            let wrong = [ledger.violations(), ledger.unrest()].concat();
            ensure!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
            Ok(ledger)
        })
        .await
    }

    /// I9: no write of a controller in ten seconds.
    pub(super) async fn stays_quiet(&self) -> Result<()> {
        tokio::time::sleep(UNDER_WAY).await;
        let before = self.writes()?.len();
        ensure!(before > 0, "the audit log has no write of a controller at all: this proves nothing");
        tokio::time::sleep(QUIET).await;
        let new: Vec<String> = self.writes()?.drain(before..).map(|write| write.0).collect();
        ensure!(new.is_empty(), "{} writes in {QUIET:?}:\n{}", new.len(), new.join("\n"));
        Ok(())
    }

    /// How many writes of controllers met another version than they were decided on.
    pub(super) fn conflicts(&self) -> Result<usize> {
        Ok(self.writes()?.iter().filter(|write| write.1 == 409).count())
    }

    /// Every write of a controller, with the status of its answer.
    fn writes(&self) -> Result<Vec<(String, u64)>> {
        Ok(self.audited()?.iter().filter_map(write_of_a_controller).collect())
    }

    /// Every request that the API server has answered.
    pub(crate) fn audited(&self) -> Result<Vec<Value>> {
        let log = self.cluster.audit_log().context("our own cluster has an audit log")?;
        Ok(fs::read_to_string(log)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

async fn plain_client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

fn write_of_a_controller(line: &Value) -> Option<(String, u64)> {
    let (user, verb) = (line["user"]["username"].as_str()?, line["verb"].as_str()?);
    let is_write = ["create", "update", "patch", "delete", "deletecollection"].contains(&verb);
    let code = line["responseStatus"]["code"].as_u64().unwrap_or_default();
    (user == CONTROLLER && is_write).then(|| (format!("{verb} {}: {code}", line["requestURI"]), code))
}

pub(crate) fn claim_of(name: &str, class: &str) -> Result<HostPortClaim> {
    let claim = json!({ "metadata": { "name": name }, "spec": { "hostPortClassName": class } });
    Ok(serde_json::from_value(claim)?)
}

/// The port of a Bound claim.
pub(crate) fn port_of(claim: &HostPortClaim) -> Option<u16> {
    let status = claim.status.as_ref().filter(|status| status.phase == ClaimPhase::Bound)?;
    status.port.map(crds::Port::get)
}

/// Whether there is time: `just soak`.
pub(super) fn is_soak() -> bool {
    env::var_os("HOSTPORT_SOAK_MINUTES").is_some()
}

/// Numbers that a seed repeats (splitmix64).
pub(super) struct Rng(u64);

impl Rng {
    /// From `HOSTPORT_SEED`, else a new seed; says which.
    pub(super) fn seeded(test: &str) -> Result<Rng> {
        let seed = match env::var("HOSTPORT_SEED") {
            Ok(seed) => seed.parse().context("HOSTPORT_SEED is a number")?,
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos().into(),
        };
        eprintln!("{test}: seed {seed} (HOSTPORT_SEED={seed} repeats it)");
        Ok(Rng(seed))
    }

    /// Another one that depends on nothing but this one's seed.
    pub(super) fn fork(&mut self) -> Rng {
        Rng(self.next())
    }

    /// Below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
