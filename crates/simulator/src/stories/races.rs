//! Replies and watches tell of the same objects and keep no order between them. Each of these went wrong once,
//! found by the random schedules or by reading.

use reconciler::action::{Action, ActionId, Outcome};

use super::drive::{CLAIMS, HOSTPORTS, cluster, is_create, is_release, is_status};
use crate::{
    people::{key, range, spot},
    world::World,
};

/// A claim is being bound, it is deleted, and the reply to its last write is still on its way.
fn deleted_before_the_reply() -> (World, ActionId) {
    let mut world = cluster(9000, 9000, 1);
    world.claim("shop/a", None);
    let status = world.until(0, is_status);
    world.land(0, status);
    world.delete_claim(&key("shop/a"));
    (world, status)
}

/// Nothing is left of a claim that is gone.
fn nothing_stays(mut world: World) {
    world.seconds(120);
    assert_eq!(world.hostport(9000), None, "{}", world.story());
    world.ends_well();
}

#[test]
fn a_reply_older_than_the_watch_brings_no_dead_claim_back() {
    let (mut world, status) = deleted_before_the_reply();
    world.hears(0, CLAIMS);

    world.reply(0, status);

    nothing_stays(world);
}

#[test]
fn a_reply_older_than_a_listing_brings_no_dead_claim_back() {
    let (mut world, status) = deleted_before_the_reply();
    world.relist(0, CLAIMS);
    world.hears(0, CLAIMS);

    world.reply(0, status);

    nothing_stays(world);
}

#[test]
fn a_claim_that_goes_with_its_last_finalizer_does_not_stay_in_memory() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.run_pod("p", &key("shop/a"));
    world.rest();
    world.delete_claim(&key("shop/a"));
    world.rest();
    world.end_pod(&key("shop/p"));
    let last = world.until(0, |action| matches!(action, Action::PatchFinalizers { .. }));

    world.land(0, last); // The reply shows the claim as it was at its end.
    world.hears(0, CLAIMS);
    world.reply(0, last);

    nothing_stays(world);
}

#[test]
fn a_hostport_created_and_removed_by_hand_at_once_is_made_again() {
    let mut world = cluster(9000, 9000, 1);
    world.claim("shop/a", None);
    let create = world.until(0, is_create);
    world.land(0, create);
    world.delete_hostport(spot(9000));
    world.hears(0, HOSTPORTS);

    world.reply(0, create);
    world.rest();

    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_late_not_found_does_not_hide_a_newer_hostport() {
    let mut world = cluster(9000, 9000, 2);
    world.claim("shop/a", None);
    world.rest();
    world.delete_hostport(spot(9000));
    world.hears_all(0);
    let read = world.until(0, |action| matches!(action, Action::GetHostPort(_)));
    world.land(0, read);
    world.works(1);
    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"));
    world.hears(0, HOSTPORTS);

    world.reply(0, read);
    world.rest();
    world.claim("voice/b", None);
    world.rest();

    assert_eq!(world.reason("voice/b"), "PoolExhausted", "{}", world.story());
    world.ends_well();
}

#[test]
fn a_class_deleted_while_its_status_is_written_is_gone() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.seconds(5);
    world.delete_claim(&key("shop/a"));
    let status = world.until(0, |action| matches!(action, Action::PatchClassStatus { .. }));
    world.land(0, status);
    world.remove_class("games");
    world.hears_all(0);

    world.reply(0, status);
    world.seconds(70);
    world.claim("voice/b", None);
    world.rest();

    assert_eq!(world.reason("voice/b"), "ClassNotFound", "{}", world.story());
    world.ends_well();
}

#[test]
fn a_claim_that_met_a_busy_number_is_looked_at_when_it_is_free() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.run_pod("p", &key("shop/a"));
    world.rest();
    world.force_delete("shop/a");
    world.seconds(300); // Held by the pod, and said so.
    world.end_pod(&key("shop/p"));
    let list = world.until(0, |action| matches!(action, Action::ListPods(_)));
    world.run_raw_pod(&key("shop/p"), 9000); // A pod of the same name, and its watch is behind the LIST.
    world.claim("shop/a", None);
    world.hears(0, CLAIMS);

    world.land(0, list);
    world.reply(0, list);
    world.finishes(0);

    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
}

#[test]
fn what_the_api_server_refuses_is_tried_again_only_after_a_pause() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.delete_hostport(spot(9000));
    let create = world.until(0, is_create);
    let asked = world.asked("create");
    world.answer(0, create, Outcome::Refused("no rights today".to_owned()));
    world.seconds(29);
    assert_eq!(world.asked("create"), asked, "{}", world.story());

    world.seconds(2);

    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_refused_status_is_tried_again_only_after_a_pause() {
    let mut world = cluster(9000, 9000, 1);
    world.claim("shop/a", None);
    let status = world.until(0, is_status);
    world.answer(0, status, Outcome::Refused("no rights today".to_owned()));
    let asked = world.asked("status shop/a");
    world.seconds(29);
    assert_eq!(world.asked("status shop/a"), asked, "{}", world.story());

    world.seconds(5);

    assert_eq!(world.number("shop/a"), Some(9000), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_refused_release_does_not_keep_a_recreated_claim_waiting() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    let release = world.until(0, is_release);
    world.claim("shop/a", None);
    world.hears(0, CLAIMS);

    world.answer(0, release, Outcome::Refused("no rights today".to_owned()));
    world.rest();

    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_class_counts_right_after_an_attempt_outside_its_pools() {
    let mut world = cluster(9000, 9001, 1);
    world.bound_claim("shop/a");
    world.tamper(&key("shop/a"), crds::ClaimPhase::Bound, Some(spot(10250)));
    world.until(0, |action| matches!(action, Action::GetHostPort(_)));
    world.asleep(2);
    world.poll(0);

    world.seconds(5);

    let games = &world.server.class_status["games"];
    assert_eq!(games.counts.allocated, 0);
    world.ends_well();
}

#[test]
fn a_claim_bound_by_another_controller_while_it_pauses_is_not_bound_again() {
    let mut world = cluster(9000, 9000, 2);
    world.bound_claim("web/x");
    world.claim("shop/a", None);
    let tell = world.until(1, is_status);
    world.answer(1, tell, Outcome::Refused("no rights today".to_owned()));
    world.edit_class("games", |class| class.pools = vec![range(9000, 9003)]);
    world.works(0);
    assert_eq!(world.number("shop/a"), Some(9001), "{}", world.story());

    world.hears_all(1);
    world.rest();

    assert_eq!(world.hostport(9002), None, "{}", world.story());
    world.ends_well();
}

/// A claim of the former one's name, which asks for something else, names that one's number again and again.
#[test]
fn a_refused_release_waits_its_time_though_a_claim_of_the_same_name_waits_too() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    world.claim("shop/a", Some(9500));
    let release = world.until(0, is_release);
    world.answer(0, release, Outcome::Refused("no rights today".to_owned()));
    let asked = world.asked("CAS 9000");
    world.seconds(29);
    assert_eq!(world.asked("CAS 9000"), asked, "{}", world.story());

    world.seconds(5);

    assert_eq!(world.asked("CAS 9000"), asked + 1, "{}", world.story());
    world.ends_well();
}
