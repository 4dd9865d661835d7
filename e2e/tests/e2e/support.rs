//! What every scenario begins with: the operator under test, started once per process in the shared cluster, and a
//! world of one's own in it: a namespace, classes with numbers that no other test has, claims and pods.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crds::{
    ClaimPhase, HostPort, HostPortClaim, HostPortClaimSpec, HostPortClass, HostPortClassSpec, HostPortPhase,
    Port,
};
use e2e::operator::Operator;
use e2e::shared::{TestEnv, cluster};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

mod life;
mod nodes;
mod objects;

pub use life::alone_with_default_classes;
pub use nodes::{node_of, places};
pub use objects::*;

/// How long anything may take here: the machine is shared.
pub const SOON: Duration = Duration::from_secs(60);

/// `hostport dev`, ready, with definitions and webhooks applied.
pub async fn operator() -> Result<&'static Operator> {
    static OPERATOR: OnceCell<Operator> = OnceCell::const_new();
    OPERATOR
        .get_or_try_init(|| async {
            Operator::start(cluster().await?, &["dev", "--webhook-listen", "127.0.0.1:0"], &[]).await
        })
        .await
}

/// The lowest of `count` numbers that no other test of this process has.
pub fn range(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(11_000);
    let start = NEXT.fetch_add(count, Ordering::Relaxed);
    assert!(start < 29_000, "the tests have used up their numbers");
    start
}

/// One test's part of the cluster.
pub struct World {
    pub env: TestEnv,
    pub operator: &'static Operator,
}

/// A class and the numbers that it hands out.
#[derive(Clone, Debug)]
pub struct Class {
    pub name: String,
    pub first: u16,
    pub last: u16,
}

impl World {
    pub async fn new(name: &str) -> Result<World> {
        let operator = operator().await?;
        Ok(World { env: TestEnv::new(name).await?, operator })
    }

    /// A second namespace for the same test.
    pub async fn neighbour(&self) -> Result<World> {
        World::new("neighbour").await
    }

    /// The same with the label that has its pods checked.
    pub async fn managed(name: &str) -> Result<World> {
        let world = World::new(name).await?;
        world.label("hostport.io/managed", "true").await?;
        Ok(world)
    }

    pub async fn label(&self, key: &str, value: &str) -> Result<()> {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client());
        let patch = Patch::Merge(json!({"metadata": {"labels": {key: value}}}));
        api.patch(self.ns(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub fn ns(&self) -> &str {
        self.env.namespace()
    }

    pub fn client(&self) -> Client {
        self.env.client()
    }

    /// The objects of a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), self.ns())
    }

    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.env.kubectl(args).await
    }

    /// kubectl without a namespace, for files that name their own.
    pub async fn kubectl_here(&self, args: &[&str]) -> Result<String> {
        self.env.cluster().run_kubectl(args, "").await
    }

    /// Waits until `look` gives something.
    pub async fn until<T, F, Fut>(&self, what: &str, look: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.env.eventually(SOON, what, look).await
    }

    // Classes

    /// A class of `count` numbers; its freed numbers rest 1 s.
    pub async fn class(&self, count: u16) -> Result<Class> {
        self.class_with(count, |_| {}).await
    }

