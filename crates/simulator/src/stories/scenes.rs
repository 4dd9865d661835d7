//! What users meet: bind, wait, recreate, exhaust, repair by hand; and the sentences that they read.

use std::time::Duration;

use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy};

use super::drive::{HOSTPORTS, cluster};
use crate::{
    people::{class, key, range, spot},
    world::World,
};

#[test]
fn a_recreated_claim_keeps_its_number_though_the_controller_was_down() {
    let mut world = cluster(9000, 9005, 1);
    world.bound_claim("shop/other");
    world.bound_claim("shop/a");
    assert_eq!(world.number("shop/a"), Some(9001));

    world.recreate("shop/a");
    world.asleep(3600);
    world.kill(0, |_| false);
    world.rest();

    assert_eq!(world.number("shop/a"), Some(9001));
    world.ends_well();
}

#[test]
fn a_released_port_is_not_granted_to_another_name_before_reuse_delay() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    world.claim("shop/b", None);

    world.seconds(59);
    assert_eq!((world.phase("shop/b"), world.reason("shop/b")), (ClaimPhase::Pending, "PoolExhausted"));
    world.seconds(5);

    assert_eq!(world.holder(9000).as_deref(), Some("shop/b"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_pod_that_outlives_its_claim_keeps_the_port_and_is_named() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.run_pod("p", &key("shop/a"));
    world.rest();
    world.delete_claim(&key("shop/a"));
    world.rest();
    assert_eq!(world.reason("shop/a"), "InUse");
    world.strip_finalizers(&key("shop/a"));

    world.seconds(3600);

    let hostport = world.hostport(9000).unwrap();
    assert_eq!(hostport.held_by.as_deref(), Some("pod shop/p"));
    assert!(world.controllers[0].told.iter().any(|line| line.starts_with("ReleaseHeld")));
    world.end_pod(&key("shop/p"));
    world.seconds(5);
    assert_eq!(world.hostport(9000), None);
    world.ends_well();
}

#[test]
fn a_claim_in_use_goes_when_its_pods_have_ended() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.run_pod("p", &key("shop/a"));
    world.rest();
    world.delete_claim(&key("shop/a"));
    world.rest();
    assert!(world.message("shop/a").contains("in use by pod p"), "{}", world.message("shop/a"));

    world.end_pod(&key("shop/p"));
    world.rest();

    assert!(world.server.claims.is_empty());
    world.ends_well();
}

#[test]
fn a_tampered_status_makes_no_hostport_outside_the_pools() {
    let mut world = cluster(9000, 9001, 1);
    world.bound_claim("shop/a");

    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(10250)));
    world.rest();

    assert_eq!(world.hostport(10250), None);
    assert_eq!((world.phase("shop/a"), world.reason("shop/a")), (ClaimPhase::Lost, "PortOutsidePools"));
    let told = &world.controllers[0].told;
    assert!(told.iter().any(|line| line.starts_with("PortOutsidePools: Port 10250 is ")), "{told:?}");
    world.seconds(120);
    assert_eq!(world.hostport(9000), None, "the port that the status forsakes rests and goes back");
    world.ends_well();
}

#[test]
fn a_tampered_status_of_a_claim_without_class_is_read_with_the_default_class() {
    let mut world = cluster(9000, 9001, 1);
    world.edit_class("games", |class| class.is_default = true);
    world.create_claim(&key("shop/a"), None, None);

    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(9001)));
    world.rest();

    assert_eq!(&*world.hostport(9001).unwrap().class, "games");
    world.ends_well();
}

