//! Scope Node: the counterexamples N1-N3 (docs/architecture.md), and what users meet.

use std::time::Duration;

use allocator::{Scope, Spot};
use crds::{ClaimPhase, HostPortPhase};
use reconciler::{action::Action, seen::Class};

use super::drive::{CLAIMS, HOSTPORTS, PODS, cluster, is_create, is_release};
use crate::{
    people::{class, key, port, spot},
    world::World,
};

fn slot(number: u16, slot: u32) -> Spot {
    Spot::slot_of(port(number), slot)
}

/// A cluster with class "games" of scope Node.
fn slots(start: u16, end: u16, most: Option<u32>, controllers: usize) -> World {
    let mut world = World::new().traced();
    world.create_class(Class { scope: Scope::Node { most }, ..class("games", start, end) });
    for _ in 0..controllers {
        world.start();
    }
    world.rest();
    world
}

impl World {
    fn spot_of(&self, name: &str) -> Option<String> {
        self.stored(name).named().map(|spot| spot.to_string())
    }

    fn phase_of(&self, spot: Spot) -> Option<HostPortPhase> {
        self.server.hostports.get(&spot).map(|it| it.phase)
    }

    /// The pod of the claim runs, as all controllers know.
    fn running(&mut self, pod: &str, claim: &str) {
        self.run_pod(pod, &key(claim));
        self.rest();
        let (namespace, _) = claim.split_once('/').unwrap();
        assert!(self.server.pods.contains_key(&key(&format!("{namespace}/{pod}"))), "{}", self.story());
    }
}

#[test]
fn slots_are_bound_lowest_first_over_all_numbers_up_to_max_nodes() {
    let mut world = slots(9000, 9001, Some(2), 1);

    for name in ["shop/a", "shop/b", "shop/c", "shop/d", "shop/e"] {
        world.claim(name, None);
        world.rest();
        world.asleep(1);
    }

    let bound = ["shop/a", "shop/b", "shop/c", "shop/d", "shop/e"].map(|name| world.spot_of(name));
    let expected = ["9000-0", "9001-0", "9000-1", "9001-1"].map(|name| Some(name.to_owned()));
    assert_eq!(bound[..4], expected, "{}", world.story());
    assert_eq!((&bound[4], world.reason("shop/e")), (&None, "PoolExhausted"));
    assert!(world.message("shop/e").contains("granted for 2 nodes"), "{}", world.message("shop/e"));
    world.ends_well();
}

#[test]
fn n1_a_living_claims_slot_is_no_cover_for_the_pod_of_another() {
    let mut world = slots(9000, 9000, None, 1);
    world.bound_claim("shop/p");
    world.bound_claim("shop/q");
    world.running("pod-p", "shop/p");

    world.force_delete("shop/p");
    world.seconds(3600);

    let held = world.server.hostports.get(&slot(9000, 0)).and_then(|it| it.held_by.clone());
    assert_eq!(held.as_deref(), Some("pod shop/pod-p"), "{}", world.story());
    world.running("pod-q", "shop/q");
    world.end_pod(&key("shop/pod-p"));
    world.seconds(60);
    assert_eq!(world.phase_of(slot(9000, 0)), None, "{}", world.story());
    world.ends_well();
}

#[test]
fn n1_a_pod_whose_label_was_taken_off_is_covered_by_any_slot_of_its_namespace() {
    let mut world = slots(9000, 9000, None, 1);
    world.bound_claim("shop/p");
    world.bound_claim("shop/q");
    world.running("pod-p", "shop/p");
    world.strip_label(&key("shop/pod-p"));
    world.rest();

    world.force_delete("shop/p");
    world.seconds(3600);
    assert_eq!(world.phase_of(slot(9000, 0)), Some(HostPortPhase::Released), "{}", world.story());
    world.delete_claim(&key("shop/q"));
    world.seconds(3600);

    let left = world.server.slots(port(9000)).count();
    assert_eq!(left, 1, "one slot for one pod\n{}", world.story());
    world.end_pod(&key("shop/pod-p"));
    world.seconds(120);
    assert_eq!(world.server.slots(port(9000)).count(), 0, "{}", world.story());
    world.ends_well();
}

