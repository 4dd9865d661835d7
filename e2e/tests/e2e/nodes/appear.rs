//! A cluster that has no nodes yet, as where an autoscaler starts from nothing: claims are not about nodes.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;

use crate::support::{World, deployment, host_ports, places};

#[tokio::test]
async fn without_nodes_claims_bind_and_pods_wait_and_run_when_a_node_appears() -> Result<()> {
    let world = World::new("no-nodes").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    let class = world.class(3).await?;
    let nodes = world.nodes_to_come(1);

    let mut claimed = Vec::new();
    for name in ["a", "b", "c"] {
        claimed.push((name, world.bind(name, &class).await?));
        world.run_on(&nodes, deployment(name, name)).await?;
    }
    // Where an autoscaler sees them: at the scheduler, with their numbers.
    for (name, port) in &claimed {
        let pods: Vec<Pod> = world.pods(name, 1).await?;
        ensure!(host_ports(&pods[0]) == [i32::from(*port)], "{:?}", host_ports(&pods[0]));
        world.unschedulable(pods[0].metadata.name.as_deref().unwrap_or_default()).await?;
    }
    world.counts(&class, [3, 0, 0, 0, 0]).await?;

    world.make_nodes(&nodes).await?;

    let mut all = Vec::new();
    for (name, port) in &claimed {
        let pods = world.rolled_out(name, 1).await?;
        ensure!(host_ports(&pods[0]) == [i32::from(*port)], "{:?}", host_ports(&pods[0]));
        all.extend(pods);
    }
    ensure!(places(&all)?.len() == 3);
    Ok(())
}