#[test]
fn a_block_that_a_tampered_status_moves_by_one_says_so_itself_and_is_admitted() {
    let mut world = cluster(9000, 9005, 1);
    world.create_block(&key("shop/a"), Some("games"), None, 2);
    world.rest();
    assert_eq!(world.holder(9001).as_deref(), Some("shop/a"), "{}", world.story());

    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(9001)));
    world.seconds(120);

    let says = |number: u16| world.hostport(number).and_then(|it| it.block).map(allocator::Port::get);
    assert_eq!((says(9000), says(9001), says(9002)), (None, Some(9001), Some(9001)), "{}", world.story());
    world.run_pod("p", &key("shop/a"));
    assert!(world.server.pods.contains_key(&key("shop/p")), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_claim_whose_hostport_went_to_another_is_lost_and_comes_back_when_it_is_free() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.tamper(&key("shop/a"), ClaimPhase::Pending, None);
    world.delete_hostport(spot(9000));
    world.claim("voice/b", Some(9000));
    world.hears(0, HOSTPORTS);
    world.rest();
    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(9000)));
    world.tamper(&key("voice/b"), ClaimPhase::Bound, Some(spot(9000)));
    world.rest();
    let (won, lost) =
        if world.phase("shop/a") == ClaimPhase::Lost { ("voice/b", "shop/a") } else { ("shop/a", "voice/b") };
    assert_eq!((world.phase(won), world.phase(lost)), (ClaimPhase::Bound, ClaimPhase::Lost));
    assert!(world.is_stalled(lost) && world.message(lost).contains("belongs to someone else"));

    world.delete_claim(&key(won));
    world.seconds(70);

    assert_eq!(world.holder(9000).as_deref(), Some(lost), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_lost_claim_does_not_keep_its_number_from_a_claim_that_wants_it() {
    let mut world = cluster(9000, 9001, 1);
    world.create_class(class("media", 9002, 9003));
    world.create_claim(&key("shop/a"), Some("media"), None);
    world.tamper(&key("shop/a"), ClaimPhase::Lost, Some(spot(9001)));
    world.rest();

    world.claim("voice/b", Some(9001));
    world.rest();

    assert_eq!(world.holder(9001).as_deref(), Some("voice/b"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_wanted_port_is_explained() {
    let mut world = cluster(9000, 9002, 1);
    world.claim("shop/a", Some(9000));
    world.run_raw_pod(&key("web/x"), 9001);
    world.rest();

    world.claim("shop/b", Some(9000));
    world.claim("voice/b", Some(9000));
    world.claim("shop/c", Some(8080));
    world.claim("shop/d", Some(9001));
    world.rest();

    assert_eq!(world.reason("shop/b"), "PortTaken");
    assert!(world.message("shop/b").contains("held by claim \"a\" in this namespace"));
    assert_eq!(world.reason("voice/b"), "PortTaken");
    assert!(world.message("voice/b").contains("in use outside this namespace"));
    assert!(!world.message("voice/b").contains("shop"), "tenants do not learn of each other");
    assert_eq!((world.reason("shop/c"), world.is_stalled("shop/c")), ("PortOutsidePools", true));
    assert!(world.message("shop/c").contains("Port 8080 is not in class \"games\" (9000-9002)"));
    assert_eq!((world.phase("shop/d"), world.reason("shop/d")), (ClaimPhase::Pending, "PortTaken"));
    world.ends_well();
}

#[test]
fn a_wanted_port_that_rests_is_bound_when_its_time_has_come() {
    let mut world = cluster(9000, 9000, 1);
    world.claim("shop/a", Some(9000));
    world.rest();
    world.delete_claim(&key("shop/a"));
    world.claim("voice/b", Some(9000));
    world.seconds(10);
    assert_eq!((world.reason("voice/b"), world.is_stalled("voice/b")), ("WaitingForReuse", false));

    world.seconds(60);

    assert_eq!(world.number("voice/b"), Some(9000));
    world.ends_well();
}

#[test]
fn a_default_class_that_appears_later_binds_those_who_wait() {
    let mut world = cluster(9000, 9001, 1);
    world.create_claim(&key("shop/a"), None, None);
    world.create_claim(&key("shop/b"), Some("media"), None);
    world.create_claim(&key("shop/c"), Some(""), None);
    world.rest();
    assert_eq!(["shop/a", "shop/b", "shop/c"].map(|name| world.reason(name)), ["ClassNotFound"; 3]);

    world.edit_class("games", |class| class.is_default = true);
    world.create_class(class("media", 9500, 9500));
    world.rest();

    assert_eq!(
        [world.number("shop/a"), world.number("shop/b"), world.number("shop/c")],
        [Some(9000), Some(9500), None]
    );
    world.ends_well();
}

#[test]
fn a_pool_that_grows_binds_those_who_wait_and_one_that_shrinks_takes_nothing() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.claim("shop/b", None);
    world.rest();
    assert_eq!(world.reason("shop/b"), "PoolExhausted");

    world.edit_class("games", |class| class.pools = vec![range(9001, 9001)]);
    world.rest();

    assert_eq!([world.number("shop/a"), world.number("shop/b")], [Some(9000), Some(9001)]);
    world.ends_well();
}

#[test]
fn a_namespace_with_many_claims_does_not_hold_up_one_with_a_single_claim() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("web/first");
    for name in ["big/a", "big/b", "big/c", "big/d"] {
        world.claim(name, None);
        world.rest();
        world.asleep(1);
    }
    world.claim("small/a", None);
    world.rest();

    world.edit_class("games", |class| class.pools = vec![range(9000, 9002)]);
    world.rest();

    assert!(world.number("small/a").is_some(), "{}", world.story());
    assert!(world.number("big/a").is_some(), "oldest first");
    world.ends_well();
}

#[test]
fn retained_ports_wait_for_an_administrator() {
    let mut world = cluster(9000, 9000, 1).retaining();
    world.bound_claim("shop/a");
    world.delete_claim(&key("shop/a"));
    world.claim("voice/b", None);
    world.seconds(3600);
    let hostport = world.hostport(9000).unwrap();
    assert_eq!((hostport.phase, hostport.policy), (HostPortPhase::Released, ReclaimPolicy::Retain));
    assert_eq!(hostport.held_by.as_deref(), Some("admin (Retain)"));

    world.clear_claim_ref(spot(9000), false);
    world.rest();
    world.seconds(5);

    assert_eq!(world.holder(9000).as_deref(), Some("voice/b"), "{}", world.story());
    world.ends_well();
}

#[test]
fn surplus_of_a_retaining_class_becomes_available() {
    let mut world = cluster(9000, 9001, 1).retaining();
    world.bound_claim("shop/a");

    world.tamper(&key("shop/a"), ClaimPhase::Bound, Some(spot(9001)));
    world.seconds(100);

    assert_eq!(world.hostport(9000).unwrap().phase, HostPortPhase::Available);
    world.ends_well();
}

#[test]
fn what_is_available_is_free_to_those_who_ask() {
    let mut world = cluster(9000, 9001, 1);
    world.bound_claim("shop/a");
    let free = |world: &World| world.server.class_status["games"].free();

    world.make_hostport(spot(9001), "games", ReclaimPolicy::Delete, None);
    world.make_hostport(spot(9100), "games", ReclaimPolicy::Delete, Some(key("shop/b")));
    world.seconds(5);

    assert_eq!(free(&world), Some(1), "9001, and not what is kept for somebody");
    world.bound_claim("shop/c");
    world.seconds(5);
    assert_eq!(free(&world), Some(0));
    world.ends_well();
}

#[test]
fn a_clock_that_was_ahead_keeps_no_port_longer_than_its_rest() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.controllers[0].skew = 365 * 86_400_000;
    world.delete_claim(&key("shop/a"));
    world.rest();

    world.controllers[0].skew = 0;
    world.seconds(65);

    assert_eq!(world.hostport(9000), None, "{}", world.story());
}

#[test]
fn a_steady_cluster_is_silent() {
    let mut world = cluster(9000, 9003, 2);
    for name in ["shop/a", "shop/b", "voice/a", "voice/b", "voice/c"] {
        world.claim(name, None);
    }
    world.claim("web/a", Some(9000));
    world.rest();
    world.run_pod("p", &key("shop/a"));
    world.run_raw_pod(&key("web/x"), 9500);
    world.seconds(60);

    let sent = world.sent;
    assert!(world.run(Duration::from_secs(86_400)));

    assert_eq!(world.sent, sent, "{}", world.story());
}

/// The world starts with a controller that has to wait for every kind.
#[test]
fn nothing_is_decided_before_every_kind_is_listed() {
    let mut world = World::new().traced();
    world.create_class(class("games", 9000, 9001));
    world.claim("shop/a", None);
    world.start();
    for kind in [0, 1, 3, 4, 5, 6] {
        world.hears(0, kind);
    }
    assert_eq!(world.sent, 0);

    world.hears(0, 2);

    assert!(world.sent > 0);
    world.ends_well();
}
