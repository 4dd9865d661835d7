//! The counterexamples that the search of the design found (docs/architecture.md, C1-C8), replayed.

use crds::{ClaimPhase, HostPortPhase};
use reconciler::action::Action;

use super::drive::{CLAIMS, HOSTPORTS, PODS, cluster, is_release, is_status};
use crate::{
    judge::Actor,
    people::{key, spot},
};

#[test]
fn c1_a_stale_cache_does_not_take_a_recreated_claims_port() {
    let mut world = cluster(9000, 9001, 2);
    world.bound_claim("shop/a");
    world.recreate("shop/a");
    world.works(0);
    let second = world.stored("shop/a").uid.clone();

    world.hears(1, HOSTPORTS);
    world.finishes(1);

    assert!(world.hostport(9000).unwrap().is_held_by(&second), "{}", world.story());
    world.ends_well();
}

#[test]
fn c1_a_claim_read_before_its_hostport_proves_nothing() {
    let mut world = cluster(9000, 9001, 2);
    world.bound_claim("shop/a");
    world.edit_to_released(spot(9000));
    world.hears_all(1);
    let first_read = *world.controllers[1].requests.first_key_value().unwrap().0;
    world.land(1, first_read);

    world.recreate("shop/a");
    world.works(0);
    let second = world.stored("shop/a").uid.clone();
    assert!(world.hostport(9000).unwrap().is_held_by(&second), "{}", world.story());
    world.reply(1, first_read);
    world.finishes(1);

    assert!(world.hostport(9000).unwrap().is_held_by(&second), "{}", world.story());
    world.ends_well();
}

#[test]
fn c2_a_claim_is_not_lost_because_a_cache_shows_an_old_holder() {
    let mut world = cluster(9000, 9000, 2);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    world.claim("voice/b", None);
    for _ in 0..70 {
        world.works(0);
        world.asleep(1);
    }
    assert_eq!(world.number("voice/b"), Some(9000), "{}", world.story());

    world.hears(1, CLAIMS);
    world.finishes(1);

    assert_eq!(world.phase("voice/b"), ClaimPhase::Bound, "{}", world.story());
    world.ends_well();
}

#[test]
fn c4a_a_surplus_port_rests_because_a_pod_of_the_earlier_claim_may_be_in_flight() {
    let mut world = cluster(9000, 9001, 2);
    world.bound_claim("shop/a");
    world.pod_in_flight("p", "shop/a");
    world.run_raw_pod(&key("web/x"), 9000);
    world.rest();
    world.recreate("shop/a");
    let status = world.until(0, is_status);
    world.end_pod(&key("web/x"));
    world.hears(1, PODS);
    world.hears(1, CLAIMS);
    let other = world.until(1, is_status);
    assert!(world.hostport(9000).unwrap().belongs_to(&world.stored("shop/a").uid), "{}", world.story());

    world.land(0, status);
    world.land(1, other);
    world.rest();
    assert_eq!(world.number("shop/a"), Some(9001), "{}", world.story());
    assert_eq!(world.hostport(9000).unwrap().phase, HostPortPhase::Released);
    world.seconds(30);
    world.lands("p");
    world.seconds(300);

    assert!(world.hostport(9000).is_some(), "{}", world.story());
    world.ends_well();
}

#[test]
fn c4b_a_port_that_a_tampered_status_forsakes_rests_too() {
    let mut world = cluster(9000, 9001, 1);
    world.bound_claim("shop/a");
    world.pod_in_flight("p", "shop/a");

    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(9001)));
    world.seconds(30);
    assert_eq!(world.hostport(9000).unwrap().phase, HostPortPhase::Released);
    world.lands("p");
    world.seconds(300);

    assert_eq!(world.hostport(9000).unwrap().held_by.as_deref(), Some("pod shop/p"));
    assert_eq!(world.holder(9001).as_deref(), Some("shop/a"));
    world.end_pod(&key("shop/p"));
    world.seconds(300);
    assert_eq!(world.hostport(9000), None);
    world.ends_well();
}

#[test]
fn c5_released_by_mistake_goes_back_to_bound() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");

    world.edit_to_released(spot(9000));
    world.rest();

    assert_eq!(world.hostport(9000).unwrap().phase, HostPortPhase::Bound);
    world.ends_well();
}

