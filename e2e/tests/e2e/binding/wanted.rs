//! Claims that want a certain number.

use anyhow::{Result, ensure};
use crds::HostPortPhase;
use kube::ResourceExt;

use crate::support::{World, pool};

#[tokio::test]
async fn a_wanted_number_is_given_and_no_other() -> Result<()> {
    let world = World::new("wanted").await?;
    let class = world.class(5).await?;

    world.claim_port("middle", &class, class.first + 2).await?;

    ensure!(world.bound("middle").await? == class.first + 2);
    Ok(())
}

#[tokio::test]
async fn a_taken_number_names_the_holder_only_to_its_own_namespace() -> Result<()> {
    let world = World::new("taken").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(2).await?;
    let port = class.first;
    world.claim_port("old-web", &class, port).await?;
    world.bound("old-web").await?;

    world.claim_port("new-web", &class, port).await?;
    neighbour.claim_port("theirs", &class, port).await?;

    let here = world.says("new-web", "PortTaken").await?;
    ensure!(
        here.starts_with(&format!("Port {port} is held by claim \"old-web\" in this namespace.")),
        "{here}"
    );
    let there = neighbour.says("theirs", "PortTaken").await?;
    ensure!(there.starts_with(&format!("Port {port} is in use outside this namespace.")), "{there}");
    ensure!(!there.contains(world.ns()) && !there.contains("old-web"), "{there}");
    // It does not hold up those who take any number.
    ensure!(neighbour.bind("any", &class).await? == class.last);

    neighbour.delete_claim("theirs").await?;
    world.delete_claim("old-web").await?;
    ensure!(world.bound("new-web").await? == port, "it binds by itself");
    Ok(())
}

#[tokio::test]
async fn a_number_that_the_class_does_not_hand_out_stalls_the_claim() -> Result<()> {
    let world = World::new("outside").await?;
    let whole = world.class(3).await?;
    let class = crate::support::Class { last: whole.last - 1, ..whole };
    world.set_pools(&class, &[(class.first, class.last)]).await?;
    let kubelet = world.class_with(0, |spec| spec.pools = vec![pool(10248, 10259)]).await?;

    world.claim_port("outside", &class, class.last + 1).await?;
    world.claim_port("reserved", &kubelet, 10250).await?;
    world.claim("any-reserved", &kubelet).await?;

    let outside = world.says("outside", "PortOutsidePools").await?;
    let words = format!(
        "Port {} is not in class \"{}\" ({}-{}).",
        class.last + 1,
        class.name,
        class.first,
        class.last
    );
    ensure!(outside.starts_with(&words), "{outside}");
    let reserved = world.says("reserved", "PortOutsidePools").await?;
    ensure!(
        reserved.starts_with("Port 10250 is reserved") && reserved.contains("allowReserved"),
        "{reserved}"
    );
    world.says("any-reserved", "PoolExhausted").await?;
    for name in ["outside", "reserved"] {
        let conditions = world.get_claim(name).await?.status.unwrap_or_default().conditions;
        let stalled = conditions.iter().find(|condition| condition.type_ == "Stalled");
        ensure!(stalled.is_some_and(|condition| condition.status == "True"), "{name}: {conditions:?}");
    }
    ensure!(world.hostport(10250).await?.is_none());

    // Only an edit helps, and it does.
    world.set_pools(&class, &[(class.first, class.last + 1)]).await?;
    ensure!(world.bound("outside").await? == class.last + 1);
    let conditions = world.get_claim("outside").await?.status.unwrap_or_default().conditions;
    ensure!(conditions.iter().all(|condition| condition.type_ != "Stalled"), "{conditions:?}");
    Ok(())
}

#[tokio::test]
async fn a_number_that_rests_is_waited_for_by_other_namespaces() -> Result<()> {
    let world = World::new("resting").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class_with(1, |spec| spec.reuse_delay = "4s".parse().expect("a delay")).await?;
    let port = world.bind("first", &class).await?;
    let first = world.get_claim("first").await?.uid();
    world.delete_claim("first").await?;
    let released = world.hostport_in(port, HostPortPhase::Released).await?;

    neighbour.claim_port("second", &class, port).await?;

    let message = neighbour.says("second", "WaitingForReuse").await?;
    let at =
        released.spec.released_at.map(|time| time.0.strftime("%H:%M:%SZ").to_string()).unwrap_or_default();
    ensure!(message.starts_with(&format!("Port {port} was freed at {at} and rests until ")), "{message}");
    ensure!(neighbour.bound("second").await? == port);
    ensure!(released.spec.claim_ref.and_then(|claim| claim.uid) == first);
    Ok(())
}
