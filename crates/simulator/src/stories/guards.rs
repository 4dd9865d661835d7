//! Stories for guards that random schedules seldom come to: each passes on the core and breaks an invariant without
//! one guard. `tests/flaws` plays them on the wrong variants too, so each returns what fell.

use allocator::Scope;
use crds::{ClaimPhase, ReclaimPolicy};
use reconciler::{
    action::{Action, ActionId, Outcome},
    seen::Class,
};

use super::drive::{CLAIMS, HOSTPORTS, PODS, cluster, is_create, is_status};
use crate::{
    people::{class, key, port, spot},
    world::World,
};

fn is_delete(action: &Action) -> bool {
    matches!(action, Action::DeleteHostPort { .. })
}

fn is_delete_of_first(action: &Action) -> bool {
    matches!(action, Action::DeleteHostPort { spot, .. } if spot.slot() == Some(0))
}

/// What fell when it came to rest.
fn verdict(mut world: World) -> Option<String> {
    if world.judge.violation.is_none() {
        world.settle();
    }
    world.judge.violation
}

/// C1: a leader reads the claim, for which it is to take the number back. While the reply is on its way the claim is made
/// anew and has the number from the other leader, of which this one hears.
pub fn a_claim_read_before_its_hostport() -> Option<String> {
    let mut world = cluster(9000, 9000, 2);
    world.bound_claim("shop/a");
    world.recreate("shop/a");
    world.hears(1, CLAIMS);
    let read = world.until_deaf(1, |action| matches!(action, Action::GetClaim(_)));
    world.land(1, read);

    world.recreate("shop/a");
    world.works(0);
    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
    world.hears(1, HOSTPORTS);
    world.reply(1, read);
    world.finishes(1);

    verdict(world)
}

/// C3: a number is Released, has a claim again, and is Released again; a leader whose watch skipped what was between
/// has seen the claim gone long ago.
pub fn a_rest_that_began_with_another_version() -> Option<String> {
    let mut world = cluster(9000, 9000, 2);
    world.judge.skewed = true;
    world.controllers[1].skew = 3_600_000;
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    world.works(0);
    world.works(1);
    world.asleep(39);

    world.claim("shop/a", None);
    world.works(0);
    world.pod_in_flight("p", "shop/a");
    world.delete_claim(&key("shop/a"));
    world.works(0);
    world.relist(1, HOSTPORTS);
    world.relist(1, CLAIMS);
    world.asleep(5);
    world.hears(1, HOSTPORTS);
    world.works(1);
    world.asleep(25);
    world.lands("p");
    world.seconds(300);

    verdict(world)
}

/// "b" wants the number of "a", which is deleted and made again. One leader gives it back to the new "a"; the other
/// has heard that the old one is gone, not that there is a new one.
pub fn hand_over_from_a_claim_made_anew() -> Option<String> {
    let mut world = cluster(9000, 9000, 2);
    world.bound_claim("shop/a");
    world.claim("shop/b", Some(9000));
    world.rest();
    world.delete_claim(&key("shop/a"));
    world.hears(1, CLAIMS);

    world.claim("shop/a", None);
    world.kill(0, |_| false); // One that starts looks at "a" first.
    world.works(0);
    assert_eq!(world.holder(9000).as_deref(), Some("shop/a"), "{}", world.story());
    world.finishes_for(1, 5);

    verdict(world)
}

/// Two leaders begin two blocks for one claim, which cross: a pod that only one of them has heard of is in the way.
/// The claim waited before, so that nobody has a new reason to write, which would void every status under way.
fn crossing_blocks() -> World {
    let mut world = cluster(9000, 9002, 2);
    world.run_raw_pod(&key("web/x"), 9001);
    world.rest();
    world.create_block(&key("shop/a"), Some("games"), None, 2);
    world.rest();
    assert_eq!(world.reason("shop/a"), "PoolExhausted", "{}", world.story());
    world.end_pod(&key("web/x"));
    let first = world.until(0, is_create);
    world.land(0, first);
    world.reply(0, first); // 9000 stands, 9001 is asked for.
    world.run_raw_pod(&key("web/x"), 9000);
    world.hears(1, PODS);
    let first = world.until_deaf(1, is_create);
    world.land(1, first);
    world.reply(1, first); // 9001 stands, as the first of another block; 9002 is asked for.
    world.end_pod(&key("web/x"));
    world
}

/// The create of 9001 finds it there: of the same claim, but a member of the other block. Who takes it all the same
/// binds the claim to parts of two blocks.
pub fn a_member_of_another_block() -> Option<String> {
    let mut world = crossing_blocks();

    world.finishes(0);
    world.finishes(1);

    verdict(world)
}

