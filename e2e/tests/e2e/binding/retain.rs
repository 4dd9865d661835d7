//! Class policy Retain: a port waits for an administrator.

use anyhow::{Result, ensure};
use crds::{HostPortPhase, ReclaimPolicy};

use crate::support::{Class, World};

/// A class of one number, Released and retained, and a claim that waits for it.
async fn retained(world: &World) -> Result<(Class, u16)> {
    let class = world.class_with(1, |spec| spec.reclaim_policy = ReclaimPolicy::Retain).await?;
    let port = world.bind("first", &class).await?;
    world.delete_claim("first").await?;
    let released = world.hostport_in(port, HostPortPhase::Released).await?.spec;
    ensure!(released.held_by.as_deref() == Some("admin (Retain)"), "{released:?}");
    world.claim("second", &class).await?;
    world.says("second", "PoolExhausted").await?;
    world.counts(&class, [0, 1, 0, 0, 1]).await?;
    Ok((class, port))
}

#[tokio::test]
async fn a_retained_port_is_available_again_when_its_claim_ref_is_cleared() -> Result<()> {
    let world = World::new("cleared").await?;
    let (class, port) = retained(&world).await?;
    let before = world.hostport(port).await?.and_then(|it| it.metadata.uid);

    // As the runbook says.
    let patch = r#"[{"op":"remove","path":"/spec/claimRef"}]"#;
    world.kubectl(&["patch", "hp", &port.to_string(), "--type=json", "-p", patch]).await?;

    ensure!(world.bound("second").await? == port);
    let granted = world.hostport_in(port, HostPortPhase::Bound).await?;
    ensure!(granted.metadata.uid == before, "the same HostPort");
    ensure!(granted.spec.held_by.is_none() && granted.spec.released_at.is_none(), "{:?}", granted.spec);
    world.counts(&class, [1, 0, 0, 0, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn an_available_port_waits_for_the_next_claim() -> Result<()> {
    let world = World::new("available").await?;
    let (class, port) = retained(&world).await?;
    world.delete_claim("second").await?;
    world.counts(&class, [0, 1, 0, 0, 0]).await?;

    let patch = r#"[{"op":"remove","path":"/spec/claimRef"}]"#;
    world.kubectl(&["patch", "hp", &port.to_string(), "--type=json", "-p", patch]).await?;
    let available = world.hostport_in(port, HostPortPhase::Available).await?.spec;

    ensure!(available.released_at.is_none() && available.held_by.is_none(), "{available:?}");
    ensure!(world.bind("third", &class).await? == port);
    Ok(())
}

#[tokio::test]
async fn a_retained_port_that_is_deleted_goes_back_to_the_pool() -> Result<()> {
    let world = World::new("forgotten").await?;
    let (class, port) = retained(&world).await?;

    world.kubectl(&["delete", "hp", &port.to_string()]).await?;

    ensure!(world.bound("second").await? == port);
    world.counts(&class, [1, 0, 0, 0, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn a_retained_port_stays_for_a_claim_of_its_name_and_for_the_administrator() -> Result<()> {
    let world = World::new("stays").await?;
    let (class, port) = retained(&world).await?;
    let before = world.hostport(port).await?.and_then(|it| it.metadata.uid);

    // Its rest of 1 s is over, or HELD-BY would not say what it waits for.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let still = world.hostport_in(port, HostPortPhase::Released).await?;
    ensure!(still.metadata.uid == before && still.spec.claim_ref.is_some(), "{:?}", still.spec);
    world.says("second", "PoolExhausted").await?;

    world.claim("first", &class).await?;
    ensure!(world.bound("first").await? == port);
    world.says("second", "PoolExhausted").await?;
    Ok(())
}

#[tokio::test]
async fn the_numbers_of_a_retained_block_are_given_back_one_by_one() -> Result<()> {
    let world = World::new("retained").await?;
    let class = world.class_with(3, |spec| spec.reclaim_policy = ReclaimPolicy::Retain).await?;
    world.claim_block("block", &class, 3).await?;
    let first = world.bound("block").await?;
    world.delete_claim("block").await?;
    for port in first..first + 3 {
        world.hostport_in(port, HostPortPhase::Released).await?;
    }

    let patch = r#"[{"op":"remove","path":"/spec/claimRef"}]"#;
    world.kubectl(&["patch", "hp", &(first + 1).to_string(), "--type=json", "-p", patch]).await?;
    ensure!(world.bind("single", &class).await? == first + 1);
    let single = world.hostport_in(first + 1, HostPortPhase::Bound).await?;
    ensure!(single.spec.block.is_none(), "{:?}", single.spec);

    world.delete_claim("single").await?;
    world.hostport_in(first + 1, HostPortPhase::Released).await?;
    world.claim_block("again", &class, 3).await?;
    for port in first..first + 3 {
        world.kubectl(&["delete", "hp", &port.to_string()]).await?;
    }
    ensure!(world.bound("again").await? == first);
    Ok(())
}
