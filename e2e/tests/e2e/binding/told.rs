//! What is told, where, and how often: events, audit lines, and silence when there is nothing to tell.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::{Class, World, pod, pod_with};

#[tokio::test]
async fn events_tell_of_trouble_and_of_no_bind() -> Result<()> {
    let world = World::new("events").await?;
    let class = world.class(1).await?;

    world.bind("web", &class).await?;
    world.claim("waits", &class).await?;
    world.claim_port("outside", &class, class.last + 1).await?;
    world.claim_spec("classless", Some("gamez"), None).await?;

    world.event("PoolExhausted", "No free port in class").await?;
    world.event("PortOutsidePools", "is not in class").await?;
    world.event("ClassNotFound", "No class named \"gamez\"").await?;
    let told = world.troubles().await?;
    ensure!(told.len() == 3, "{told:?}");
    let described = world.kubectl(&["describe", "hpc", "waits"]).await?;
    ensure!(described.contains("Warning  PoolExhausted"), "{described}");
    let described = world.kubectl(&["describe", "hpc", "web"]).await?;
    ensure!(described.contains("<none>") && described.contains("Holds port"), "{described}");
    Ok(())
}

#[tokio::test]
async fn a_grant_a_release_and_a_free_are_one_line_each_for_the_auditor() -> Result<()> {
    let world = World::new("audit").await?;
    let class = world.class(1).await?;

    let port = world.bind("web", &class).await?;
    let uid = world.get_claim("web").await?.uid();
    world.delete_claim("web").await?;
    world.hostport_is_gone(port).await?;

    let lines = world
        .until("the line of the free", || async {
            let lines = audited(&world, port)?;
            ensure!(lines.iter().any(|line| line["deed"] == "free"), "{lines:?}");
            Ok(lines)
        })
        .await?;
    let deeds: Vec<_> = lines.iter().filter_map(|line| line["deed"].as_str()).collect();
    ensure!(deeds == ["grant", "release", "free"], "{lines:?}");
    for line in &lines {
        ensure!(line["class"] == class.name && line["claim"] == format!("{}/web", world.ns()), "{line}");
        ensure!(line["uid"].as_str() == uid.as_deref() && line["target"] == "audit", "{line}");
    }
    Ok(())
}

fn audited(world: &World, port: u16) -> Result<Vec<Value>> {
    let log = fs::read_to_string(world.operator.log())?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["target"] == "audit" && line["port"] == port).collect())
}

/// I9
#[tokio::test]
async fn nothing_is_written_while_nothing_changes() -> Result<()> {
    let world = World::new("quiet").await?;
    let class = world.class(4).await?;
    let small = world.class_with(1, |spec| spec.reclaim_policy = crds::ReclaimPolicy::Retain).await?;
    let raw = json!([{"containerPort": 80, "hostPort": class.last}]);
    world.create_pod(pod_with("raw", json!({}), raw)).await?;
    world.bind("web", &class).await?;
    world.create_pod(pod("user", "web")).await?;
    world.protected("web").await?;
    world.bind("leaves", &class).await?;
    world.create_pod(pod("leaver", "leaves")).await?;
    world.protected("leaves").await?;
    world.delete_claim("leaves").await?;
    world.says("leaves", "InUse").await?;
    world.bind("retained", &small).await?;
    world.delete_claim("retained").await?;
    world.claim("waits", &small).await?;
    world.says("waits", "PoolExhausted").await?;
    world.claim_port("taken", &class, class.first).await?;
    world.says("taken", "PortTaken").await?;
    world.claim_port("outside", &class, class.last + 1).await?;
    world.says("outside", "PortOutsidePools").await?;
    world.counts(&class, [2, 0, 1, 1, 1]).await?;
    world.counts(&small, [0, 1, 0, 0, 1]).await?;
    world.event("PortTaken", "is held by claim").await?;
    world.event("PortOutsidePools", "is not in class").await?;

    let (before, versions) = (writes(&world)?, versions(&world, &[&class, &small]).await?);
    let audited = world.env.cluster().audit_log().is_some();
    ensure!(!audited || before.len() > 10, "the audit log has few of the writes until now: {before:?}");
    // Quiet is a length of time: nothing else can be waited for.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (after, versions_after) = (writes(&world)?, self::versions(&world, &[&class, &small]).await?);

    ensure!(versions == versions_after, "{versions:?} became {versions_after:?}");
    let more = &after[before.len().min(after.len())..];
    ensure!(more.is_empty(), "{} writes in ten quiet seconds: {more:#?}", more.len());
    Ok(())
}

/// The writes to objects of ours that concern this world, also those that changed nothing; of our own cluster only.
fn writes(world: &World) -> Result<Vec<String>> {
    let Some(log) = world.env.cluster().audit_log() else { return Ok(Vec::new()) };
    let log = fs::read_to_string(log)?;
    let lines = log
        .lines()
        .filter(|line| line.contains(world.ns()))
        .filter_map(|line| serde_json::from_str(line).ok());
    let written = lines.filter_map(|line: Value| {
        let (verb, object) = (line["verb"].as_str()?, &line["objectRef"]);
        let ours = object["apiGroup"] == "hostport.io" || object["apiGroup"] == "events.k8s.io";
        let write = !["get", "list", "watch"].contains(&verb);
        // The scheduler tells of pods that it finds no node for.
        let controllers = line["user"]["username"].as_str()?.starts_with("system:");
        (ours && write && !controllers).then(|| format!("{verb} {}", line["requestURI"]))
    });
    Ok(written.collect())
}

/// The versions of all that is ours and concerns this world.
async fn versions(world: &World, classes: &[&Class]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for class in classes {
        found.push(world.get_class(class).await?.resource_version().context("a version")?);
        let of_class = ListParams::default().fields(&format!("spec.class={}", class.name));
        found.extend(
            world.hostports().list(&of_class).await?.iter().filter_map(ResourceExt::resource_version),
        );
    }
    let claims = world.api::<crds::HostPortClaim>().list(&ListParams::default()).await?;
    found.extend(claims.iter().filter_map(ResourceExt::resource_version));
    Ok(found)
}