/// The same, and the other leader undoes its block, which cannot be completed, while a status that counts on 9001 is
/// under way. Either guard will do: the member does not count, or who undoes it voids the status.
pub fn a_member_of_another_block_that_is_undone() -> Option<String> {
    let mut world = crossing_blocks();
    let create = world.until_deaf(1, is_create);
    world.answer(1, create, Outcome::Refused("no rights today".to_owned()));
    world.run_raw_pod(&key("web/x"), 9002);
    world.hears(1, PODS);
    let status = world.until_deaf(0, is_status);

    let delete = world.until_deaf(1, is_delete);
    world.land(1, delete);
    world.land(0, status);
    world.reply(0, status);

    verdict(world)
}

/// One leader has made the block 9000-9001, its status is under way. The other has not heard of 9001, and not that
/// the pod is gone that was in the way there: the block cannot be completed, so it undoes it.
fn a_block_undone_under_its_status() -> (World, ActionId) {
    let mut world = cluster(9000, 9001, 2);
    world.run_raw_pod(&key("web/x"), 9001);
    world.rest();
    world.create_block(&key("shop/a"), Some("games"), None, 2);
    world.rest();
    assert_eq!(world.reason("shop/a"), "PoolExhausted", "{}", world.story());
    world.end_pod(&key("web/x"));
    let status = world.until(0, is_status);
    world.deliver(1, HOSTPORTS, 1);
    (world, status)
}

/// The status lands when the block is undone.
pub fn a_status_that_lands_after_its_block_was_undone() -> Option<String> {
    let (mut world, status) = a_block_undone_under_its_status();

    world.finishes_for(1, 70);
    assert_eq!(world.hostport(9000), None, "{}", world.story());
    world.land(0, status);
    world.reply(0, status);

    verdict(world)
}

/// The status is refused, because the one who undoes has voided it. The claim is read anew, still Pending; but a
/// member is about to be deleted.
pub fn a_status_written_again_while_its_block_is_undone() -> Option<String> {
    let (mut world, status) = a_block_undone_under_its_status();

    let delete = world.until_deaf(1, is_delete);
    world.land(0, status);
    world.reply(0, status);
    world.finishes(0);
    world.land(1, delete);
    world.reply(1, delete);

    verdict(world)
}

/// The HostPort of "a" was deleted by hand, and what brings it back is refused for a while. "b" may have another
/// number, and gets it at once.
pub fn a_promised_number_holds_nobody_up() -> Option<String> {
    let mut world = cluster(9000, 9001, 1);
    world.bound_claim("shop/a");
    world.delete_hostport(spot(9000));
    world.hears(0, HOSTPORTS);
    let read = world.until_deaf(0, |action| matches!(action, Action::GetHostPort(_)));
    world.answer(0, read, Outcome::Refused("no rights today".to_owned()));
    world.claim("voice/b", None);

    world.seconds(10);

    if world.phase("voice/b") != ClaimPhase::Bound {
        world.judge.accuse("liveness: voice/b waits for 10 s, though 9001 is free".to_owned());
    }
    verdict(world)
}

/// The HostPort of "a" was deleted by hand. Those who wait, for this number or for any, do not get it.
pub fn a_promised_number_is_kept_for_its_claim() -> Option<String> {
    let mut world = cluster(9000, 9000, 1);
    world.judge.alone = true;
    world.bound_claim("shop/a");
    world.delete_hostport(spot(9000));
    world.hears(0, HOSTPORTS);
    let read = world.until_deaf(0, |action| matches!(action, Action::GetHostPort(_)));
    world.answer(0, read, Outcome::Refused("no rights today".to_owned()));
    world.claim("voice/b", None);
    world.claim("voice/c", Some(9000));

    world.seconds(10);

    verdict(world)
}

/// A cluster with class "games" of scope Node and the number 9000, and two leaders.
fn fleet() -> World {
    let mut world = World::new().traced();
    world.create_class(Class { scope: Scope::Node { most: None }, ..class("games", 9000, 9000) });
    world.start();
    world.start();
    world.rest();
    world
}