#[test]
fn c5_the_rest_is_counted_from_the_end_of_the_claim() {
    let mut world = cluster(9000, 9000, 1);
    world.judge.skewed = true;
    world.bound_claim("shop/a");
    world.controllers[0].skew = 3_600_000;
    world.edit_to_released(spot(9000));
    world.hears_all(0);
    world.asleep(120);

    world.delete_claim(&key("shop/a"));
    world.seconds(39);

    assert!(world.hostport(9000).is_some(), "{}", world.story());
    world.seconds(300);
    assert_eq!(world.hostport(9000), None);
    world.ends_well();
}

#[test]
fn c7_a_hostport_deleted_by_hand_comes_back_though_others_wait() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.claim("voice/b", None);
    world.claim("voice/c", Some(9000));
    world.rest();

    world.delete_hostport(spot(9000));
    world.hears(0, HOSTPORTS);
    world.rest();

    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
    assert_eq!((world.phase("shop/a"), world.reason("voice/b")), (ClaimPhase::Bound, "PoolExhausted"));
    world.ends_well();
}

#[test]
fn c8_an_available_port_is_not_given_away_under_a_pod() {
    let mut world = cluster(9000, 9000, 1).retaining();
    world.bound_claim("shop/a");
    world.claim("voice/b", None);
    world.rest();
    world.run_pod("p", &key("shop/a")); // Its watch does not tell the controller.
    world.delete_claim(&key("shop/a"));
    world.hears(0, CLAIMS);
    world.finishes(0);
    world.clear_claim_ref(spot(9000), true);
    world.hears(0, HOSTPORTS);
    world.asleep(5);
    world.finishes_for(0, 5);

    assert_eq!(world.holder(9000), None, "{}", world.story());
    world.end_pod(&key("shop/p"));
    world.seconds(10);
    assert_eq!(world.holder(9000).as_deref(), Some("voice/b"), "{}", world.story());
    world.ends_well();
}

/// Found by seed 12264465: the phase said Released, so nobody looked for pods.
#[test]
fn c8_a_released_port_of_nobody_is_not_given_away_under_a_pod() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.claim("voice/b", None);
    world.rest();
    world.run_pod("p", &key("shop/a")); // Its watch does not tell the controller.
    world.delete_claim(&key("shop/a"));
    world.hears(0, CLAIMS);
    world.finishes(0);
    world.tamper(&key("voice/b"), ClaimPhase::Lost, Some(spot(9000)));
    world.clear_claim_ref(spot(9000), false); // The phase is left to the controller.
    world.hears(0, CLAIMS);
    world.hears(0, HOSTPORTS);
    world.finishes_for(0, 5);

    assert_eq!(world.holder(9000), None, "{}", world.story());
    world.end_pod(&key("shop/p"));
    world.seconds(10);
    assert_eq!(world.holder(9000).as_deref(), Some("voice/b"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_late_release_of_a_former_leader_hits_nothing() {
    let mut world = cluster(9000, 9001, 2);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    let release = world.until(1, is_release);
    let late = world.controllers[1].requests[&release].action.clone();
    world.kill(1, |_| false);

    world.claim("shop/a", None);
    world.rest();
    let holder = world.hostport(9000).cloned();
    world.late.push((late, Actor::Controller));
    world.land_late(0);

    assert_eq!(world.hostport(9000).cloned(), holder);
    world.ends_well();
}

#[test]
fn a_late_delete_of_a_former_leader_hits_nothing() {
    let mut world = cluster(9000, 9000, 2);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    let free = world.until(1, |action| matches!(action, Action::DeleteHostPort { .. }));
    let late = world.controllers[1].requests[&free].action.clone();
    world.kill(1, |_| false);

    world.seconds(70);
    world.claim("voice/b", None);
    world.rest();
    assert_eq!(world.holder(9000).as_deref(), Some("voice/b"), "{}", world.story());
    world.late.push((late, Actor::Controller));
    world.land_late(0);

    assert_eq!(world.holder(9000).as_deref(), Some("voice/b"));
    world.ends_well();
}

#[test]
fn a_late_status_of_a_former_leader_changes_no_port() {
    let mut world = cluster(9000, 9001, 2);
    world.claim("shop/a", None);
    let first = world.until(0, is_status);
    let late = world.controllers[0].requests[&first].action.clone();
    world.kill(0, |_| false);
    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(9001)));
    world.rest();

    world.late.push((late, Actor::Controller));
    world.land_late(0);

    assert_eq!(world.number("shop/a"), Some(9001));
    world.ends_well();
}
