//! Who has stood by through changes does what one does that has just listed the outcome.

use allocator::{Port, PortRange, Scope};
use crds::{ClaimPhase, ReclaimPolicy, Strategy};

use super::*;
use crate::{
    core::Config,
    seen::{Admits, Change, Claim, Class, Event, Namespace, Now, Version},
};

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn class() -> Class {
    Class {
        name: "games".into(),
        uid: "uid-games".into(),
        version: Version(1),
        generation: 1,
        created: 0,
        is_default: false,
        pools: vec![PortRange::new(port(9000), port(9499)).unwrap()],
        exclude: vec![],
        strategy: Strategy::Sequential,
        scope: Scope::Cluster,
        policy: ReclaimPolicy::Delete,
        reuse_delay: std::time::Duration::from_secs(60),
        allow_reserved: false,
        admits: Admits::All,
        max_per_namespace: None,
        max_count: 64,
        conditions: vec![],
        status_digest: 0,
    }
}

fn claim(name: &str, version: u64) -> Claim {
    Claim {
        key: crate::seen::Key::new("shop", name),
        uid: format!("uid-{name}").into(),
        version: Version(version),
        generation: 1,
        created: 0,
        deleting: false,
        finalizers: vec![],
        class: Some("games".into()),
        wanted: None,
        hostport_name: None,
        count: 1,
        preferred: None,
        made: None,
        phase: ClaimPhase::Pending,
        port: None,
        slot: None,
        used_class: None,
        ready: None,
        status_digest: 0,
    }
}

/// Tells a core of everything that there is.
fn listing(core: &mut Core, claims: &[Claim]) {
    let mut listed = vec![Event::Claim(Change::Listing)];
    listed.extend(claims.iter().cloned().map(|claim| Event::Claim(Change::Listed(claim))));
    listed.extend([
        Event::Claim(Change::ListDone),
        Event::HostPort(Change::Listing),
        Event::HostPort(Change::ListDone),
        Event::Class(Change::Listing),
        Event::Class(Change::Listed(class())),
        Event::Class(Change::ListDone),
        Event::Namespace(Change::Listing),
        Event::Namespace(Change::Listed(Namespace { name: "shop".into(), labels: Default::default() })),
        Event::Namespace(Change::ListDone),
        Event::Pod(Change::Listing),
        Event::Pod(Change::ListDone),
        Event::Service(Change::Listing),
        Event::Service(Change::ListDone),
        Event::Quota(Change::Listing),
        Event::Quota(Change::ListDone),
    ]);
    listed.into_iter().for_each(|event| core.observe(event));
}

fn actions(core: &mut Core) -> Vec<String> {
    let mut actions: Vec<_> =
        core.poll(Now::default()).into_iter().map(|(_, action)| format!("{action:?}")).collect();
    actions.sort();
    actions
}

#[test]
fn who_stood_by_through_changes_begins_as_one_who_lists_the_outcome() {
    let mut standby = Core::new(Config::default());
    listing(&mut standby, &[claim("gone", 1), claim("stays", 2)]);
    standby.stand_by();
    standby.observe(Event::Claim(Change::Deleted(claim("gone", 3))));
    standby.observe(Event::Claim(Change::Applied(claim("new", 4))));
    standby.stand_by();

    standby.lead();
    let done = actions(&mut standby);

    let mut fresh = Core::new(Config::default());
    listing(&mut fresh, &[claim("stays", 2), claim("new", 4)]);
    assert_eq!(done, actions(&mut fresh));
    assert_eq!(done.iter().filter(|action| action.starts_with("CreateHostPort")).count(), 2, "{done:?}");
}

#[test]
fn standing_by_remembers_nothing_of_what_came_and_went() {
    let mut standby = Core::new(Config::default());
    listing(&mut standby, &[]);

    for number in 0..100 {
        let name = format!("game-{number}");
        standby.observe(Event::Claim(Change::Applied(claim(&name, 2 * number + 1))));
        standby.observe(Event::Claim(Change::Deleted(claim(&name, 2 * number + 2))));
        standby.stand_by();
    }

    assert!(standby.known.touched.is_empty());
    assert!(standby.known.remembers_no_dead());
}
