//! Numbers that pods carried before there was a claim.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{World, pod_with};

#[tokio::test]
async fn a_claim_adopts_the_number_that_pods_of_its_namespace_carry_already() -> Result<()> {
    let world = World::new("adopts").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(2).await?;
    let port = class.first;
    let raw = || json!([{"name": "game", "containerPort": 80, "hostPort": port}]);
    for name in ["arena-0", "arena-1"] {
        world.create_pod(pod_with(name, json!({}), raw())).await?;
    }
    world.counts(&class, [0, 0, 1, 1, 0]).await?;

    neighbour.claim_port("theirs", &class, port).await?;
    let message = neighbour.says("theirs", "PortTaken").await?;
    ensure!(message.starts_with(&format!("Port {port} is in use outside this namespace.")), "{message}");
    ensure!(world.bind("any", &class).await? == class.last, "nobody gets it by chance, not even here");
    world.claim_port("game", &class, port).await?;

    ensure!(world.bound("game").await? == port);
    // The neighbour still waits for it.
    world.counts(&class, [2, 0, 0, 0, 1]).await?;
    world.protected("game").await?;
    // From now on nothing else may use it, and the claim keeps it.
    world.label("hostport.io/managed", "true").await?;
    world.create_pod(pod_with("arena-2", json!({"claim.hostport.io/game": "game"}), raw())).await?;
    world.delete_claim("game").await?;
    let message = world.says("game", "InUse").await?;
    ensure!(message.contains("arena-"), "{message}");
    Ok(())
}
