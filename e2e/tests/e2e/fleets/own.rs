//! Claims of one pod alone: adopted by it, gone with it, and none left where no pod came.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;
use serde_json::json;

use super::{numbers, workload};
use crate::support::{World, annotation, create, host_ports, pod_with, web};

/// A claim that nobody adopts is removed after 40 s, and the machine is busy.
const UNADOPTED: Duration = Duration::from_secs(120);

#[tokio::test]
async fn each_pod_of_a_deployment_has_a_claim_that_goes_with_it() -> Result<()> {
    let world = World::new("own").await?;
    let class = world.class(12).await?;
    let annotations = json!({"class.hostport.io/web": class.name});
    create::<Deployment>(&world.api(), workload("Deployment", "arena", 4, &annotations)).await?;

    let pods = world.pods("arena", 4).await?;
    let mut ports: Vec<_> = numbers(&pods).into_values().flatten().collect();
    ports.dedup();
    ensure!(ports.len() == 4, "{ports:?}");
    world
        .until("each pod to have adopted its claim", || async {
            let claims = world.claims().await?;
            for pod in &pods {
                let name = annotation(pod, "own.hostport.io/web").context("it is told its claim")?;
                let owners = claims.get(name).context("the claim is there")?.owner_references();
                ensure!(owners.len() == 1 && Some(&owners[0].uid) == pod.metadata.uid.as_ref(), "{owners:?}");
            }
            ensure!(claims.len() == 4, "{:?}", claims.keys());
            Ok(())
        })
        .await?;

    let (gone, claim) = (pods[0].name_any(), annotation(&pods[0], "own.hostport.io/web").unwrap_or_default());
    world.delete_pod(&gone).await?;
    world.claim_is_gone(claim).await?;

    let after = world.pods("arena", 4).await?;
    ensure!(after.iter().all(|pod| pod.name_any() != gone && host_ports(pod).len() == 1));
    Ok(())
}

#[tokio::test]
async fn a_bare_pod_has_a_claim_made_for_a_block_too() -> Result<()> {
    let world = World::new("ownblock").await?;
    let class = world.class(30).await?;
    let annotations = json!({"class.hostport.io/web": class.name, "count.hostport.io/web": "5"});

    let stored = world.create_pod(pod_with("echo", annotations, json!([web(80)]))).await?;

    ensure!(host_ports(&stored).len() == 5, "{:?}", host_ports(&stored));
    let name = annotation(&stored, "own.hostport.io/web").context("it is told its claim")?;
    ensure!(name.starts_with("echo-"), "{name}");
    world.bound(name).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_pods_that_a_quota_refuses_however_often() -> Result<()> {
    let world = World::new("refused").await?;
    let class = world.class(60).await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}},
    });
    create::<ResourceQuota>(&world.api(), quota).await?;
    let refused = || pod_with("echo", json!({"class.hostport.io/web": class.name}), json!([web(80)]));
    world
        .until("the quota to refuse pods", || async {
            let said = world.denied(refused()).await?;
            ensure!(said.contains("exceeded quota"), "{said}");
            Ok(())
        })
        .await?;
    let made = world.claims().await?.len();
    ensure!(made > 0, "the quota refuses after us");

    let begun = Instant::now();
    for _ in 0..100 {
        world.denied(refused()).await?;
    }

    // 16 in 40 s; on a slow machine a hundred tries take longer.
    let left = world.claims().await?.len();
    let most = 16 * (2 + begun.elapsed().as_secs() as usize / 40);
    ensure!(left <= most, "{left} claims after a hundred tries in {:?}", begun.elapsed());
    let begun = Instant::now();
    world
        .env
        .eventually(UNADOPTED, "the claims to be removed", || async {
            let left = world.claims().await?;
            ensure!(left.is_empty(), "{} are left", left.len());
            Ok(())
        })
        .await?;
    ensure!(begun.elapsed() > Duration::from_secs(30), "a pod may have been on its way");
    Ok(())
}

#[tokio::test]
async fn a_workload_of_an_exhausted_class_is_refused_at_once_and_leaves_no_claim() -> Result<()> {
    let world = World::new("full").await?;
    let class = world.class(1).await?;
    world.bind("first", &class).await?;
    world.counts(&class, [1, 0, 0, 0, 0]).await?;
    let annotations = json!({"class.hostport.io/web": class.name});

    create::<Deployment>(&world.api(), workload("Deployment", "arena", 1, &annotations)).await?;

    world.event("FailedCreate", "has no free port").await?;
    ensure!(world.claims().await?.len() == 1, "{:?}", world.claims().await?.keys());
    world.delete_claim("first").await?;
    world.pods("arena", 1).await?;
    Ok(())
}
