//! Spot nodes: the machine is taken away, then its Node, and after a while its pods, which nobody has ended.

use anyhow::{Context, Result, ensure};
use kube::api::{Api, DeleteParams};

use crate::support::{World, deployment, host_ports, node_of};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test]
async fn spot_nodes_vanish_with_their_pods_and_nothing_leaks() -> Result<()> {
    let world = World::new("spot").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    let class = world.class(NAMES.len() as u16).await?;
    let nodes = world.nodes(2).await?;
    let cluster = world.env.cluster();
    let mut ports = Vec::new();
    for name in NAMES {
        ports.push(world.bind(name, &class).await?);
        world.run_on(&nodes, deployment(name, name)).await?;
    }
    for name in NAMES {
        world.rolled_out(name, 1).await?;
        world.protected(name).await?;
    }

    // One goes: its workloads move to the other, with their numbers.
    let (one, other) = (format!("{}-0", nodes.name), format!("{}-1", nodes.name));
    cluster.remove_fake_node(&one).await?;
    cluster.collect_pods_of(&one).await?;
    for (name, port) in NAMES.into_iter().zip(&ports) {
        let pods = world.rolled_out(name, 1).await?;
        ensure!(
            node_of(&pods[0]) == other && host_ports(&pods[0]) == [i32::from(*port)],
            "{:?}",
            pods[0].spec
        );
    }

    // The last one goes while everything is being deleted: nobody is left to end the pods, so they keep their numbers.
    cluster.remove_fake_node(&other).await?;
    for name in NAMES {
        let api: Api<k8s_openapi::api::apps::v1::Deployment> = world.api();
        api.delete(name, &DeleteParams::background()).await.context("delete a Deployment")?;
        world.delete_claim(name).await?;
    }
    for (name, port) in NAMES.into_iter().zip(&ports) {
        world.says(name, "InUse").await?;
        ensure!(world.hostport(*port).await?.is_some(), "{port} is free while a pod carries it");
    }

    ensure!(cluster.collect_pods_of(&other).await? == NAMES.len());

    for (name, port) in NAMES.into_iter().zip(&ports) {
        world.claim_is_gone(name).await?;
        world.hostport_is_gone(*port).await?;
    }
    world.counts(&class, [0, 0, 0, NAMES.len() as i64, 0]).await?;
    Ok(())
}
