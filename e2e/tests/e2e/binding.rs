//! From a claim to a port, and back to the pool.

mod classless;
mod many;
mod pools;
mod release;
mod restore;
mod retain;
mod told;
mod wanted;

use anyhow::{Result, ensure};

use crate::support::{World, claim_yaml, deployment, host_ports, yaml};

#[tokio::test]
async fn a_claim_and_its_deployment_may_be_applied_at_once_in_either_order() -> Result<()> {
    let world = World::new("order").await?;
    let class = world.class(2).await?;

    let claim_first = [claim_yaml("one", &class), deployment("one", "one")];
    let claim_last = [deployment("two", "two"), claim_yaml("two", &class)];
    world.env.apply(&yaml(&claim_first)).await?;
    world.env.apply(&yaml(&claim_last)).await?;

    for name in ["one", "two"] {
        let port = world.bound(name).await?;
        let pods = world.pods(name, 1).await?;
        ensure!(host_ports(&pods[0]) == [i32::from(port)], "{name}: {:?}", host_ports(&pods[0]));
    }
    Ok(())
}
