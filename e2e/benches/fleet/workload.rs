//! The fleet itself: a class, a namespace, Deployments. How a pod comes to its port is said here and nowhere else.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crds::HostPortClass;
use e2e::{devcluster::FakeNodes, eventually};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{Args, round::Subject};

pub(crate) const NAMESPACE: &str = "fleet";
pub(crate) const CLASS: &str = "fleet";

/// The name of the port, thus `claim.hostport.io/game`.
pub(crate) const PORT: &str = "game";

/// Numbers from here on are the class's; below are those by hand.
const FIRST: usize = 10_000;
const BY_HAND: usize = 9_000;

/// How long a freed number rests here.
pub(crate) const REUSE_DELAY: Duration = Duration::from_secs(10);

/// How long Deployments may take to do what they are told.
const PATIENCE: Duration = Duration::from_secs(900);

/// The class from which the pods get their numbers, each number once on a node: room for all of them, and for as many that
/// still rest.
fn class(args: &Args) -> Value {
    let numbers = (3 * args.replicas().max(args.deployments)).min(30_000);
    json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass", "metadata": { "name": CLASS },
        "spec": {
            "scope": "Node",
            "pools": [{ "start": FIRST, "end": FIRST + numbers }],
            "reuseDelay": format!("{}s", REUSE_DELAY.as_secs()),
        },
    })
}

/// What a pod says about its port: each gets a claim of its own.
fn annotations() -> Value {
    json!({ format!("class.hostport.io/{PORT}"): CLASS })
}

/// The name of the claim whose number a pod carries.
pub(crate) fn claim_of(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(&format!("own.hostport.io/{PORT}")).map(String::as_str)
}

/// Makes what Deployments need, once the operator runs.
pub(crate) async fn prepare(client: &Client, args: &Args, subject: Subject) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    eventually(Duration::from_secs(60), "the default ServiceAccount", || async {
        ensure!(accounts.get_opt("default").await?.is_some(), "there is none");
        Ok(())
    })
    .await?;
    if subject != Subject::Ours {
        return Ok(());
    }

    let class: HostPortClass = serde_json::from_value(class(args))?;
    Api::all(client.clone()).create(&PostParams::default(), &class).await?;
    eventually(Duration::from_secs(60), "the class to be Ready", || async {
        let class = Api::<HostPortClass>::all(client.clone()).get(CLASS).await?;
        let conditions = class.status.unwrap_or_default().conditions;
        let ready =
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        ensure!(ready, "{conditions:?}");
        Ok(())
    })
    .await
}

fn deployment(args: &Args, subject: Subject, nodes: &FakeNodes, number: usize) -> Result<Deployment> {
    let mut port = json!({ "name": PORT, "containerPort": 7777, "protocol": "UDP" });
    if subject == Subject::ByHand {
        port["hostPort"] = json!(BY_HAND + number);
    }
    let mut spec = json!({
        "containers": [{
            "name": "server", "image": "registry.k8s.io/pause:3.10", "ports": [port],
            "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
        }],
    });
    nodes.only_here(&mut spec);
    let labels = json!({ "deployment": number.to_string() });
    let annotations = if subject == Subject::Ours { annotations() } else { json!({}) };
    Ok(serde_json::from_value(json!({
        "metadata": { "name": name(number) },
        "spec": {
            "replicas": args.replicas(),
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels, "annotations": annotations }, "spec": spec },
        },
    }))?)
}

fn name(number: usize) -> String {
    format!("fleet-{number}")
}

/// Creates all Deployments and returns when all pods run.
pub(crate) async fn start(client: &Client, args: &Args, subject: Subject, nodes: &FakeNodes) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    for number in 0..args.deployments {
        let deployment = deployment(args, subject, nodes, number)?;
        api.create(&PostParams::default(), &deployment).await.context("create a Deployment")?;
    }
    settled(client, args, args.replicas()).await
}

/// Changes all Deployments and returns when they are as they are to be.
pub(crate) async fn change(client: &Client, args: &Args, patch: &Value, replicas: usize) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let (patch, parameters) = (Patch::Merge(patch), PatchParams::default());
    stream::iter(0..args.deployments)
        .map(async |number| api.patch(&name(number), &parameters, &patch).await)
        .buffer_unordered(8)
        .try_for_each(async |_| Ok(()))
        .await?;
    settled(client, args, replicas).await
}

/// Waits until every Deployment has so many pods, all of its last revision and Ready, and no other.
async fn settled(client: &Client, args: &Args, replicas: usize) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let what = format!("{} Deployments to have {replicas} pods each", args.deployments);
    eventually(PATIENCE, &what, || async {
        let mut ready = 0;
        for deployment in api.list(&Default::default()).await? {
            let (generation, status) =
                (deployment.metadata.generation, deployment.status.unwrap_or_default());
            let count = |count: Option<i32>| usize::try_from(count.unwrap_or_default()).unwrap_or_default();
            let all = [count(status.replicas), count(status.updated_replicas), count(status.ready_replicas)];
            if status.observed_generation == generation && all == [replicas; 3] {
                ready += 1;
            }
        }
        if ready < args.deployments {
            bail!("{ready} have");
        }
        Ok(())
    })
    .await
}
