//! What the ledger promises, one example each. The rules in all combinations: `tests/ledger_model.rs`.
//! Never here: time; what a pick costs is counted in words read.

use super::*;
use crate::port::PortRange;
use crate::set::looks;

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn range(start: u16, end: u16) -> PortRange {
    PortRange::new(port(start), port(end)).unwrap()
}

fn class(created: i64, pools: &[(u16, u16)]) -> ClassSpec {
    ClassSpec {
        pools: pools.iter().map(|&(start, end)| range(start, end)).collect(),
        exclude: Vec::new(),
        strategy: Strategy::Sequential,
        scope: Scope::Cluster,
        allow_reserved: false,
        created,
    }
}

fn ledger(classes: &[(&str, ClassSpec)]) -> Ledger {
    let mut ledger = Ledger::with_seed(7);
    for (name, spec) in classes {
        ledger.set_class(name, spec.clone());
    }
    ledger
}

#[test]
fn a_sequential_class_grants_its_lowest_free_number() {
    let mut ledger = ledger(&[("games", class(0, &[(7000, 7015)]))]);

    ledger.hold(port(7000), "games", Hold::Bound);
    assert_eq!(ledger.pick("games"), Some(port(7001)));

    ledger.unhold(port(7000));
    assert_eq!(ledger.pick("games"), Some(port(7000)));
}

#[test]
fn a_random_class_grants_every_free_number_and_no_other() {
    let spec = ClassSpec { strategy: Strategy::Random, ..class(0, &[(7000, 7007), (9000, 9007)]) };
    let mut ledger = ledger(&[("games", spec)]);
    ledger.hold(port(7003), "games", Hold::Bound);

    let picked: PortSet = (0..1000).filter_map(|_| ledger.pick("games")).collect();

    assert_eq!(picked.to_string(), "7000-7002,7004-7007,9000-9007");
}

#[test]
fn automatic_picks_take_the_static_band_last() {
    for strategy in [Strategy::Sequential, Strategy::Random] {
        let spec = ClassSpec { strategy, ..class(0, &[(7000, 7009), (9000, 9009)]) };
        let mut ledger = ledger(&[("games", spec)]);
        assert_eq!(ledger.static_band("games"), Some((port(7000), port(9005))));

        let picked: Vec<_> = (0..20)
            .map_while(|_| ledger.pick("games").inspect(|&port| ledger.hold(port, "games", Hold::Bound)))
            .collect();

        let (above, band) = picked.split_at(4);
        assert!(above.iter().all(|picked| *picked >= port(9006)), "{above:?}");
        assert_eq!(band.iter().collect::<std::collections::BTreeSet<_>>().len(), 16);
    }
}

#[test]
fn the_static_band_is_a_32nd_of_the_class_within_limits() {
    let sizes = [(1, 0), (16, 0), (17, 16), (512, 16), (1024, 32), (4096, 128), (65000, 128)];

    for (capacity, band) in sizes {
        assert_eq!(class::static_band(capacity), band, "of {capacity}");
    }
}

#[test]
fn a_block_is_the_lowest_run_above_the_static_band_or_else_the_lowest() {
    let mut ledger = ledger(&[("media", class(0, &[(5060, 5079), (20000, 20099)]))]);
    ledger.hold(port(20010), "media", Hold::Bound);

    assert_eq!(ledger.pick_run("media", 4), Some(port(5076)));
    assert_eq!(ledger.pick_run("media", 10), Some(port(20000)));
    assert_eq!(ledger.pick_run("media", 89), Some(port(20011)));
    assert_eq!(ledger.pick_run("media", 90), None);

    ledger.hold(port(20005), "media", Hold::Bound);
    ledger.set_foreign(port(5079), true);
    (20020..20100).step_by(8).for_each(|number| ledger.set_foreign(port(number), true));
    assert_eq!(ledger.pick_run("media", 12), Some(port(5060)));
}

#[test]
fn two_ledgers_of_one_seed_pick_alike() {
    let spec = ClassSpec { strategy: Strategy::Random, ..class(0, &[(20000, 29999)]) };
    let (mut one, mut other) = (ledger(&[("media", spec.clone())]), ledger(&[("media", spec)]));

    let picks = |ledger: &mut Ledger| (0..20).map(|_| ledger.pick("media")).collect::<Vec<_>>();

    assert_eq!(picks(&mut one), picks(&mut other));
}

#[test]
fn a_class_without_free_numbers_picks_nothing() {
    for strategy in [Strategy::Sequential, Strategy::Random] {
        let mut ledger = ledger(&[("one", ClassSpec { strategy, ..class(0, &[(7000, 7000)]) })]);
        ledger.hold(port(7000), "one", Hold::Released);

        assert_eq!(ledger.pick("one"), None);
        assert_eq!(ledger.pick("absent"), None);
    }
}

