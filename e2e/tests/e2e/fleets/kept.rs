//! Claims by name: made when their pods come, and kept, or not.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use serde_json::json;

use super::{numbers, stateful_set};
use crate::support::{World, create, host_ports, pod, pod_with, web};

#[tokio::test]
async fn a_stateful_set_scaled_down_and_up_keeps_its_numbers() -> Result<()> {
    let world = World::new("kept").await?;
    let class = world.class(8).await?;
    let annotations = json!({
        "claim.hostport.io/web": "sip-$(POD_INDEX)", "class.hostport.io/web": class.name,
        "hostport.io/when-deleted": "Delete",
    });
    create::<StatefulSet>(&world.api(), stateful_set("sbc", 3, &annotations)).await?;
    let before = numbers(&world.pods("sbc", 3).await?);
    for index in 0..3 {
        let port = i32::from(world.bound(&format!("sip-{index}")).await?);
        ensure!(before[&format!("sbc-{index}")] == [port], "{before:?}");
    }

    world.scale("sbc", 1).await?;
    world.pods("sbc", 1).await?;
    ensure!(world.claims().await?.len() == 3, "they are kept");
    world.scale("sbc", 3).await?;

    ensure!(numbers(&world.pods("sbc", 3).await?) == before);
    world.kubectl(&["delete", "statefulset", "sbc"]).await?;
    world
        .until("the claims to go with their set", || async {
            let left = world.claims().await?;
            ensure!(left.is_empty(), "{:?}", left.keys());
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_place_that_is_scaled_away_gives_its_number_back_if_asked_to() -> Result<()> {
    let world = World::new("scaled").await?;
    let class = world.class(8).await?;
    let annotations = json!({
        "claim.hostport.io/web": "$(POD_NAME)", "class.hostport.io/web": class.name,
        "hostport.io/when-scaled": "Delete",
    });
    create::<StatefulSet>(&world.api(), stateful_set("sbc", 2, &annotations)).await?;
    let before = numbers(&world.pods("sbc", 2).await?);

    // A pod that only comes again keeps its claim.
    let uid = world.get_claim("sbc-1").await?.uid();
    world.delete_pod("sbc-1").await?;
    world
        .until("sbc-1 to come again with its number", || async {
            let pods = world.pods("sbc", 2).await?;
            ensure!(numbers(&pods) == before, "{:?}", numbers(&pods));
            Ok(())
        })
        .await?;
    ensure!(world.get_claim("sbc-1").await?.uid() == uid);

    world.scale("sbc", 1).await?;
    world.claim_is_gone("sbc-1").await?;

    world.bound("sbc-0").await?;
    world.kubectl(&["delete", "statefulset", "sbc"]).await?;
    world.pods("sbc", 0).await?;
    ensure!(world.claims().await?.contains_key("sbc-0"), "when-deleted is Retain");
    Ok(())
}

#[tokio::test]
async fn a_claim_that_a_user_has_applied_is_used_as_it_is() -> Result<()> {
    let world = World::new("applied").await?;
    let class = world.class(4).await?;
    world.claim_port("mine", &class, class.last).await?;
    world.bound("mine").await?;
    let before = world.get_claim("mine").await?;

    let named = json!({"claim.hostport.io/web": "mine", "class.hostport.io/web": class.name});
    let stored = world.create_pod(pod_with("echo", named, json!([web(80)]))).await?;
    world.protected("mine").await?;

    ensure!(host_ports(&stored) == [i32::from(class.last)]);
    let after = world.get_claim("mine").await?;
    ensure!(after.labels() == before.labels() && after.annotations() == before.annotations());
    ensure!(after.owner_references().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_pod_without_name_or_index_is_told_what_to_use() -> Result<()> {
    let world = World::new("nameless").await?;
    for (value, words) in [("web-$(POD_INDEX)", "has no index"), ("$(POD_NAME)", "has no name yet")] {
        let mut nameless = pod("x", value);
        nameless["metadata"]["generateName"] = json!("echo-");
        nameless["metadata"].as_object_mut().context("metadata")?.remove("name");

        let said = world.denied(nameless).await?;

        ensure!(said.contains(words) && said.contains("class.hostport.io/<port-name>"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_dry_run_makes_no_claim() -> Result<()> {
    let world = World::new("drymake").await?;
    let class = world.class(4).await?;
    for annotations in [
        json!({"claim.hostport.io/web": "web", "class.hostport.io/web": class.name}),
        json!({"class.hostport.io/web": class.name}),
        json!({"hostport.io/enabled": "true", "hostport.io/class": class.name}),
    ] {
        let file = pod_with("echo", annotations, json!([web(80)])).to_string();

        let said = world.env.run(&["create", "--dry-run=server", "-o", "yaml", "-f", "-"], &file).await?;

        ensure!(!said.contains("hostPort:"), "{said}");
        ensure!(world.claims().await?.is_empty(), "I7");
    }
    Ok(())
}
