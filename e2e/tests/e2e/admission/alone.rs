//! Admission without a controller, and then a cluster without admission: a control plane of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::devcluster::{DevCluster, Options};
use e2e::eventually;
use e2e::operator::Operator;
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::support::{SOON, create, pod, pod_with};

const DEFINITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");

/// What a busy machine may add to the median of some measurements, which is 15 to 40 ms in a quiet one.
const NOISE: Duration = Duration::from_millis(250);
/// And to a single one. A controller that waits would add 40 s.
const STALL: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_claim_that_nobody_binds_and_an_admission_that_is_down_hold_up_nobody_else() -> Result<()> {
    // As the controller manager is shipped: 5 workers.
    let five = "--concurrent-replicaset-syncs=5".to_owned();
    let cluster =
        DevCluster::start(Options { controller_manager_args: vec![five], ..Options::default() }).await?;
    let applied = cluster.kubectl(["apply", "--server-side", "-f", DEFINITIONS]).await?;
    ensure!(applied.status.success(), "{applied:?}");
    let admission = Operator::start(&cluster, &["admission", "--webhook-listen", "127.0.0.1:0"], &[]).await?;
    let alone = Alone { client: cluster.client().await?, cluster };
    alone.namespace("tenant", json!({})).await?;
    alone.namespace("neighbour", json!({})).await?;
    alone.namespace("managed", json!({"hostport.io/managed": "true"})).await?;
    alone.namespace("hostport-system", json!({})).await?;

    people_wait_for_an_unseen_claim_and_controllers_do_not(&alone).await?;
    forty_replica_sets_on_it_do_not_delay_another_namespaces(&alone).await?;
    admission.kill9();
    only_pods_that_concern_us_are_refused_while_admission_is_down(&alone).await
}

/// Nobody looks at claims here: they stay as they were made.
async fn people_wait_for_an_unseen_claim_and_controllers_do_not(alone: &Alone) -> Result<()> {
    let claim = json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": "web", "namespace": "tenant"}, "spec": {},
    });
    alone.cluster.kubectl_with_input(["create", "-f", "-"], &claim.to_string()).await?;
    let refused = async |more: &[&str]| -> Result<Duration> {
        let start = Instant::now();
        let args = [&["--namespace", "tenant", "create", "-f", "-"], more].concat();
        let output = alone.cluster.kubectl_with_input(args, &pod("echo", "web").to_string()).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(said.contains("claim \"web\" is not Bound: WaitingForController"), "{said}");
        Ok(start.elapsed())
    };

    let person = refused(&[]).await?;
    let controller = refused(&["--as", "system:serviceaccount:kube-system:replicaset-controller"]).await?;

    ensure!(person > Duration::from_millis(2500), "a person waits some seconds, not {person:?}");
    ensure!(person < Duration::from_secs(10), "a person waits 5 s at most, not {person:?}");
    ensure!(controller < person / 2, "a controller is answered at once, not after {controller:?}");
    Ok(())
}

async fn forty_replica_sets_on_it_do_not_delay_another_namespaces(alone: &Alone) -> Result<()> {
    let mut before = Vec::new();
    for number in 0..9 {
        before.push(alone.time_to_pod(&format!("before-{number}")).await?);
    }

    let sets: Api<ReplicaSet> = Api::namespaced(alone.client.clone(), "tenant");
    for number in 0..40 {
        create(&sets, replica_set(&format!("stuck-{number}"), pod("echo", "web"))).await?;
    }
    let mut after = Vec::new();
    for number in 0..9 {
        after.push(alone.time_to_pod(&format!("after-{number}")).await?);
    }

    eprintln!("ReplicaSet to pod, idle {before:.0?}, beside 40 stuck ones {after:.0?}");
    for times in [&mut before, &mut after] {
        times.sort_unstable();
    }
    for (which, noise) in [(4, NOISE), (8, STALL)] {
        let (before, after) = (before[which], after[which]);
        ensure!(after < before * 3 / 2 + noise, "{after:?} beside 40 stuck ReplicaSets, {before:?} without");
    }
    Ok(())
}

async fn only_pods_that_concern_us_are_refused_while_admission_is_down(alone: &Alone) -> Result<()> {
    let plain = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", "image": "none"}]},
        })
    };
    let raw = || pod_with("raw", json!({}), json!([{"containerPort": 80, "hostPort": 20000}]));

    for (namespace, stored) in [
        ("tenant", plain("plain")),
        ("tenant", raw()),
        ("managed", plain("plain")),
        ("managed", pod_with("ports", json!({"example.com/x": "y"}), json!([{"containerPort": 80}]))),
        ("kube-system", pod("annotated", "web")),
        ("hostport-system", pod("admission", "web")),
    ] {
        let pods: Api<Pod> = Api::namespaced(alone.client.clone(), namespace);
        create(&pods, stored).await.with_context(|| format!("in {namespace}"))?;
    }
    for (namespace, refused, webhook) in
        [("tenant", pod("echo", "web"), "pods.hostport.io"), ("managed", raw(), "check.pods.hostport.io")]
    {
        let pods: Api<Pod> = Api::namespaced(alone.client.clone(), namespace);
        let said = pods.create(&PostParams::default(), &serde_json::from_value(refused)?).await;
        let said = said.err().context("a pod that concerns us was stored")?.to_string();
        ensure!(said.contains(&format!("failed calling webhook \"{webhook}\"")), "{said}");
    }
    Ok(())
}

struct Alone {
    cluster: DevCluster,
    client: Client,
}

impl Alone {
    /// A namespace in which pods can be created.
    async fn namespace(&self, name: &str, labels: Value) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        create(&namespaces, json!({"metadata": {"name": name, "labels": labels}})).await?;
        for namespace in [name, "kube-system"] {
            let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
            eventually(SOON, "the default ServiceAccount", || async { Ok(accounts.get("default").await?) })
                .await?;
        }
        Ok(())
    }

    /// How long a ReplicaSet of a plain pod takes to have it.
    async fn time_to_pod(&self, name: &str) -> Result<Duration> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "neighbour");
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), "neighbour");
        let version = pods.list(&Default::default()).await?.metadata.resource_version.context("a version")?;

        let start = Instant::now();
        create(&sets, replica_set(name, pod_with(name, json!({}), json!([])))).await?;
        let of_app = WatchParams::default().labels(&format!("app={name}")).timeout(120);
        let mut events = Box::pin(pods.watch(&of_app, &version).await?);
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Added(pod) = event {
                ensure!(pod.name_any().starts_with(name), "{}", pod.name_any());
                return Ok(start.elapsed());
            }
        }
        anyhow::bail!("ReplicaSet {name} had no pod after {:?}", start.elapsed())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "json!(…) is written at each call")]
fn replica_set(name: &str, template: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": template["metadata"]["annotations"]},
                "spec": template["spec"],
            },
        },
    })
}