#[test]
fn i1_a_number_that_one_class_holds_is_not_free_in_another() {
    let mut ledger = ledger(&[("games", class(0, &[(7000, 7001)]))]);

    ledger.hold(port(7000), "deleted-class", Hold::Released);

    assert_eq!(ledger.pick("games"), Some(port(7001)));
    assert_eq!(ledger.counts("games"), Counts { capacity: 2, free: 1, ..Counts::default() });
    assert_eq!(ledger.holder(port(7000)), Some(("deleted-class", Hold::Released)));
}

#[test]
fn foreign_and_promised_numbers_are_not_picked() {
    let mut ledger = ledger(&[("games", class(0, &[(7000, 7002)]))]);

    ledger.set_foreign(port(7000), true);
    ledger.set_promised(port(7001), true);
    assert_eq!(ledger.pick("games"), Some(port(7002)));
    assert_eq!(ledger.counts("games"), Counts { capacity: 3, foreign: 1, free: 1, ..Counts::default() });

    ledger.set_foreign(port(7000), false);
    assert_eq!(ledger.pick("games"), Some(port(7000)));
}

#[test]
fn held_shows_before_foreign_and_foreign_before_promised() {
    let mut ledger = ledger(&[]);
    assert_eq!(ledger.state(port(9000)), PortState::Free);

    ledger.set_promised(port(9000), true);
    assert_eq!(ledger.state(port(9000)), PortState::Promised);
    ledger.set_foreign(port(9000), true);
    assert_eq!(ledger.state(port(9000)), PortState::Foreign);
    ledger.hold(port(9000), "games", Hold::Bound);
    assert_eq!(ledger.state(port(9000)), PortState::Held);
}

#[test]
fn a_number_in_two_classes_belongs_to_the_older_until_that_is_gone() {
    let mut ledger =
        ledger(&[("young", class(2, &[(7000, 7004)])), ("old", class(1, &[(7000, 7002), (8000, 8000)]))]);

    assert_eq!(ledger.pick("young"), Some(port(7003)));
    assert_eq!(ledger.owner(port(7000)), Some("old"));
    assert_eq!(ledger.may_have("young", port(7000)), Err(Refusal::OwnedByOlderClass { class: "old".into() }));
    assert_eq!(ledger.counts("young").conflict, 3);

    ledger.remove_class("old");
    assert_eq!(ledger.pick("young"), Some(port(7000)));
    assert_eq!(ledger.counts("young"), Counts { capacity: 5, free: 5, ..Counts::default() });
}

#[test]
fn of_two_classes_of_one_second_the_first_by_name_owns() {
    let ledger = ledger(&[("b", class(1, &[(7000, 7000)])), ("a", class(1, &[(7000, 7000)]))]);

    assert_eq!(ledger.owner(port(7000)), Some("a"));
}

#[test]
fn what_an_older_class_excludes_or_may_not_grant_a_younger_class_may_own() {
    let old = ClassSpec { exclude: vec![range(7000, 7000)], ..class(1, &[(7000, 7001), (6443, 6443)]) };
    let young = ClassSpec { allow_reserved: true, ..class(2, &[(7000, 7001), (6443, 6443)]) };

    let ledger = ledger(&[("old", old), ("young", young)]);

    assert_eq!(ledger.owner(port(7000)), Some("young"));
    assert_eq!(ledger.owner(port(6443)), Some("young"));
    assert_eq!(ledger.owner(port(7001)), Some("old"));
}

#[test]
fn a_refusal_says_what_stands_in_the_way_but_not_who_holds_the_number() {
    let spec = ClassSpec { exclude: vec![range(10300, 10309)], ..class(0, &[(10240, 10399)]) };
    let mut ledger = ledger(&[("games", spec)]);
    ledger.hold(port(10240), "games", Hold::Bound);

    assert_eq!(ledger.may_have("games", port(10240)), Ok(()));
    assert_eq!(ledger.may_have("games", port(10400)), Err(Refusal::OutsidePools));
    assert_eq!(ledger.may_have("games", port(10305)), Err(Refusal::OutsidePools));
    assert_eq!(ledger.may_have("games", port(10250)), Err(Refusal::Reserved));
    assert_eq!(ledger.may_have("absent", port(10240)), Err(Refusal::NoSuchClass));
    assert_eq!(ledger.counts("games").reserved, 12);
}

