//! Whether all is right with the fleet that runs, and stays so through a rolling update of all, a stop and a start, and
//! its end. Whatever is not right is an error, and the benchmark fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crds::{HostPort, HostPortClaim};
use e2e::eventually;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::{
    Args,
    round::Running,
    time,
    usage::Usage,
    workload::{self, NAMESPACE, REUSE_DELAY, claim_of},
};

/// What a released number may take beyond its rest: reads of claims and pods, and the delete.
const SLACK: Duration = Duration::from_secs(60);

pub(crate) async fn prove(args: &Args, running: &Running) -> Result<()> {
    let client = &running.client;
    println!("\nproof");
    step(
        "all run, each with its claim's number, none twice on a node",
        Instant::now(),
        &check(client, args.pods).await?,
    );

    let start = Instant::now();
    let annotation =
        json!({ "spec": { "template": { "metadata": { "annotations": { "example.com/revision": "2" } } } } });
    workload::change(client, args, &annotation, args.replicas()).await?;
    step("a rolling update of all", start, &check(client, args.pods).await?);

    let start = Instant::now();
    workload::change(client, args, &json!({ "spec": { "replicas": 0 } }), 0).await?;
    no_pods(client).await?;
    step("to 0", start, "");

    let start = Instant::now();
    workload::change(client, args, &json!({ "spec": { "replicas": args.replicas() } }), args.replicas())
        .await?;
    step("and back", start, &check(client, args.pods).await?);

    if let Some(operator) = &running.operator {
        let rss = Usage::of(operator.pid())?.rss_mib;
        step("memory of the operator (RSS)", Instant::now(), &format!("{rss:.1} MiB"));
    }

    let start = Instant::now();
    Api::<Namespace>::all(client.clone()).delete(NAMESPACE, &DeleteParams::default()).await?;
    no_pods(client).await?;
    step("the namespace is deleted, all pods are gone", start, "");
    let start = Instant::now();
    let hostports: Api<HostPort> = Api::all(client.clone());
    eventually(REUSE_DELAY + SLACK, "0 HostPorts to be left", || async {
        let left = hostports.list(&ListParams::default().limit(500)).await?.items;
        ensure!(left.is_empty(), "{} and more, {} is {:?}", left.len(), left[0].name_any(), left[0].spec);
        Ok(())
    })
    .await?;
    step("0 HostPorts are left", start, &format!("{} s of it their rest", REUSE_DELAY.as_secs()));
    Ok(())
}

fn step(what: &str, start: Instant, result: &str) {
    println!("  {what:64} {:>8}  {result}", time(start.elapsed()));
}

/// Every pod runs on a node, with the number of the claim that it names and that its namespace holds.
async fn check(client: &Client, expected: usize) -> Result<String> {
    // Pods that are being deleted stay for a while after their Deployment has what it wants.
    let pods = eventually(Duration::from_secs(300), "the pods of before to end", || async {
        let pods =
            Api::<Pod>::namespaced(client.clone(), NAMESPACE).list(&ListParams::default()).await?.items;
        ensure!(pods.len() == expected, "{} pods", pods.len());
        Ok(pods)
    })
    .await?;
    let claims =
        Api::<HostPortClaim>::namespaced(client.clone(), NAMESPACE).list(&ListParams::default()).await?;
    let held: BTreeMap<String, u16> = claims
        .iter()
        .filter_map(|claim| Some((claim.name_any(), claim.status.as_ref()?.port?.get())))
        .collect();
    let (mut places, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for pod in &pods {
        let name = pod.name_any();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        ensure!(phase == Some("Running"), "pod {name} is {phase:?}");
        let spec = pod.spec.as_ref().context("a pod without spec")?;
        let node = spec.node_name.clone().context("a pod without node")?;
        let port = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
        let port = port
            .filter_map(|port| port.host_port)
            .next()
            .with_context(|| format!("pod {name} has no port"))?;
        let claim = claim_of(pod).with_context(|| format!("pod {name} names no claim"))?;
        let number =
            held.get(claim).with_context(|| format!("claim {claim} of pod {name} holds no number"))?;
        ensure!(port == i32::from(*number), "pod {name} carries {port}, its claim {claim} holds {number}");
        ensure!(places.insert((node.clone(), port)), "{port} is there twice on node {node}");
        numbers.insert(port);
    }
    Ok(format!("{} pods, {} claims, {} numbers", pods.len(), held.len(), numbers.len()))
}

async fn no_pods(client: &Client) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    eventually(Duration::from_secs(300), "all pods to be gone", || async {
        let left = pods.list_metadata(&ListParams::default().limit(1)).await?.items.len();
        ensure!(left == 0, "some are left");
        Ok(())
    })
    .await
}