#[test]
fn n2_two_leaders_do_not_free_a_slot_each_for_one_pod() {
    let mut world = slots(9000, 9000, None, 2);
    world.bound_claim("shop/p");
    world.bound_claim("shop/q");
    world.running("pod-p", "shop/p");
    world.strip_label(&key("shop/pod-p"));
    world.rest();
    world.force_delete("shop/p");
    world.delete_claim(&key("shop/q"));
    let frees = |action: &Action| matches!(action, Action::DeleteHostPort { .. });
    world.hears_all(1);

    // Each of them comes to the point where it wants to free a slot; then both requests land.
    let first = world.until(0, frees);
    for _ in 0..90 {
        world.hears_all(1);
        world.finishes(1);
        world.asleep(1);
    }
    world.land(0, first);
    world.reply(0, first);
    world.seconds(600);

    assert_eq!(world.server.slots(port(9000)).count(), 1, "one slot stays for the pod\n{}", world.story());
    world.ends_well();
}

#[test]
fn n2_two_leaders_that_each_made_a_slot_their_own_do_not_wait_for_each_other() {
    let mut world = slots(9000, 9000, None, 2);
    world.bound_claim("shop/p");
    world.bound_claim("shop/q");
    world.running("pod-p", "shop/p");
    world.strip_label(&key("shop/pod-p"));
    world.rest();
    world.force_delete("shop/p");
    world.works(0);
    world.force_delete("shop/q");
    world.hears(1, CLAIMS);
    let release = world.until_deaf(1, is_release);
    world.land(1, release);
    world.reply(1, release);

    world.seconds(600);

    assert_eq!(world.server.slots(port(9000)).count(), 1, "one slot for one pod\n{}", world.story());
    world.ends_well();
}

#[test]
fn n2_after_a_restart_a_slot_that_a_pod_holds_back_is_taken_over_too() {
    let mut world = slots(9000, 9000, None, 1);
    world.bound_claim("shop/p");
    world.bound_claim("shop/q");
    world.running("pod-p", "shop/p");
    world.strip_label(&key("shop/pod-p"));
    world.force_delete("shop/p");
    world.seconds(300);
    let held = world.server.hostports.get(&slot(9000, 0)).and_then(|it| it.held_by.clone());
    assert_eq!(held.as_deref(), Some("pod shop/pod-p"), "{}", world.story());
    world.kill(0, |_| false);

    world.delete_claim(&key("shop/q"));
    world.seconds(600);

    assert_eq!(world.server.slots(port(9000)).count(), 1, "one slot for one pod\n{}", world.story());
    world.ends_well();
}

#[test]
fn n3_of_a_number_and_a_slot_of_it_that_are_created_at_once_none_is_bound() {
    let mut world = slots(9000, 9000, None, 2);
    world.create_class(class("web", 8000, 8000));
    world.rest();
    world.claim("shop/a", None);
    let slot_is_made = world.until(0, is_create);

    // The other leader has heard of the class made again with another scope.
    world.rescope_class("games", Scope::Cluster);
    world.hears_all_but(1, HOSTPORTS);
    let number_is_made = world.until_deaf(1, is_create);
    world.land(0, slot_is_made);
    world.land(1, number_is_made);
    assert!(world.hostport(9000).is_some() && world.server.hostports.contains_key(&slot(9000, 0)));
    world.reply(0, slot_is_made);
    world.reply(1, number_is_made);
    world.finishes(0);
    world.finishes(1);

    assert_eq!(world.phase("shop/a"), ClaimPhase::Pending, "{}", world.story());
    world.seconds(600);
    assert_eq!(world.phase("shop/a"), ClaimPhase::Bound, "{}", world.story());
    assert_eq!(world.server.hostports.len(), 1, "the other one was given up\n{}", world.story());
    world.ends_well();
}

#[test]
fn n3_a_slot_is_not_bound_if_the_number_was_granted_after_its_create() {
    let mut world = slots(9000, 9000, None, 1);
    world.claim("shop/a", None);
    let create = world.until(0, is_create);
    world.land(0, create);

    world.make_hostport(spot(9000), "games", crds::ReclaimPolicy::Delete, None);
    world.reply(0, create);
    world.finishes(0);

    assert_eq!(world.phase("shop/a"), ClaimPhase::Pending, "{}", world.story());
    world.seconds(120);
    assert_eq!(world.spot_of("shop/a").as_deref(), Some("9000"), "the prepared one\n{}", world.story());
    assert_eq!(world.phase_of(slot(9000, 0)), None, "{}", world.story());
    world.ends_well();
}

