//! A Deployment of scope Node whose pods each have a claim of their own: what a fleet is, small.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use crds::{HostPortClaim, Scope};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{ResourceExt, api::Api};
use serde_json::json;

use crate::support::{World, annotation, deployment, host_ports, places};

const PODS: usize = 6;

#[tokio::test]
async fn a_fleet_on_few_nodes_rolls_stops_starts_and_leaves_nothing() -> Result<()> {
    let world = World::new("fleet").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    // Twelve places; a rolling update needs some for old and new.
    let class = world.class_with(4, |spec| spec.scope = Scope::Node).await?;
    let nodes = world.nodes(3).await?;
    let mut fleet = deployment("fleet", "");
    fleet["spec"]["replicas"] = json!(PODS);
    fleet["spec"]["template"]["metadata"]["annotations"] = json!({ "class.hostport.io/web": class.name });
    world.run_on(&nodes, fleet).await?;
    check(&world).await?;

    world.roll("fleet", "2").await?;
    check(&world).await?;

    let api: Api<Deployment> = world.api();
    for replicas in [0, PODS] {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        api.patch("fleet", &PatchParams::default(), &patch).await?;
        world.rolled_out("fleet", replicas).await?;
    }
    check(&world).await?;

    api.delete("fleet", &DeleteParams::background()).await?;
    world
        .until("claims and HostPorts to be gone", || async {
            let claims = world.api::<HostPortClaim>().list(&ListParams::default()).await?.items;
            let of_class = ListParams::default().labels(&format!("hostport.io/class={}", class.name));
            let hostports = world.hostports().list(&of_class).await?.items;
            ensure!(claims.is_empty() && hostports.is_empty(), "{} and {}", claims.len(), hostports.len());
            Ok(())
        })
        .await
}

/// Each pod carries the number of a claim of its own, and none is on a node twice.
async fn check(world: &World) -> Result<()> {
    let pods = world.rolled_out("fleet", PODS).await?;
    let mut claims = BTreeSet::new();
    for pod in &pods {
        let claim = annotation(pod, "own.hostport.io/web").unwrap_or_default();
        let port = world.bound(claim).await?;
        ensure!(host_ports(pod) == [i32::from(port)], "{} carries {:?}", pod.name_any(), host_ports(pod));
        claims.insert(claim.to_owned());
    }
    ensure!(claims.len() == PODS && places(&pods)?.len() == PODS, "{claims:?}");
    Ok(())
}
