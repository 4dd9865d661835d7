//! The store is restored from a backup, and its revisions go on upwards: nothing tells a process that what it knows was
//! undone, but the objects themselves.

use super::drive::{CLAIMS, HOSTPORTS, cluster};
use crate::people::key;

#[test]
fn a_grant_that_was_undone_is_made_again() {
    let mut world = cluster(9000, 9001, 1);
    world.bound_claim("voice/b");
    world.claim("shop/a", None);
    world.back_up();
    world.rest();
    assert_eq!(world.number("shop/a"), Some(9001), "{}", world.story());

    world.restore(true);

    world.ends_well();
    assert_eq!(world.number("shop/a"), Some(9001), "{}", world.story());
}

#[test]
fn a_claim_that_was_bound_meanwhile_is_read_before_it_is_believed() {
    let mut world = cluster(9000, 9001, 1);
    world.claim("shop/a", None);
    world.back_up();
    world.rest();

    world.restore(true);
    world.hears(0, CLAIMS);
    world.finishes(0);

    assert!(world.story().contains("is killed and starts anew"), "{}", world.story());
    world.ends_well();
}

#[test]
fn a_hostport_that_was_freed_lives_again() {
    let mut world = cluster(9000, 9000, 1);
    world.bound_claim("shop/a");
    world.back_up();
    world.delete_claim(&key("shop/a"));
    for _ in 0..70 {
        world.works(0);
    }
    world.restore(true);
    world.hears(0, HOSTPORTS);
    world.finishes(0);

    world.ends_well();
    assert_eq!(world.number("shop/a"), Some(9000), "{}", world.story());
}