/// N2: two slots are Released, and a pod without its label needs one of them. Each leader comes to the point where it
/// wants to free a slot; then both requests land.
pub fn two_leaders_free_a_slot_each() -> Option<String> {
    let mut world = fleet();
    world.bound_claim("shop/p");
    world.bound_claim("shop/q");
    world.run_pod("pod-p", &key("shop/p"));
    world.rest();
    world.strip_label(&key("shop/pod-p"));
    world.rest();
    world.force_delete("shop/p");
    world.delete_claim(&key("shop/q"));
    world.hears_all(1);
    let first = world.until(0, is_delete_of_first);
    world.hears_all(1);
    // The other one may not free the same slot today, so it goes on with the next one.
    let next = world.until_deaf(1, is_delete);
    if is_delete_of_first(&world.controllers[1].requests[&next].action) {
        world.answer(1, next, Outcome::Refused("no rights today".to_owned()));
    }
    world.finishes_for(1, 20);
    world.land(0, first);
    world.reply(0, first);
    world.seconds(600);
    if world.server.slots(port(9000)).count() == 0 {
        world.judge.accuse("N2: no slot stays for the pod".to_owned());
    }
    verdict(world)
}

/// N3: the number was granted after the slot was created, before the status: the slot is undone.
pub fn a_slot_beside_its_number() -> Option<String> {
    let mut world = fleet();
    world.claim("shop/a", None);
    let create = world.until(0, is_create);
    world.land(0, create);
    world.make_hostport(spot(9000), "games", ReclaimPolicy::Delete, None);
    world.reply(0, create);
    world.finishes(0);
    if world.phase("shop/a") == ClaimPhase::Bound {
        world.judge.accuse("N3: shop/a is Bound to a slot of 9000, which stands too".to_owned());
    }
    verdict(world)
}

/// N3: a leader hears late of a slot that came and went, and knows of the number, which was granted since, from a reply.
/// The two never stood beside each other, and the number's status is under way.
pub fn a_number_beside_a_slot_that_is_gone() -> Option<String> {
    let mut world = fleet();
    world.claim("shop/a", None);
    world.works(0);
    world.force_delete("shop/a");
    for _ in 0..20 {
        world.works(0);
        world.asleep(10);
    }
    assert_eq!(world.server.slots(port(9000)).count(), 0, "{}", world.story());
    world.rescope_class("games", Scope::Cluster);
    world.claim("shop/b", None);
    world.hears_all_but(1, HOSTPORTS);
    let create = world.until_deaf(1, is_create);

    world.force_delete("shop/b");
    world.claim("shop/c", None);
    let status =
        world.until(0, |action| matches!(action, Action::PutClaimStatus { key, .. } if &*key.name == "c"));
    world.land(1, create);
    world.reply(1, create);
    let number = world.until_deaf(1, |action| matches!(action, Action::GetHostPort(_)));
    world.land(1, number);
    world.deliver(1, HOSTPORTS, 1);
    world.reply(1, number);
    let claim = world.until_deaf(1, |action| matches!(action, Action::GetClaim(key) if &*key.name == "c"));
    world.land(1, claim);
    world.reply(1, claim);
    world.poll(1);
    let undo = |action: &Action| matches!(action, Action::PatchHostPort { spot, .. } if spot.is_whole());
    let undone = world.controllers[1].requests.iter().find(|(_, request)| undo(&request.action));
    if let Some(id) = undone.map(|(id, _)| *id) {
        world.land(1, id);
    }
    world.land(0, status);
    world.reply(0, status);

    verdict(world)
}

macro_rules! passes {
    ($($test:ident: $story:ident,)*) => {
        $(#[test]
        fn $test() {
            assert_eq!($story(), None);
        })*
    };
}

passes! {
    c1_a_claim_read_before_its_hostport_was_proves_nothing: a_claim_read_before_its_hostport,
    c3_the_rest_begins_anew_with_every_version: a_rest_that_began_with_another_version,
    a_number_is_not_taken_from_a_claim_made_anew: hand_over_from_a_claim_made_anew,
    blocks_that_cross_are_not_mixed: a_member_of_another_block,
    a_block_that_is_undone_is_not_counted_on: a_member_of_another_block_that_is_undone,
    a_status_under_way_is_void_before_its_block_is_undone: a_status_that_lands_after_its_block_was_undone,
    a_void_status_is_written_again_only_over_confirmed_members: a_status_written_again_while_its_block_is_undone,
    a_promised_number_holds_up_nobody_who_may_have_another: a_promised_number_holds_nobody_up,
    a_promised_number_goes_to_nobody_else: a_promised_number_is_kept_for_its_claim,
    n2_a_slot_stays_for_the_pod_whatever_two_leaders_free: two_leaders_free_a_slot_each,
    n3_a_slot_and_its_number_are_not_both_bound: a_slot_beside_its_number,
    n3_a_number_is_not_undone_for_a_slot_that_is_gone: a_number_beside_a_slot_that_is_gone,
}
