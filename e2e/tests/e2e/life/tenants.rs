//! Which namespaces may claim from a class, and how much.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crds::HostPortPhase;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{World, alone_with_default_classes, create};

fn labelled(key: &str, value: &str) -> Option<LabelSelector> {
    let labels = [(key.to_owned(), value.to_owned())].into();
    Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() })
}

#[tokio::test]
async fn a_class_serves_the_namespaces_that_its_selector_admits() -> Result<()> {
    let world = World::new("selector").await?;
    let class = world.class_with(3, |spec| spec.namespace_selector = labelled("team", "red")).await?;

    world.claim("early", &class).await?;
    let message = world.stalled("early", "NamespaceNotAllowed").await?;
    let words =
        format!("Namespace \"{}\" may not use class \"{}\". Ask the administrator", world.ns(), class.name);
    ensure!(message.starts_with(&words), "{message}");

    world.label("team", "red").await?;
    let port = world.bound("early").await?;

    world.unlabel("team").await?;
    world.claim_until("late", Some(&class.name), "NamespaceNotAllowed").await?;
    ensure!(world.bound("early").await? == port, "what is granted stays");
    world.hostport_in(port, HostPortPhase::Bound).await?;
    Ok(())
}

#[tokio::test]
async fn each_team_has_a_default_class_of_its_own() -> Result<()> {
    let _alone = alone_with_default_classes().await;
    let (red, blue) = (World::new("red").await?, World::new("blue").await?);
    let plain = World::new("plain").await?;
    red.label("default-of", "red").await?;
    blue.label("default-of", "blue").await?;
    let mut classes = Vec::new();
    for team in ["red", "blue"] {
        let class = red.class_with(2, |spec| spec.namespace_selector = labelled("default-of", team)).await?;
        red.make_default(&class, true).await?;
        classes.push(class);
    }

    for world in [&red, &blue, &plain] {
        world.claim_spec("any", None, None).await?;
    }

    ensure!(red.bound("any").await? == classes[0].first);
    ensure!(blue.bound("any").await? == classes[1].first);
    let message = plain.says("any", "ClassNotFound").await?;
    ensure!(message.contains("No default class admits this namespace"), "{message}");
    for class in &classes {
        red.make_default(class, false).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_has_no_more_ports_of_a_class_than_the_class_allows_it() -> Result<()> {
    let world = World::new("limited").await?;
    let neighbour = world.neighbour().await?;
    let class = world
        .class_with(9, |spec| {
            spec.max_per_namespace = Some(3);
            spec.reuse_delay = "60s".parse().expect("a delay");
        })
        .await?;
    world.claim_block("pair", &class, 2).await?;
    world.bound("pair").await?;
    world.bind("one", &class).await?;
    world.measures(&class, (3.0, 3.0)).await?;

    world.claim("waits", &class).await?;
    let message = world.says("waits", "QuotaExceeded").await?;
    let words = format!("Namespace \"{}\" may hold 3 ports of class \"{}\"", world.ns(), class.name);
    ensure!(message.starts_with(&words) && message.ends_with("then binds by itself."), "{message}");
    neighbour.bind("any", &class).await?;
    let free = neighbour.claim_block("four", &class, 4).await?;
    let message = neighbour.says("four", "QuotaExceeded").await?;
    ensure!(free.spec.count == 4 && message.contains("may hold 3 ports"), "{message}");

    world.delete_claim("one").await?;
    world.bound_at_once("waits").await?;
    world.measures(&class, (3.0, 3.0)).await?;

    world.claim("more", &class).await?;
    world.says("more", "QuotaExceeded").await?;
    world.patch_class(&class, json!({"spec": {"maxPerNamespace": 4}})).await?;
    world.bound("more").await?;
    world.measures(&class, (4.0, 4.0)).await
}

#[tokio::test]
async fn a_resource_quota_on_a_class_is_honoured_and_may_be_raised() -> Result<()> {
    let world = World::new("quota").await?;
    let class = world.class(5).await?;
    let resource = format!("{}.hostportclass.hostport.io/ports", class.name);
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "ports"},
        "spec": {"hard": {&resource: "2"}},
    });
    create::<ResourceQuota>(&world.api(), quota).await?;
    world.bind("one", &class).await?;
    world.measures(&class, (1.0, 2.0)).await?;
    world.bind("two", &class).await?;
    world.measures(&class, (2.0, 2.0)).await?;

    world.claim("three", &class).await?;
    let message = world.says("three", "QuotaExceeded").await?;
    ensure!(message.contains("may hold 2 ports"), "{message}");
    let patch = Patch::Merge(json!({"spec": {"hard": {&resource: "3"}}}));
    world.api::<ResourceQuota>().patch("ports", &PatchParams::default(), &patch).await?;

    world.bound("three").await?;
    world.measures(&class, (3.0, 3.0)).await?;
    world.kubectl(&["delete", "resourcequota", "ports"]).await?;
    world.bind("four", &class).await?;
    world
        .until("the metrics to forget the namespace", || async {
            let left = world.gauge("hostport_namespace_ports_limit", &class).await?;
            ensure!(left.is_none(), "{left:?}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn the_count_of_claims_is_limited_by_kubernetes_itself() -> Result<()> {
    let world = World::new("objects").await?;
    let class = world.class(3).await?;
    let resource = "count/hostportclaims.hostport.io";
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "claims"},
        "spec": {"hard": {resource: "1"}},
    });
    // The controller manager finds a new kind after a while, and looks at quotas that it knows already only much later.
    world
        .until("a new quota to be counted", || async {
            let quotas = world.api::<ResourceQuota>();
            drop(quotas.delete("claims", &DeleteParams::default()).await);
            create(&quotas, quota.clone()).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let status = quotas.get("claims").await?.status.unwrap_or_default();
            status.used.and_then(|used| used.get(resource).cloned()).context("not yet")
        })
        .await?;
    world.bind("one", &class).await?;

    let refused = world.claim("two", &class).await.err().context("it was stored")?;

    ensure!(format!("{refused:#}").contains("exceeded quota: claims"), "{refused:#}");
    Ok(())
}