#[test]
fn shrinking_a_pool_takes_nothing_away() {
    let mut ledger = ledger(&[("games", class(0, &[(7000, 7099)]))]);
    ledger.hold(port(7050), "games", Hold::Bound);

    ledger.set_class("games", class(0, &[(7000, 7009)]));

    assert_eq!(ledger.holder(port(7050)), Some(("games", Hold::Bound)));
    assert_eq!(ledger.counts("games"), Counts { capacity: 10, allocated: 1, free: 10, ..Counts::default() });
}

#[test]
fn a_class_seen_after_its_hostports_counts_them() {
    let mut ledger = ledger(&[]);
    ledger.hold(port(7000), "games", Hold::Bound);
    ledger.hold(port(7001), "games", Hold::Released);
    ledger.hold(port(9999), "games", Hold::Available);
    assert_eq!(ledger.counts("games").allocated, 1);

    ledger.set_class("games", class(0, &[(7000, 7009)]));

    let expected =
        Counts { capacity: 10, allocated: 1, released: 1, available: 1, free: 8, ..Counts::default() };
    assert_eq!(ledger.counts("games"), expected);
    assert_eq!(ledger.available("games"), Some(port(9999)), "available numbers count wherever the pools are");
}

#[test]
fn holding_twice_counts_once_and_the_last_state_wins() {
    let mut ledger = ledger(&[("games", class(0, &[(7000, 7009)]))]);

    ledger.hold(port(7000), "games", Hold::Available);
    ledger.hold(port(7000), "games", Hold::Available);
    assert_eq!(ledger.counts("games").available, 1);
    assert_eq!(ledger.available("games"), Some(port(7000)));

    ledger.hold(port(7000), "games", Hold::Bound);
    assert_eq!(ledger.available("games"), None);
    assert_eq!(ledger.counts("games").allocated, 1);
}

#[test]
fn pools_read_as_they_were_given() {
    let ledger = ledger(&[("media", class(0, &[(20000, 20599), (5060, 5065), (443, 443)]))]);

    assert_eq!(ledger.pools("media"), Some("20000-20599,5060-5065,443"));
    assert_eq!(ledger.pools("absent"), None);
}

#[test]
fn names_of_classes_that_are_gone_do_not_pile_up() {
    let mut ledger = ledger(&[]);

    for round in 0..100 {
        let name = format!("preview-{round}");
        ledger.hold(port(7000), &name, Hold::Bound);
        ledger.set_class(&name, class(0, &[(7000, 7009)]));
        ledger.remove_class(&name);
    }
    ledger.unhold(port(7000));

    assert!(ledger.classes.rows() <= 2, "{} rows", ledger.classes.rows());
    assert_eq!(ledger.counts("preview-99"), Counts::default());
}

#[test]
fn a_pick_reads_a_handful_of_words_however_full_the_pool_is() {
    for strategy in [Strategy::Sequential, Strategy::Random] {
        let spec = ClassSpec { strategy, allow_reserved: true, ..class(0, &[(536, 65535)]) };
        let mut ledger = ledger(&[("wide", spec)]);
        let (_, words_when_empty) = looks::during(|| ledger.pick("wide"));

        for number in (536..=65535).filter(|&number| number != 60001) {
            ledger.hold(port(number), "wide", Hold::Bound);
        }
        let (picked, words_when_full) = looks::during(|| ledger.pick("wide"));

        assert_eq!(picked, Some(port(60001)));
        assert!(words_when_empty <= 9 && words_when_full <= 9, "{words_when_empty}, then {words_when_full}");
    }
}

fn node(created: i64, pools: &[(u16, u16)], most: Option<u32>) -> ClassSpec {
    ClassSpec { scope: Scope::Node { most }, ..class(created, pools) }
}

fn slot(number: u16, slot: u32) -> Spot {
    Spot::slot_of(port(number), slot)
}

/// Picks, and holds what was picked.
fn take(ledger: &mut Ledger, class: &str) -> Option<String> {
    let spot = ledger.pick_slot(class)?;
    ledger.hold(spot, class, Hold::Bound);
    Some(spot.to_string())
}

#[test]
fn the_lowest_slot_of_all_numbers_comes_before_the_next_slot_of_any() {
    let mut ledger = ledger(&[("games", node(0, &[(9000, 9001)], Some(2)))]);

    let picked: Vec<_> = std::iter::from_fn(|| take(&mut ledger, "games")).collect();
    assert_eq!(picked, ["9000-0", "9001-0", "9000-1", "9001-1"]);

    ledger.unhold(slot(9001, 0));
    ledger.unhold(slot(9000, 1));
    assert_eq!(take(&mut ledger, "games").as_deref(), Some("9001-0"));
    assert_eq!(ledger.pick_slot_of("games", port(9000)), Some(slot(9000, 1)));
    assert_eq!(ledger.pick_slot_of("games", port(9001)), None);
    assert_eq!(ledger.counts("games"), Counts { capacity: 4, allocated: 3, free: 1, ..Counts::default() });
}

