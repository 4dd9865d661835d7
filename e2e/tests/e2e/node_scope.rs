//! Classes of scope Node: the same number for many claims, each good for one pod on one node. There are no nodes here, so
//! pods stay Pending.

use anyhow::{Context, Result, ensure};
use crds::{HostPort, HostPortClass, HostPortPhase, Scope};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::support::{Class, World, create, deployment, host_ports, pod, pod_with, pool, variable, web};

impl World {
    async fn node_class(&self, count: u16, most: Option<u32>) -> Result<Class> {
        self.class_with(count, |spec| (spec.scope, spec.max_nodes) = (Scope::Node, most)).await
    }

    /// Binds the claim; the name of its HostPort.
    async fn slot(&self, name: &str, class: &Class) -> Result<String> {
        self.claim(name, class).await?;
        self.bound(name).await?;
        self.slot_of(name).await
    }

    async fn slot_of(&self, name: &str) -> Result<String> {
        let status = self.get_claim(name).await?.status.unwrap_or_default();
        status.host_port_name.with_context(|| format!("claim {name} names no HostPort"))
    }

    async fn slot_is_gone(&self, name: &str) -> Result<()> {
        self.until(&format!("HostPort {name} to be gone"), || async {
            ensure!(self.hostports().get_opt(name).await?.is_none(), "it is still there");
            Ok(())
        })
        .await
    }

