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
