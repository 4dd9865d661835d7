//! HostPorts that an administrator makes before there is a claim.

use anyhow::{Result, ensure};
use crds::HostPortPhase;
use kube::ResourceExt;

use crate::support::{World, range};

#[tokio::test]
async fn a_hostport_made_by_the_administrator_is_used_first_also_outside_the_pools() -> Result<()> {
    let world = World::new("made").await?;
    let class = world.class(4).await?;
    let outside = range(1);
    let made = world.make_hostport(outside, &class, None).await?;
    world.make_hostport(class.last, &class, None).await?;
    world.knows_hostports(&class).await?;

    let mut given = [world.bind("one", &class).await?, world.bind("two", &class).await?];
    given.sort_unstable();
    let mut expected = [outside, class.last];
    expected.sort_unstable();
    ensure!(given == expected, "{given:?}");
    ensure!(world.bind("three", &class).await? == class.first, "then the class's own");
    let bound = world.hostport_in(outside, HostPortPhase::Bound).await?;
    ensure!(bound.uid() == made.uid(), "the same HostPort");
    ensure!(bound.spec.reclaim_policy == crds::ReclaimPolicy::Retain, "as it was made: {:?}", bound.spec);
    Ok(())
}

#[tokio::test]
async fn a_claim_takes_exactly_the_hostport_that_it_names() -> Result<()> {
    let world = World::new("named").await?;
    let class = world.class(4).await?;
    world.make_hostport(class.first + 1, &class, None).await?;
    let made = world.make_hostport(class.first + 2, &class, None).await?;

    let name = (class.first + 2).to_string();
    world.claim_with("exact", &class, |spec| spec.host_port_name = Some(name)).await?;

    ensure!(world.bound("exact").await? == class.first + 2);
    let bound = world.hostport_in(class.first + 2, HostPortPhase::Bound).await?;
    ensure!(bound.uid() == made.uid(), "the same HostPort");
    let other = world.hostport_in(class.first + 1, HostPortPhase::Available).await?;
    ensure!(other.spec.claim_ref.is_none(), "{:?}", other.spec);
    Ok(())
}

#[tokio::test]
async fn a_claim_for_a_hostport_that_is_not_there_waits_until_it_is_made() -> Result<()> {
    let world = World::new("absent").await?;
    let class = world.class(2).await?;
    let outside = range(1);

    // In the pools and free, but nobody has made it; and outside.
    for (claim, port) in [("inside", class.first), ("outside", outside)] {
        let name = port.to_string();
        world.claim_with(claim, &class, |spec| spec.host_port_name = Some(name)).await?;
        let message = world.says(claim, "HostPortNotFound").await?;
        ensure!(message.starts_with(&format!("There is no HostPort \"{port}\".")), "{message}");
        world.make_hostport(port, &class, None).await?;
        ensure!(world.bound(claim).await? == port, "{claim}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hostport_with_a_claim_ref_is_kept_for_its_claim() -> Result<()> {
    let world = World::new("kept").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(1).await?;
    let made = world.make_hostport(class.first, &class, Some((world.ns(), "keeper"))).await?;

    world.claim("other", &class).await?;
    neighbour.claim("keeper", &class).await?;
    world.claim_port("wants", &class, class.first).await?;
    world.says("other", "PoolExhausted").await?;
    neighbour.says("keeper", "PoolExhausted").await?;
    let message = world.says("wants", "PortTaken").await?;
    ensure!(message.contains("\"keeper\""), "{message}");
    let kept = world.hostport_in(class.first, HostPortPhase::Available).await?;
    ensure!(kept.uid() == made.uid(), "nobody has touched it");

    // It names no class: that of its HostPort.
    world.claim_spec("keeper", None, None).await?;
    ensure!(world.bound("keeper").await? == class.first);
    let status = world.get_claim("keeper").await?.status.unwrap_or_default();
    ensure!(status.host_port_class_name.as_deref() == Some(class.name.as_str()), "{status:?}");
    world.says("other", "PoolExhausted").await?;
    Ok(())
}

#[tokio::test]
async fn a_hostport_of_another_class_is_refused_with_a_sentence() -> Result<()> {
    let world = World::new("otherclass").await?;
    let (class, other) = (world.class(1).await?, world.class(1).await?);
    world.make_hostport(other.first, &other, None).await?;
    world.make_hostport(range(1), &other, Some((world.ns(), "keeper"))).await?;
    world.knows_hostports(&other).await?;

    let name = other.first.to_string();
    world.claim_with("named", &class, |spec| spec.host_port_name = Some(name)).await?;
    world.claim("keeper", &class).await?;

    for claim in ["named", "keeper"] {
        let message = world.stalled(claim, "PortOutsidePools").await?;
        let words = format!("is not of class \"{}\", which this claim asks for.", class.name);
        ensure!(message.contains(&words), "{claim}: {message}");
    }
    Ok(())
}