    /// Waits until the HostPort is Released and says that this pod holds it back.
    async fn held_by(&self, slot: &str, pod: &str) -> Result<()> {
        let expected = format!("pod {}/{pod}", self.ns());
        self.until(&format!("HostPort {slot} to be held by {expected}"), || async {
            let found: HostPort = self.hostports().get(slot).await?;
            ensure!(found.spec.held_by.as_deref() == Some(&*expected), "{:?}", found.spec);
            ensure!(found.spec.phase == HostPortPhase::Released, "{:?}", found.spec);
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn the_lowest_slot_of_all_numbers_is_bound_first_until_max_nodes_is_reached() -> Result<()> {
    let world = World::new("slots").await?;
    let class = world.node_class(2, Some(2)).await?;
    let (low, high) = (class.first, class.last);

    let mut names = Vec::new();
    for claim in ["a", "b", "c", "d"] {
        names.push(world.slot(claim, &class).await?);
    }
    let expected = [(low, 0), (high, 0), (low, 1), (high, 1)].map(|(port, slot)| format!("{port}-{slot}"));
    ensure!(names == expected, "{names:?}");
    let claim = world.get_claim("c").await?.status.unwrap_or_default();
    ensure!(claim.ports.as_deref() == Some(&*low.to_string()), "tenants read the number: {claim:?}");

    world.claim("e", &class).await?;
    let message = world.says("e", "PoolExhausted").await?;
    ensure!(message.contains("is granted for 2 nodes, which is its maxNodes"), "{message}");
    world.claim_port("f", &class, low).await?;
    let message = world.says("f", "PortTaken").await?;
    ensure!(message.contains("as many nodes as class"), "{message}");
    world.counts(&class, [4, 0, 0, 0, 2]).await?;

    world.delete_claim("b").await?;
    ensure!(world.bound("e").await? == high && world.slot_of("e").await? == expected[1]);
    world.patch_class(&class, json!({"spec": {"maxNodes": 3}})).await?;
    ensure!(world.bound("f").await? == low && world.slot_of("f").await? == format!("{low}-2"));
    Ok(())
}

#[tokio::test]
async fn without_max_nodes_claims_bind_though_there_is_no_node_and_their_pods_wait() -> Result<()> {
    let world = World::new("nodeless").await?;
    let class = world.node_class(1, None).await?;
    let number = class.first.to_string();

    for index in 0..5 {
        let claim = format!("claim-{index}");
        ensure!(world.slot(&claim, &class).await? == format!("{number}-{index}"));
        let stored = world.create_pod(pod(&format!("pod-{index}"), &claim)).await?;
        ensure!(host_ports(&stored) == [i32::from(class.first)], "{:?}", host_ports(&stored));
        ensure!(variable(&stored, "HOSTPORT_WEB").as_deref() == Some(&*number));
        let label = stored
            .metadata
            .labels
            .and_then(|labels| labels.get(&format!("hostport.io/port-{number}")).cloned());
        ensure!(label.as_deref() == Some(&*claim), "{label:?}");
    }

    let pods = world.api::<Pod>().list(&kube::api::ListParams::default()).await?.items;
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
    ensure!(pods.len() == 5 && pods.iter().all(|pod| phase(pod).as_deref() == Some("Pending")));
    world
        .until("the table to show that there is no limit", || async {
            let table = world.kubectl(&["get", "hpclass", &class.name]).await?;
            let row = table.lines().last().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
            ensure!(row[1..5] == [&*number, "Node", "-", "5"], "{table}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_claim_of_scope_node_serves_one_pod() -> Result<()> {
    let world = World::new("single").await?;
    let class = world.node_class(1, None).await?;
    world.slot("lobby", &class).await?;
    world.create_pod(pod("first", "lobby")).await?;

    let denial = world.denied(pod("second", "lobby")).await?;
    let words = "pod \"second\" refused: claim \"lobby\" already has a live pod, \"first\". In a class of scope Node a claim \
                 serves one pod: use class.hostport.io/web for one claim per pod, or strategy Recreate.";
    ensure!(denial.contains(words), "{denial}");
    let informed = pod_with("informed", json!({"ref.hostport.io/LOBBY": "lobby"}), json!([web(80)]));
    world.create_pod(informed).await.context("a pod that does not carry the port")?;

    world.pod_succeeds("first").await?;
    world.create_pod(pod("third", "lobby")).await.context("a pod that has ended does not count")?;
    world.delete_pod("third").await?;
    world.create_pod(pod("fourth", "lobby")).await?;
    Ok(())
}

#[tokio::test]
async fn a_deployment_with_two_replicas_on_one_claim_gets_one_pod_and_is_told() -> Result<()> {
    let world = World::new("replicas").await?;
    let class = world.node_class(1, None).await?;
    world.slot("lobby", &class).await?;

    let mut two = deployment("arena", "lobby");
    two["spec"]["replicas"] = json!(2);
    create(&world.api::<k8s_openapi::api::apps::v1::Deployment>(), two).await?;

    world.event("FailedCreate", "already has a live pod").await?;
    world.pods("arena", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_slot_is_freed_when_its_own_pod_has_ended_whatever_others_do() -> Result<()> {
    let world = World::new("count").await?;
    let class = world.node_class(1, None).await?;
    let (gone, stays) = (world.slot("gone", &class).await?, world.slot("stays", &class).await?);
    world.create_pod(pod("old", "gone")).await?;
    world.protected("gone").await?;
    world.delete_claim("gone").await?;
    let message = world.says("gone", "InUse").await?;
    ensure!(message.contains("in use by pod old"), "{message}");
    world
        .kubectl(&["patch", "hpc", "gone", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"])
        .await?;

    // N1: the slot of a living claim, which has no pod yet, is no cover for the pod of the other.
    world.held_by(&gone, "old").await?;
    world.create_pod(pod("new", "stays")).await?;
    world.delete_pod("old").await?;

    world.slot_is_gone(&gone).await?;
    ensure!(world.slot_of("stays").await? == stays);
    world.counts(&class, [1, 0, 0, -1, 0]).await
}

#[tokio::test]
async fn a_claim_made_again_under_its_name_has_its_slot_back() -> Result<()> {
    let world = World::new("again").await?;
    let class = world.class_with(1, |spec| {
        spec.scope = Scope::Node;
        spec.reuse_delay = "60s".parse().expect("a delay");
    });
    let class = class.await?;
    world.slot("other", &class).await?;
    let slot = world.slot("web", &class).await?;

    world.delete_claim("web").await?;
    world.claim_is_gone("web").await?;

    world.claim("web", &class).await?;
    world.bound_at_once("web").await?;
    ensure!(world.slot_of("web").await? == slot);
    Ok(())
}

#[tokio::test]
async fn a_slot_removed_by_hand_is_made_again() -> Result<()> {
    let world = World::new("remade").await?;
    let class = world.node_class(1, Some(3)).await?;
    world.slot("a", &class).await?;
    let slot = world.slot("b", &class).await?;

    world.hostports().delete(&slot, &DeleteParams::default()).await?;

    world
        .until("the slot to stand again", || async {
            let made = world.hostports().get_opt(&slot).await?.context("it is gone")?;
            ensure!(made.spec.claim_ref.is_some_and(|claim| claim.name == "b"));
            Ok(())
        })
        .await?;
    ensure!(world.slot_of("b").await? == slot);
    Ok(())
}

#[tokio::test]
async fn a_number_and_a_slot_of_it_never_stand_beside_each_other() -> Result<()> {
    let world = World::new("forms").await?;
    let slots = world.node_class(2, None).await?;
    let numbers = world.class(2).await?;
    let (low, high) = (slots.first, slots.last);

    // HostPorts that an administrator made, outside their class's pools.
    world.make_hostport(low, &numbers, None).await?;
    let slot = json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPort", "metadata": {"name": format!("{}-0", numbers.first)},
        "spec": {"port": numbers.first, "class": slots.name, "scope": "Node", "slot": 0},
    });
    create(&world.hostports(), slot).await?;
    world
        .until("a claim to be Bound beside the number", || async {
            let name = format!("slot-{}", rand_name());
            let got = world.slot(&name, &slots).await?;
            ensure!(got == format!("{high}-0") || got.starts_with(&format!("{}-", numbers.first)), "{got}");
            Ok(())
        })
        .await?;
    world.claim_port("wants-low", &slots, low).await?;
    world.says("wants-low", "PortTaken").await?;
    world.claim_port("wants-first", &numbers, numbers.first).await?;
    world.says("wants-first", "PortTaken").await?;

    // Automatic picks go round it as well; the Available number is given first.
    ensure!(world.bind("any", &numbers).await? == low, "what is Available comes first");
    ensure!(world.bind("next", &numbers).await? == numbers.last);
    Ok(())
}

#[tokio::test]
async fn classes_of_different_scopes_that_share_numbers_block_the_younger_one() -> Result<()> {
    let world = World::new("blocked").await?;
    let numbers = world.class(3).await?;
    // Ages count in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let slots = world
        .class_with(1, |spec| {
            spec.scope = Scope::Node;
            spec.pools = vec![pool(numbers.last, numbers.last), spec.pools[0].clone()];
        })
        .await?;

    world.claim("waits", &slots).await?;
    let message = world.says("waits", "PoolExhausted").await?;
    ensure!(message.contains("hands out nothing: its pools overlap"), "{message}");
    let table = world.kubectl(&["get", "hpclass", &slots.name]).await?;
    ensure!(table.contains("False") && table.contains("PoolConflict"), "{table}");
    ensure!(world.bind("number", &numbers).await? == numbers.first, "the older class goes on");

    world.set_pools(&numbers, &[(numbers.first, numbers.last - 1)]).await?;
    ensure!(world.bound("waits").await? == numbers.last);
    Ok(())
}

#[tokio::test]
async fn a_class_made_again_with_another_scope_takes_nothing_away() -> Result<()> {
    let world = World::new("rescoped").await?;
    let class = world.class(2).await?;
    let kept = world.bind("kept", &class).await?;
    let classes: Api<HostPortClass> = Api::all(world.client());
    let mut again = classes.get(&class.name).await?;

    let arguments =
        ["patch", "hpclass", &class.name, "--type=merge", "-p", "{\"spec\":{\"scope\":\"Node\"}}"];
    let refused = world.kubectl(&arguments);
    let refused = refused.await.err().context("a scope does not change")?.to_string();
    ensure!(refused.contains("scope cannot be changed"), "{refused}");
    classes.delete(&class.name, &DeleteParams::default()).await?;
    again.metadata = kube::core::ObjectMeta { name: Some(class.name.clone()), ..Default::default() };
    (again.spec.scope, again.status) = (Scope::Node, None);
    classes.create(&PostParams::default(), &again).await?;

    world
        .until("claims to get slots of the other number", || async {
            let name = format!("slot-{}", rand_name());
            world.claim(&name, &class).await?;
            world.bound(&name).await?;
            let slot = world.slot_of(&name).await?;
            ensure!(slot.starts_with(&format!("{}-", class.last)), "{slot}: {kept} is held on all nodes");
            Ok(())
        })
        .await?;
    ensure!(world.bound("kept").await? == kept);
    world.hostport_in(kept, HostPortPhase::Bound).await?;
    world.create_pod(pod("p", "kept")).await.context("the number is usable as before")?;
    world.create_pod(pod("q", "kept")).await.context("by several pods")?;
    Ok(())
}

#[tokio::test]
async fn a_block_of_slots_is_refused_with_a_sentence() -> Result<()> {
    let world = World::new("slotblock").await?;
    let class = world.node_class(4, None).await?;

    world.claim_block("block", &class, 2).await?;

    let message = world.stalled("block", "CountTooLarge").await?;
    ensure!(
        message.contains("is of scope Node and gives one port to a claim, this one asks for 2"),
        "{message}"
    );
    Ok(())
}

/// A name that no other try of this test has used.
fn rand_name() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
