//! A claim that goes while pods use its port (I3).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crds::{HostPortClaim, HostPortPhase};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{World, pod};

const DELAY: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_deleted_claim_stays_while_a_pod_uses_it() -> Result<()> {
    let world = World::new("inuse").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    world.create_pod(pod("user", "web")).await?;
    world.protected("web").await?;

    world.delete_claim("web").await?;

    let message = world.says("web", "InUse").await?;
    ensure!(message.starts_with(&format!("Port {port} is in use by pod user.")), "{message}");
    let claim = world.get_claim("web").await?;
    ensure!(claim.metadata.deletion_timestamp.is_some());
    world.hostport_in(port, HostPortPhase::Bound).await?;

    world.delete_pod("user").await?;
    world.claim_is_gone("web").await?;
    world.hostport_is_gone(port).await?;
    world.counts(&class, [0, 0, 0, 1, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn a_finalizer_removed_by_force_does_not_free_the_port_while_a_pod_carries_it() -> Result<()> {
    let world = World::new("forced").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    world.create_pod(pod("user", "web")).await?;
    world.protected("web").await?;
    world.delete_claim("web").await?;
    world.says("web", "InUse").await?;

    // It is put on no more: that cannot be done to an object that is being deleted.
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world.api::<HostPortClaim>().patch("web", &PatchParams::default(), &none).await?;
    world.claim_is_gone("web").await?;

    let by = format!("pod {}/user", world.ns());
    let held = world
        .until("heldBy to name the pod", || async {
            let found = world.hostport(port).await?.context("I3: the HostPort is gone")?.spec;
            ensure!(found.held_by.as_ref() == Some(&by), "{found:?}");
            Ok(found)
        })
        .await?;
    ensure!(held.phase == HostPortPhase::Released, "{held:?}");
    let events: Api<Event> = Api::namespaced(world.client(), "default");
    world
        .until("an event ReleaseHeld", || async {
            let told = events.list(&ListParams::default()).await?.items;
            let note = format!("Port {port} stays Released: {by} still carries it.");
            let told =
                told.iter().find(|event| event.note.as_ref() == Some(&note)).context("none says so")?;
            ensure!(told.reason.as_deref() == Some("ReleaseHeld"), "{told:?}");
            Ok(())
        })
        .await?;
    world.claim("next", &class).await?;
    world.says("next", "PoolExhausted").await?;

    world.delete_pod("user").await?;
    ensure!(world.bound("next").await? == port);
    Ok(())
}

#[tokio::test]
async fn a_pod_that_has_ended_holds_nothing() -> Result<()> {
    let world = World::new("ended").await?;
    let class = world.class(1).await?;
    let port = world.bind("job", &class).await?;
    world.create_pod(pod("run", "job")).await?;
    world.protected("job").await?;
    world.pod_succeeds("run").await?;

    world.delete_claim("job").await?;

    world.claim_is_gone("job").await?;
    ensure!(world.bind("next", &class).await? == port);
    ensure!(
        world.kubectl(&["get", "pod", "run", "-o", "name"]).await?.trim() == "pod/run",
        "the object is there"
    );
    Ok(())
}

#[tokio::test]
async fn a_released_port_is_not_given_to_others_before_its_delay() -> Result<()> {
    let world = World::new("delay").await?;
    let class = world.class_with(1, |spec| spec.reuse_delay = crds::ReuseDelay::new(DELAY)).await?;
    let port = world.bind("web", &class).await?;
    world.claim("next", &class).await?;
    world.says("next", "PoolExhausted").await?;

    let start = Instant::now();
    world.delete_claim("web").await?;
    let released = world.hostport_in(port, HostPortPhase::Released).await?.spec;
    ensure!(released.released_at.is_some() && released.held_by.is_none(), "{released:?}");
    ensure!(released.reuse_delay.map(crds::ReuseDelay::get) == Some(DELAY), "{released:?}");
    world.counts(&class, [0, 1, 0, 0, 1]).await?;

    ensure!(world.bound("next").await? == port);
    ensure!(start.elapsed() >= DELAY, "I4: after {:?} only", start.elapsed());
    Ok(())
}
