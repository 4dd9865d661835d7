//! Claims that would rather have certain numbers, as admission makes them for fleets.

use crate::{
    people::{class, key},
    stories::drive::cluster,
    world::World,
};

impl World {
    fn prefers(&mut self, name: &str, number: u16, count: u16) {
        self.create_preferring(&key(name), Some("games"), number, count);
        self.rest();
    }
}

#[test]
fn a_preferred_number_that_is_free_is_had() {
    let mut world = cluster(9000, 9009, 1);

    world.prefers("shop/a", 9004, 2);
    world.prefers("shop/b", 9006, 2);

    assert_eq!([world.number("shop/a"), world.number("shop/b")], [Some(9004), Some(9006)]);
    world.ends_well();
}

#[test]
fn one_that_is_taken_is_passed_over_at_once_for_the_next_above_and_then_for_any() {
    let mut world = cluster(9000, 9005, 1);
    world.bound_claim("voice/x");
    world.claim("shop/x", Some(9003));
    world.rest();

    world.prefers("shop/a", 9002, 2);
    world.prefers("shop/b", 9004, 2);

    assert_eq!([world.number("shop/a"), world.number("shop/b")], [Some(9004), Some(9001)]);
    world.ends_well();
}

#[test]
fn one_outside_the_class_is_not_waited_for() {
    let mut world = cluster(9000, 9001, 1);

    world.prefers("shop/a", 30558, 1);

    assert_eq!(world.number("shop/a"), Some(9000), "{}", world.story());
    world.ends_well();
}

#[test]
fn inside_the_namespace_a_preferred_number_is_handed_over_without_a_rest() {
    let mut world = cluster(9000, 9009, 1);
    world.prefers("shop/a", 9004, 1);
    world.delete_claim(&key("shop/a"));
    world.prefers("shop/b", 9004, 1);

    assert_eq!(world.number("shop/b"), Some(9004), "{}", world.story());
    world.ends_well();
}

#[test]
fn another_namespace_does_not_get_it_before_it_has_rested() {
    let mut world = cluster(9000, 9009, 1);
    world.prefers("shop/a", 9004, 1);
    world.delete_claim(&key("shop/a"));

    world.prefers("voice/b", 9004, 1);

    assert_eq!(world.number("voice/b"), Some(9005));
    world.ends_well();
}

#[test]
fn one_that_waits_in_line_hears_that_its_number_is_to_be_had() {
    let mut world = cluster(9000, 9000, 1);
    world.prefers("shop/a", 9000, 1);
    world.prefers("shop/b", 9000, 1);
    assert_eq!(world.reason("shop/b"), "PoolExhausted");

    world.delete_claim(&key("shop/a"));
    world.rest();

    assert_eq!(world.number("shop/b"), Some(9000), "{}", world.story());
    world.edit_class("games", |games| *games = class("games", 9000, 9001));
    world.ends_well();
}
