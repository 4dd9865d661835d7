//! A number that goes from a claim to another of its namespace, without a rest.

use anyhow::{Context, Result, ensure};
use crds::HostPortPhase;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::{Class, World, host_ports, pod, yaml};

/// A class whose numbers rest for a minute, and claim "old" with a number of it in use by pod "user".
async fn in_use(world: &World) -> Result<(Class, u16)> {
    let class = world.class_with(3, |spec| spec.reuse_delay = "60s".parse().expect("a delay")).await?;
    let port = class.first + 1;
    world.claim_port("old", &class, port).await?;
    world.bound("old").await?;
    world.create_pod(pod("user", "old")).await?;
    world.protected("old").await?;
    Ok((class, port))
}

#[tokio::test]
async fn a_number_in_use_goes_to_a_new_claim_at_once_when_the_old_one_is_deleted() -> Result<()> {
    let world = World::managed("handover").await?;
    let neighbour = world.neighbour().await?;
    let (class, port) = in_use(&world).await?;
    let before = world.hostport(port).await?.context("it stands")?.uid();
    world.claim_port("new", &class, port).await?;
    neighbour.claim_port("new", &class, port).await?;
    let message = world.says("new", "PortTaken").await?;
    ensure!(message.contains("Delete that claim and this one takes the port over"), "{message}");
    neighbour.says("new", "PortTaken").await?;

    world.delete_claim("old").await?;

    ensure!(world.bound_at_once("new").await? == port);
    world.claim_is_gone("old").await?;
    let user = world.api::<Pod>().get("user").await?;
    ensure!(host_ports(&user) == [i32::from(port)], "the pod keeps running");
    let granted = world.hostport_in(port, HostPortPhase::Bound).await?;
    ensure!(granted.uid() == before, "the same HostPort");
    ensure!(granted.spec.claim_ref.and_then(|claim| claim.uid) == world.get_claim("new").await?.uid());
    world.protected("new").await?;
    let message = neighbour.says("new", "PortTaken").await?;
    ensure!(message.contains("in use outside this namespace"), "{message}");
    // A new pod uses it by the new name.
    ensure!(host_ports(&world.create_pod(pod("next", "new")).await?) == [i32::from(port)]);
    Ok(())
}

#[tokio::test]
async fn of_two_new_claims_one_takes_the_number_over_and_the_other_is_told_which() -> Result<()> {
    let world = World::new("race").await?;
    let (class, port) = in_use(&world).await?;
    let names = ["left", "right"];
    for name in names {
        world.claim_port(name, &class, port).await?;
    }

    world.delete_claim("old").await?;

    let reasons = || async {
        let [left, right] = names.map(|name| world.get_claim(name));
        let (left, right) = (left.await?, right.await?);
        let reason = |claim: &crds::HostPortClaim| claim.ready_reason().unwrap_or_default().to_owned();
        anyhow::Ok([reason(&left), reason(&right)])
    };
    let winner = world
        .until("one of them to be Bound", || async {
            let reasons = reasons().await?;
            reasons.iter().position(|reason| reason == "Bound").with_context(|| format!("{reasons:?}"))
        })
        .await?;
    let (winner, loser) = (names[winner], names[1 - winner]);
    world
        .until("the other to name the winner", || async {
            let claim = world.get_claim(loser).await?;
            let message = claim.ready_message().unwrap_or_default();
            let words = format!("Port {port} is held by claim \"{winner}\" in this namespace.");
            ensure!(message.starts_with(&words) && claim.ready_reason() == Some("PortTaken"), "{message}");
            Ok(())
        })
        .await
}

/// A claim of an application, as its chart has it.
fn labelled(name: &str, class: &Class, port: u16) -> Value {
    json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": name, "labels": {"app": "shop"}},
        "spec": {"hostPortClassName": class.name, "port": port},
    })
}

#[tokio::test]
async fn a_claim_is_renamed_by_one_kubectl_apply_with_prune() -> Result<()> {
    let world = World::managed("renamed").await?;
    let class = world.class_with(1, |spec| spec.reuse_delay = "60s".parse().expect("a delay")).await?;
    let port = class.first;
    let prune = [
        "apply",
        "-f",
        "-",
        "--prune",
        "--selector",
        "app=shop",
        "--prune-allowlist",
        "hostport.io/v1alpha1/HostPortClaim",
    ];
    let [before, after] = ["web-v1", "web-v2"].map(|name| yaml(&[labelled(name, &class, port)]));
    world.env.run(&prune, &before).await?;
    world.bound("web-v1").await?;
    world.create_pod(pod("user", "web-v1")).await?;
    world.protected("web-v1").await?;

    // As `helm upgrade` does: what is new is created, then what is no longer there is deleted.
    let said = world.env.run(&[&prune[..], &["--wait=false"]].concat(), &after).await?;

    ensure!(said.contains("web-v2 created") && said.contains("web-v1 pruned"), "{said}");
    ensure!(world.bound_at_once("web-v2").await? == port);
    world.claim_is_gone("web-v1").await?;
    ensure!(world.api::<Pod>().get("user").await?.metadata.deletion_timestamp.is_none());
    Ok(())
}

#[tokio::test]
async fn a_block_is_handed_over_as_one() -> Result<()> {
    let world = World::new("blockover").await?;
    let class = world.class_with(5, |spec| spec.reuse_delay = "60s".parse().expect("a delay")).await?;
    let first = class.first + 1;
    let block = |spec: &mut crds::HostPortClaimSpec| {
        (spec.port, spec.count) = (crds::Port::new(first), 3);
    };
    world.claim_with("old", &class, block).await?;
    world.bound("old").await?;
    world.claim_with("new", &class, block).await?;
    world.says("new", "PortTaken").await?;

    world.delete_claim("old").await?;

    ensure!(world.bound_at_once("new").await? == first);
    let uid = world.get_claim("new").await?.uid();
    for hostport in world.block(first, 3).await? {
        ensure!(hostport.spec.claim_ref.and_then(|claim| claim.uid) == uid);
    }
    Ok(())
}

#[tokio::test]
async fn a_claim_takes_a_number_over_into_a_larger_block() -> Result<()> {
    let world = World::new("larger").await?;
    let class = world.class_with(5, |spec| spec.reuse_delay = "60s".parse().expect("a delay")).await?;
    let first = class.first;
    world.claim_port("small", &class, first).await?;
    world.bound("small").await?;
    let large = |spec: &mut crds::HostPortClaimSpec| (spec.port, spec.count) = (crds::Port::new(first), 4);
    world.claim_with("large", &class, large).await?;
    let message = world.says("large", "PortTaken").await?;
    ensure!(message.contains("held by claim \"small\""), "{message}");

    world.delete_claim("small").await?;

    ensure!(world.bound_at_once("large").await? == first);
    world.block(first, 4).await?;
    world.counts(&class, [4, 0, 0, 1, 0]).await
}
