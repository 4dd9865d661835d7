//! Claims with a count: consecutive numbers, held and given back as one.

use anyhow::{Context, Result, ensure};
use crds::HostPortPhase;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::{World, annotation, host_ports, pod_with, variable};

/// A pod whose port "rtp" is claimed.
fn media(name: &str, source: &str) -> Value {
    let ports = json!([{"name": "rtp", "containerPort": 1, "protocol": "UDP"}]);
    pod_with(name, json!({"claim.hostport.io/rtp": source}), ports)
}

fn sorted(pod: &Pod) -> Vec<i32> {
    let mut ports = host_ports(pod);
    ports.sort_unstable();
    ports
}

#[tokio::test]
async fn a_block_is_bound_as_one_and_a_pod_carries_all_of_it_or_one_number() -> Result<()> {
    let world = World::managed("block").await?;
    let class = world.class(5).await?;
    let (a, c) = (class.first, class.first + 2);

    world.claim_block("rtp", &class, 3).await?;
    ensure!(world.bound("rtp").await? == a);

    let status = world.get_claim("rtp").await?.status.context("a status")?;
    ensure!(status.count == Some(3) && status.ports == Some(format!("{a}-{c}")), "{status:?}");
    let uid = world.get_claim("rtp").await?.uid();
    for hostport in world.block(a, 3).await? {
        ensure!(hostport.spec.claim_ref.and_then(|claim| claim.uid) == uid);
    }
    ensure!(world.hostport(c + 1).await?.is_none(), "3, not more");
    let table = world.kubectl(&["get", "hpc", "rtp"]).await?;
    ensure!(table.contains(&format!(" {a}-{c} ")), "{table}");
    let message = world.says("rtp", "Bound").await?;
    ensure!(message.contains(&format!("ports {a}-{c}")), "{message}");
    world.counts(&class, [3, 0, 0, 2, 0]).await?;

    let all = world.create_pod(media("all", "rtp")).await?;
    ensure!(sorted(&all) == [i32::from(a), i32::from(a + 1), i32::from(c)], "{:?}", sorted(&all));
    let ports = serde_json::to_value(&all)?["spec"]["containers"][0]["ports"].clone();
    ensure!(
        ports[0]["name"] == "rtp" && ports[0]["hostPort"] == a && ports[0]["protocol"] == "UDP",
        "{ports}"
    );
    ensure!(ports[1].get("name").is_none() && ports[2].get("name").is_none(), "{ports}");
    ensure!(variable(&all, "HOSTPORT_RTP") == Some(a.to_string()));
    ensure!(variable(&all, "HOSTPORT_RTP_LAST") == Some(c.to_string()));
    ensure!(annotation(&all, "port.hostport.io/rtp") == Some(a.to_string().as_str()));

    let one = world.create_pod(media("one", "rtp/1")).await?;
    ensure!(host_ports(&one) == [i32::from(a + 1)], "{:?}", host_ports(&one));
    ensure!(variable(&one, "HOSTPORT_RTP") == Some((a + 1).to_string()));
    ensure!(variable(&one, "HOSTPORT_RTP_LAST").is_none());
    let said = world.denied(media("beyond", "rtp/3")).await?;
    ensure!(said.contains("asks for number 3 of claim \"rtp\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_number_that_forgot_its_block_is_told_again_and_pods_come_through() -> Result<()> {
    let world = World::new("forgot").await?;
    let class = world.class(2).await?;
    world.claim_block("rtp", &class, 2).await?;
    world.bound("rtp").await?;
    let last = class.last.to_string();

    world.kubectl(&["patch", "hp", &last, "--type=merge", "--patch", "{\"spec\":{\"block\":null}}"]).await?;

    world.until("the number to be of the block again", || world.block(class.first, 2)).await?;
    let stored = world.create_pod(media("all", "rtp")).await?;
    ensure!(sorted(&stored) == [i32::from(class.first), i32::from(class.last)], "{:?}", sorted(&stored));
    Ok(())
}

#[tokio::test]
async fn a_block_waits_for_a_run_and_holds_up_no_single_claim() -> Result<()> {
    let world = World::new("run").await?;
    let class = world.class(5).await?;
    world.claim_block("first", &class, 3).await?;
    world.bound("first").await?;

    world.claim_block("second", &class, 3).await?;
    let message = world.says("second", "PoolExhausted").await?;
    let words = format!(
        "No 3 consecutive free ports in class \"{}\" ({}-{}). The claim binds by itself when such a run is free. ",
        class.name, class.first, class.last
    );
    ensure!(message.starts_with(&words), "{message}");
    let numbers = world.get_claim("second").await?.status.unwrap_or_default();
    ensure!(numbers.port.is_none() && numbers.count.is_none() && numbers.ports.is_none(), "{numbers:?}");
    ensure!(world.bind("single", &class).await? == class.first + 3, "the block does not hold it up");
    world.counts(&class, [4, 0, 0, 1, 1]).await?;

    world.delete_claim("first").await?;
    ensure!(world.bound("second").await? == class.first);
    world.block(class.first, 3).await?;
    world.counts(&class, [4, 0, 0, 1, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn a_count_above_what_the_class_allows_stalls_the_claim() -> Result<()> {
    let world = World::new("count").await?;
    let class = world.class_with(5, |spec| spec.max_count = 2).await?;

    world.claim_block("large", &class, 3).await?;

    let message = world.stalled("large", "CountTooLarge").await?;
    ensure!(message.contains("gives at most 2 ports to one claim, this one asks for 3"), "{message}");
    world.patch_class(&class, json!({"spec": {"maxCount": 3}})).await?;
    ensure!(world.bound("large").await? == class.first, "an edit helps");
    Ok(())
}

#[tokio::test]
async fn deleting_the_claim_gives_all_its_numbers_back_once_no_pod_carries_one() -> Result<()> {
    let world = World::new("back").await?;
    let class = world.class(4).await?;
    world.claim_block("rtp", &class, 3).await?;
    let first = world.bound("rtp").await?;
    world.create_pod(media("user", "rtp/2")).await?;
    world.protected("rtp").await?;

    world.delete_claim("rtp").await?;
    let message = world.says("rtp", "InUse").await?;
    ensure!(message.contains(&format!("{} is in use by pod user", first + 2)), "{message}");
    world.delete_pod("user").await?;

    world.claim_is_gone("rtp").await?;
    for port in first..first + 3 {
        world.hostport_is_gone(port).await?;
    }
    world.counts(&class, [0, 0, 0, 4, 0]).await?;
    Ok(())
}

#[tokio::test]
async fn a_block_claim_made_again_under_its_name_keeps_its_block() -> Result<()> {
    let world = World::new("again").await?;
    let class = world.class_with(8, |spec| spec.reuse_delay = "60s".parse().expect("a delay")).await?;
    world.bind("before", &class).await?;
    world.claim_block("rtp", &class, 3).await?;
    let first = world.bound("rtp").await?;
    let uids: Vec<_> = world.block(first, 3).await?.iter().map(ResourceExt::uid).collect();

    world.delete_claim("rtp").await?;
    for port in first..first + 3 {
        world.hostport_in(port, HostPortPhase::Released).await?;
    }
    world.claim_block("rtp", &class, 3).await?;

    ensure!(world.bound_at_once("rtp").await? == first);
    let again: Vec<_> = world.block(first, 3).await?.iter().map(ResourceExt::uid).collect();
    ensure!(uids == again, "the same HostPorts");
    Ok(())
}

#[tokio::test]
async fn a_number_of_a_block_that_is_deleted_by_hand_comes_back() -> Result<()> {
    let world = World::new("hand").await?;
    let class = world.class(4).await?;
    world.claim_block("rtp", &class, 3).await?;
    let first = world.bound("rtp").await?;
    let before = world.hostport(first + 1).await?.context("it stands")?.uid();

    world.kubectl(&["delete", "hp", &(first + 1).to_string()]).await?;

    world
        .until("the number to be back", || async {
            let uid = world.hostport(first + 1).await?.context("it is gone")?.uid();
            ensure!(uid != before, "it was not deleted");
            Ok(())
        })
        .await?;
    world.block(first, 3).await?;
    ensure!(world.bound("rtp").await? == first);
    ensure!(world.get_claim("rtp").await?.status.unwrap_or_default().count == Some(3));
    Ok(())
}
