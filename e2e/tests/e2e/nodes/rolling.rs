//! Rolling updates of a Deployment whose pods share one claim, one on each node.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use crds::HostPortPhase;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{World, deployment, host_ports, node_of, places};

const NODES: usize = 3;

fn with_surge(mut deployment: Value, surge: u32, unavailable: u32) -> Value {
    deployment["spec"]["replicas"] = json!(NODES);
    deployment["spec"]["strategy"] = json!({
        "type": "RollingUpdate",
        "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable },
    });
    deployment
}

fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
}

#[tokio::test]
async fn a_deployment_without_surge_rolls_over_its_claim_on_every_node() -> Result<()> {
    let world = World::new("rolling").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let nodes = world.nodes(NODES).await?;
    world.run_on(&nodes, with_surge(deployment("web", "web"), 0, 1)).await?;
    let first = world.rolled_out("web", NODES).await?;

    world.roll("web", "2").await?;
    let second = world.rolled_out("web", NODES).await?;

    ensure!(names(&first).is_disjoint(&names(&second)), "not all pods are new");
    for pods in [&first, &second] {
        ensure!(places(pods)?.len() == NODES && pods.iter().all(|pod| host_ports(pod) == [i32::from(port)]));
        let used: BTreeSet<_> = pods.iter().map(node_of).collect();
        ensure!(used.len() == NODES, "{used:?}");
    }
    ensure!(world.bound("web").await? == port, "the number has moved");
    world.hostport_in(port, HostPortPhase::Bound).await?;
    Ok(())
}

#[tokio::test]
async fn with_surge_and_no_spare_node_an_update_waits_at_the_scheduler_and_nothing_is_lost() -> Result<()> {
    let world = World::new("surge").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let nodes = world.nodes(NODES).await?;
    world.run_on(&nodes, with_surge(deployment("web", "web"), 1, 0)).await?;
    let first = world.rolled_out("web", NODES).await?;

    world.roll("web", "2").await?;
    let with_one_more = world.pods("web", NODES + 1).await?;
    let newcomer = names(&with_one_more).difference(&names(&first)).next().cloned();
    let newcomer = newcomer.context("no pod is new")?;
    let word = world.unschedulable(&newcomer).await?;
    ensure!(word.contains("free ports"), "{word}");

    // What docs/concepts.md says to do about it.
    let api: Api<k8s_openapi::api::apps::v1::Deployment> = world.api();
    let strategy = json!({ "spec": { "strategy": {
        "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 },
    } } });
    api.patch("web", &PatchParams::default(), &Patch::Merge(strategy)).await?;

    let second = world.rolled_out("web", NODES).await?;
    ensure!(names(&first).is_disjoint(&names(&second)) && places(&second)?.len() == NODES);
    ensure!(world.bound("web").await? == port, "the number has moved");
    Ok(())
}
