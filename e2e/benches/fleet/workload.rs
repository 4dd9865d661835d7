//! The fleet itself: a class, a namespace, Deployments. How a pod comes to its port is said here and nowhere else.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crds::{ClaimPhase, HostPortClaim, HostPortClass};
use e2e::{devcluster::FakeNodes, eventually};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, ServiceAccount},
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

/// The class from which the pods get their numbers.
fn class(args: &Args) -> Value {
    json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass", "metadata": { "name": CLASS },
        "spec": {
            "pools": [{ "start": FIRST, "end": FIRST + args.deployments.max(2) * 2 - 1 }],
            "reuseDelay": format!("{}s", REUSE_DELAY.as_secs()),
        },
    })
}

/// What a pod of the n-th Deployment says about its port.
fn annotations(number: usize) -> Value {
    json!({ format!("claim.hostport.io/{PORT}"): claim(number) })
}

/// What has to stand before the n-th Deployment is made.
fn claim(number: usize) -> String {
    format!("game-{number}")
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
    let claims: Api<HostPortClaim> = Api::namespaced(client.clone(), NAMESPACE);
    for number in 0..args.deployments {
        let claim: HostPortClaim = serde_json::from_value(json!({
            "metadata": { "name": claim(number) }, "spec": { "hostPortClassName": CLASS },
        }))?;
        claims.create(&PostParams::default(), &claim).await?;
    }
    eventually(Duration::from_secs(60), "all claims to be Bound", || async {
        for claim in claims.list(&Default::default()).await? {
            let bound = claim.status.as_ref().is_some_and(|status| status.phase == ClaimPhase::Bound);
            ensure!(bound, "{:?}", claim.ready_message());
        }
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
    let annotations = if subject == Subject::Ours { annotations(number) } else { json!({}) };
    Ok(serde_json::from_value(json!({
        "metadata": { "name": name(number) },
        "spec": {
            "replicas": args.replicas(),
            // The numbers of the old pods are those of the new ones.
            "strategy": { "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "25%" } },
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