#[test]
fn without_a_limit_there_is_always_a_slot() {
    let mut ledger = ledger(&[("games", node(0, &[(9000, 9000)], None))]);

    for expected in 0..1000 {
        assert_eq!(take(&mut ledger, "games"), Some(format!("9000-{expected}")));
    }

    let counts = ledger.counts("games");
    assert_eq!((counts.unlimited, counts.capacity, counts.allocated), (true, 1, 1000));
}

#[test]
fn a_number_and_its_slots_are_never_granted_beside_each_other() {
    let mut ledger = ledger(&[("games", node(0, &[(9000, 9000)], None)), ("web", class(0, &[(8000, 8001)]))]);

    ledger.hold(port(9000), "deleted-class", Hold::Released);
    assert_eq!((ledger.pick_slot("games"), ledger.state(slot(9000, 0))), (None, PortState::Held));

    ledger.hold(slot(8000, 5), "deleted-class", Hold::Bound);
    assert_eq!((ledger.pick("web"), ledger.state(port(8000))), (Some(port(8001)), PortState::Held));

    ledger.unhold(port(9000));
    ledger.unhold(slot(8000, 5));
    assert_eq!((ledger.pick_slot("games"), ledger.pick("web")), (Some(slot(9000, 0)), Some(port(8000))));
}

#[test]
fn classes_that_share_numbers_in_different_scopes_block_the_younger_one() {
    let mut ledger =
        ledger(&[("old", class(1, &[(7000, 7002)])), ("young", node(2, &[(7002, 7009)], Some(1)))]);

    assert_eq!((ledger.pick("old"), ledger.pick_slot("young")), (Some(port(7000)), None));
    assert_eq!(ledger.may_have("young", slot(7005, 0)), Err(Refusal::Blocked));
    assert_eq!(ledger.may_have("old", slot(7000, 0)), Err(Refusal::OtherScope));
    assert!(ledger.counts("young").blocked);

    ledger.set_class("old", class(1, &[(7000, 7001)]));
    assert_eq!(ledger.pick_slot("young"), Some(slot(7002, 0)));
    assert_eq!(ledger.may_have("young", slot(7005, 1)), Err(Refusal::BeyondMaxNodes));
}

#[test]
fn a_number_with_strangers_grants_no_further_slot() {
    let mut ledger = ledger(&[("games", node(0, &[(9000, 9001)], None))]);
    ledger.hold(slot(9000, 0), "games", Hold::Bound);

    ledger.set_foreign(port(9000), true);
    assert_eq!(
        ledger.pick_slot_of("games", port(9000)),
        Some(slot(9000, 1)),
        "its own pods are no strangers"
    );
    ledger.set_strange(port(9000), true);

    assert_eq!(ledger.pick_slot("games"), Some(slot(9001, 0)));
    assert_eq!(
        ledger.pick_slot_of("games", port(9000)),
        Some(slot(9000, 1)),
        "maybe they are the claim's own"
    );
    assert_eq!(ledger.counts("games").foreign, 1);
}

#[test]
fn a_random_class_of_slots_keeps_to_the_lowest_ones() {
    let spec = ClassSpec { strategy: Strategy::Random, ..node(0, &[(7000, 7007)], Some(2)) };
    let mut ledger = ledger(&[("games", spec)]);

    let picked: Vec<_> = std::iter::from_fn(|| take(&mut ledger, "games")).collect();

    assert!(picked[..8].iter().all(|spot| spot.ends_with("-0")), "{picked:?}");
    assert!(picked[8..].iter().all(|spot| spot.ends_with("-1")) && picked.len() == 16, "{picked:?}");
}

#[test]
fn a_run_from_a_number_on_is_the_lowest_one_there_in_the_static_band_too() {
    let mut ledger = ledger(&[("games", class(0, &[(7000, 7099)]))]);
    ledger.hold(port(7003), "games", Hold::Bound);
    ledger.set_foreign(port(7006), true);

    assert_eq!(ledger.run_from("games", port(7000), 2), Some(port(7000)));
    assert_eq!(ledger.run_from("games", port(7002), 2), Some(port(7004)));
    assert_eq!(ledger.run_from("games", port(7005), 2), Some(port(7007)));
    assert_eq!(ledger.run_from("games", port(6000), 1), Some(port(7000)));
    assert_eq!(ledger.run_from("games", port(7099), 2), None);
    assert_eq!(ledger.run_from("gamez", port(7000), 1), None);
}
