//! What people do to grants by hand, and claims that come again.

use anyhow::{Context, Result, ensure};
use crds::{ClaimPhase, HostPortClaim, HostPortPhase};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{World, claim_yaml, host_ports, pod, yaml};

#[tokio::test]
async fn a_host_port_deleted_by_hand_comes_back_to_its_claim_though_others_wait() -> Result<()> {
    let world = World::new("handdeleted").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let before = world.hostport(port).await?.and_then(|it| it.uid());
    for number in 0..3 {
        let name = format!("waits-{number}");
        world.claim(&name, &class).await?;
        world.says(&name, "PoolExhausted").await?;
    }

    world.kubectl(&["delete", "hp", &port.to_string()]).await?;

    let again = world
        .until("the HostPort to come back", || async {
            let found = world.hostport(port).await?.context("it is gone")?;
            ensure!(found.uid() != before, "it is not gone yet");
            Ok(found.spec)
        })
        .await?;
    let holder = again.claim_ref.context("it has a holder")?;
    ensure!(holder.name == "web" && holder.uid == world.get_claim("web").await?.uid(), "{}", holder.name);
    ensure!(world.bound("web").await? == port);
    for number in 0..3 {
        world.says(&format!("waits-{number}"), "PoolExhausted").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_tampered_status_yields_neither_a_host_port_nor_a_pod() -> Result<()> {
    let world = World::new("tampered").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(1).await?;
    let theirs = neighbour.bind("theirs", &class).await?;

    for (name, number) in [("kubelet", 10250), ("stolen", theirs)] {
        world.claim(name, &class).await?;
        world.says(name, "PoolExhausted").await?;
        let forged = json!({"status": {"phase": "Bound", "port": number, "conditions": [{
            "type": "Ready", "status": "True", "reason": "Bound", "message": "So say I.",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}});
        world
            .api::<HostPortClaim>()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(forged))
            .await?;

        let said = world.denied(pod(name, name)).await?;
        ensure!(said.contains(&format!("claim \"{name}\"")), "{said}");
        world
            .until(&format!("claim {name} to be Lost"), || async {
                let status = world.get_claim(name).await?.status.unwrap_or_default();
                ensure!(status.phase == ClaimPhase::Lost, "{status:?}");
                Ok(())
            })
            .await?;
        let said = world.denied(pod(name, name)).await?;
        ensure!(said.contains(&format!("claim \"{name}\" is not Bound")), "{said}");
    }

    ensure!(world.hostport(10250).await?.is_none(), "a HostPort for the kubelet's port");
    let kept = world.hostport_in(theirs, HostPortPhase::Bound).await?.spec.claim_ref.context("it is held")?;
    ensure!(kept.namespace == neighbour.ns() && kept.name == "theirs", "{kept:?}");
    ensure!(host_ports(&neighbour.create_pod(pod("web", "theirs")).await?) == [i32::from(theirs)]);
    Ok(())
}

#[tokio::test]
async fn a_lost_claim_says_so_and_says_when_its_number_is_back() -> Result<()> {
    let world = World::new("lost").await?;
    let class = world.class(2).await?;
    let port = world.bind("web", &class).await?;
    let other = if port == class.first { class.last } else { class.first };
    world.set_pools(&class, &[(other, other)]).await?;

    world.kubectl(&["delete", "hp", &port.to_string()]).await?;
    world.event("PortOutsidePools", &port.to_string()).await?;
    ensure!(world.says("web", "PortOutsidePools").await?.contains(&port.to_string()));

    world.set_pools(&class, &[(class.first, class.last)]).await?;
    ensure!(world.bound("web").await? == port);
    world.event("Bound", &format!("Holds port {port}")).await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_made_again_under_its_name_gets_its_number_back() -> Result<()> {
    let world = World::new("again").await?;
    // A number that the delay would keep from everybody else for the whole test.
    let class = world.class_with(3, |spec| spec.reuse_delay = "1h".parse().expect("a delay")).await?;
    world.bind("first", &class).await?;
    let port = world.bind("web", &class).await?;
    let before = world.get_claim("web").await?.uid();
    let stored = world.create_pod(pod("user", "web")).await?;

    let file = yaml(&[claim_yaml("web", &class)]);
    // kubectl waits for the end of a deletion, and this claim's does not end while it is protected.
    world.kubectl(&["delete", "hpc", "web", "--wait=false"]).await?;
    world.delete_pod("user").await?;
    world.claim_is_gone("web").await?;
    world.env.apply(&file).await?;

    ensure!(world.bound("web").await? == port, "the same number, at once");
    let again = world.get_claim("web").await?.uid();
    ensure!(again != before);
    let holder = world.hostport_in(port, HostPortPhase::Bound).await?.spec.claim_ref.context("it is held")?;
    ensure!(holder.uid == again);
    ensure!(host_ports(&stored) == [i32::from(port)]);
    Ok(())
}

#[tokio::test]
async fn a_claim_recreated_in_one_breath_gets_its_number_back() -> Result<()> {
    let world = World::new("breath").await?;
    let class = world.class_with(3, |spec| spec.reuse_delay = "1h".parse().expect("a delay")).await?;
    let port = world.bind("web", &class).await?;

    for _ in 0..5 {
        world.delete_claim("web").await?;
        world.claim("web", &class).await?;
        ensure!(world.bound("web").await? == port);
    }
    Ok(())
}