#[test]
fn a_number_that_rests_has_one_alarm_however_often_it_is_looked_at() {
    let mut world = slots(9000, 9000, None, 1);
    world.edit_class("games", |class| class.reuse_delay = Duration::from_secs(3600));
    let names: Vec<_> = (0..20).map(|n| format!("shop/c{n}")).collect();
    for name in &names {
        world.bound_claim(name);
        world.running(name.trim_start_matches("shop/"), name);
    }
    names.iter().for_each(|name| world.force_delete(name));

    // The end of each pod lets the controller look at all slots of the number.
    for name in &names {
        world.end_pod(&key(name));
        world.seconds(1);
    }

    let alarms = world.controllers[0].core.alarms();
    assert!(alarms <= 2 * names.len() + 5, "{alarms} alarms for {} slots", names.len());
    world.seconds(3700);
    world.ends_well();
}

#[test]
fn a_claim_made_again_has_its_slot_back_and_its_old_pod_counts_as_its_one() {
    let mut world = slots(9000, 9000, None, 1);
    world.bound_claim("shop/a");
    world.bound_claim("shop/b");
    world.running("old", "shop/b");

    world.recreate("shop/b");
    world.rest();
    world.run_pod("new", &key("shop/b"));

    assert_eq!(world.spot_of("shop/b").as_deref(), Some("9000-1"), "{}", world.story());
    assert!(!world.server.pods.contains_key(&key("shop/new")), "the old one lives\n{}", world.story());
    world.end_pod(&key("shop/old"));
    world.running("new", "shop/b");
    world.ends_well();
}

#[test]
fn spot_nodes_vanish_with_their_pods_and_slots_come_free() {
    let mut world = slots(9000, 9000, Some(2), 1);
    for (claim, pod) in [("shop/a", "pa"), ("shop/b", "pb")] {
        world.bound_claim(claim);
        world.running(pod, claim);
    }
    world.claim("voice/c", None);
    world.rest();
    assert_eq!(world.reason("voice/c"), "PoolExhausted");

    world.end_pod(&key("shop/pa"));
    world.delete_claim(&key("shop/a"));
    world.seconds(120);

    assert_eq!(world.spot_of("voice/c").as_deref(), Some("9000-0"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_number_with_a_pod_that_nobody_admitted_grants_no_slot() {
    let mut world = slots(9000, 9001, None, 1);
    world.run_raw_pod(&key("web/x"), 9000);
    world.rest();

    world.bound_claim("shop/a");

    assert_eq!(world.spot_of("shop/a").as_deref(), Some("9001-0"), "{}", world.story());
    world.ends_well();
}

#[test]
fn after_a_restart_a_slot_that_rested_is_made_the_processs_own_before_it_is_freed() {
    let mut world = slots(9000, 9000, None, 1);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    world.rest();
    world.kill(0, |_| false);

    world.seconds(120);

    assert_eq!(world.phase_of(slot(9000, 0)), None, "{}", world.story());
    assert_eq!(world.asked("CAS 9000-0"), 2, "released, then taken over\n{}", world.story());
    world.ends_well();
}

#[test]
fn a_released_slot_is_not_handed_over() {
    let mut world = slots(9000, 9000, Some(1), 1);
    world.claim("shop/a", Some(9000));
    world.rest();
    world.delete_claim(&key("shop/a"));
    world.claim("shop/b", Some(9000));
    world.seconds(10);
    assert_eq!(world.phase("shop/b"), ClaimPhase::Pending, "{}", world.story());

    world.seconds(120);

    assert_eq!(world.spot_of("shop/b").as_deref(), Some("9000-0"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_cluster_without_slots_is_not_asked_for_them() {
    let mut world = cluster(9000, 9001, 1);

    world.bound_claim("shop/a");

    assert_eq!(world.asked("LIST slots"), 0, "{}", world.story());
    world.hears(0, PODS);
    world.ends_well();
}