    /// The same, changed; a class that brings its own pools takes 0 numbers of ours.
    pub async fn class_with(&self, count: u16, change: impl FnOnce(&mut HostPortClassSpec)) -> Result<Class> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let first = range(count);
        let last = first + count.max(1) - 1;
        let mut spec = HostPortClassSpec {
            pools: vec![pool(first, last)],
            exclude: Vec::new(),
            strategy: crds::Strategy::Sequential,
            scope: crds::Scope::Cluster,
            max_nodes: None,
            reclaim_policy: crds::ReclaimPolicy::Delete,
            reuse_delay: "1s".parse()?,
            namespace_selector: None,
            max_per_namespace: None,
            max_count: 64,
            allow_reserved: false,
        };
        change(&mut spec);
        let name = format!("{}-{}", self.ns(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let class = HostPortClass::new(&name, spec);
        Api::all(self.client()).create(&PostParams::default(), &class).await.context("create a class")?;
        Ok(Class { name, first, last })
    }

    pub async fn get_class(&self, class: &Class) -> Result<HostPortClass> {
        Ok(Api::all(self.client()).get(&class.name).await?)
    }

    pub async fn set_pools(&self, class: &Class, pools: &[(u16, u16)]) -> Result<()> {
        let pools: Vec<_> = pools.iter().map(|(start, end)| pool(*start, *end)).collect();
        let api: Api<HostPortClass> = Api::all(self.client());
        let patch = Patch::Merge(json!({"spec": {"pools": pools}}));
        api.patch(&class.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the class says so many are allocated, released, foreign, free and waiting.
    pub async fn counts(&self, class: &Class, expected: [i64; 5]) -> Result<()> {
        self.until(&format!("class {} to count {expected:?}", class.name), || async {
            let status = self.get_class(class).await?.status.context("no status")?;
            let free = status.free.unwrap_or(-1);
            let counts = [status.allocated, status.released, status.foreign, free, status.waiting];
            ensure!(counts == expected, "allocated, released, foreign, free, waiting are {counts:?}");
            Ok(())
        })
        .await
    }

    // Claims

    /// Creates a claim for any number of the class.
    pub async fn claim(&self, name: &str, class: &Class) -> Result<HostPortClaim> {
        self.claim_spec(name, Some(&class.name), None).await
    }

    /// Creates a claim for this very number.
    pub async fn claim_port(&self, name: &str, class: &Class, port: u16) -> Result<HostPortClaim> {
        self.claim_spec(name, Some(&class.name), Some(port)).await
    }

    pub async fn claim_spec(
        &self,
        name: &str,
        class: Option<&str>,
        port: Option<u16>,
    ) -> Result<HostPortClaim> {
        let spec = HostPortClaimSpec {
            host_port_class_name: class.map(str::to_owned),
            port: port.and_then(Port::new),
            ..HostPortClaimSpec::default()
        };
        let created = self.api().create(&PostParams::default(), &HostPortClaim::new(name, spec)).await;
        created.with_context(|| format!("create claim {name}"))
    }

    pub async fn get_claim(&self, name: &str) -> Result<HostPortClaim> {
        Ok(self.api().get(name).await?)
    }

    pub async fn delete_claim(&self, name: &str) -> Result<()> {
        self.api::<HostPortClaim>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the claim is Bound; its number.
    pub async fn bound(&self, name: &str) -> Result<u16> {
        self.until(&format!("claim {name} to be Bound"), || async {
            let claim = self.get_claim(name).await?;
            match claim.status.as_ref().map(|status| (status.phase, status.port)) {
                Some((ClaimPhase::Bound, Some(port))) => Ok(port.get()),
                _ => bail!("it says {:?}: {:?}", claim.ready_reason(), claim.ready_message()),
            }
        })
        .await
    }

    /// Creates a claim and waits until it is Bound; its number.
    pub async fn bind(&self, name: &str, class: &Class) -> Result<u16> {
        self.claim(name, class).await?;
        self.bound(name).await
    }

    /// Waits until the claim's Ready condition has this reason; its message.
    pub async fn says(&self, name: &str, reason: &str) -> Result<String> {
        self.until(&format!("claim {name} to say {reason}"), || async {
            let claim = self.get_claim(name).await?;
            let (is, message) = (claim.ready_reason(), claim.ready_message());
            ensure!(is == Some(reason), "it says {is:?}: {message:?}");
            Ok(message.unwrap_or_default().to_owned())
        })
        .await
    }

    pub async fn claim_is_gone(&self, name: &str) -> Result<()> {
        let api = self.api::<HostPortClaim>();
        self.until(&format!("claim {name} to be gone"), || async {
            ensure!(api.get_opt(name).await?.is_none(), "it is still there");
            Ok(())
        })
        .await
    }

    /// Waits for the finalizer that keeps a claim visible while a pod uses it.
    pub async fn protected(&self, name: &str) -> Result<()> {
        self.until(&format!("claim {name} to be protected"), || async {
            let finalizers = self.get_claim(name).await?.metadata.finalizers.unwrap_or_default();
            ensure!(
                finalizers.iter().any(|it| it == crds::names::FINALIZER_CLAIM_PROTECTION),
                "{finalizers:?}"
            );
            Ok(())
        })
        .await
    }

    // HostPorts

    pub fn hostports(&self) -> Api<HostPort> {
        Api::all(self.client())
    }

    pub async fn hostport(&self, port: u16) -> Result<Option<HostPort>> {
        Ok(self.hostports().get_opt(&port.to_string()).await?)
    }

    pub async fn hostport_is_gone(&self, port: u16) -> Result<()> {
        self.until(&format!("HostPort {port} to be gone"), || async {
            let found = self.hostport(port).await?;
            ensure!(found.is_none(), "{:?}", found.map(|it| it.spec));
            Ok(())
        })
        .await
    }

    pub async fn hostport_in(&self, port: u16, phase: HostPortPhase) -> Result<HostPort> {
        self.until(&format!("HostPort {port} to be {}", phase.as_str()), || async {
            let found = self.hostport(port).await?.context("there is none")?;
            ensure!(found.spec.phase == phase, "{:?}", found.spec);
            Ok(found)
        })
        .await
    }

    // Pods

    pub async fn create_pod(&self, pod: Value) -> Result<Pod> {
        create(&self.api(), pod).await
    }

    /// Why the API server does not take the pod.
    pub async fn denied(&self, pod: Value) -> Result<String> {
        match self.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(pod)?).await {
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(status.message.clone()),
            Err(error) => Err(error).context("not a refusal"),
            Ok(pod) => bail!("the pod was stored with {:?}", host_ports(&pod)),
        }
    }

    /// A force delete: there is no kubelet here that would end it.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        self.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// What a kubelet writes when the containers have ended well.
    pub async fn pod_succeeds(&self, name: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        self.api::<Pod>().patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The pods that a workload has made, once there are so many.
    pub async fn pods(&self, app: &str, count: usize) -> Result<Vec<Pod>> {
        let pods = self.api::<Pod>();
        let of_app = kube::api::ListParams::default().labels(&format!("app={app}"));
        self.until(&format!("{count} pods of {app}"), || async {
            let found = pods.list(&of_app).await?.items;
            ensure!(found.len() == count, "there are {}: {}", found.len(), self.troubles().await?.join("; "));
            Ok(found)
        })
        .await
    }

    /// Reason and note of all events in this namespace.
    pub async fn troubles(&self) -> Result<Vec<String>> {
        let api: Api<k8s_openapi::api::events::v1::Event> = self.api();
        let told = api.list(&kube::api::ListParams::default()).await?.items.into_iter();
        let text = |text: Option<String>| text.unwrap_or_default();
        Ok(told.map(|event| format!("{}: {}", text(event.reason), text(event.note))).collect())
    }

    /// Waits for an event of this reason whose note has these words.
    pub async fn event(&self, reason: &str, words: &str) -> Result<String> {
        let wanted = format!("{reason}: ");
        self.until(&format!("an event {reason} with {words:?}"), || async {
            let told = self.troubles().await?;
            let found =
                told.iter().find(|event| event.starts_with(&wanted) && event.contains(words)).cloned();
            found.with_context(|| format!("there are {told:?}"))
        })
        .await
    }
}
