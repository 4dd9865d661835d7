//! A port set against a `BTreeSet`: whatever is done to both, every question has the same answer.
//! Never here: speed.

use std::collections::BTreeSet;

use allocator::{Port, PortRange, PortSet};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Change {
    Insert(Port),
    Remove(Port),
    InsertRange(PortRange),
    RemoveRange(PortRange),
}

/// Ports near the seams of words, groups and blocks and the two ends, where mistakes live; and any others.
fn ports() -> impl Strategy<Value = Port> {
    let seams = (prop::sample::select(vec![0u32, 64, 512, 4096, 8192, 32768, 61440, 65535]), 0u32..6)
        .prop_map(|(seam, offset)| (seam + offset).saturating_sub(3).clamp(1, 65535));
    prop_oneof![seams, 1u32..=65535].prop_map(|number| Port::try_from(number).unwrap())
}

fn ranges() -> impl Strategy<Value = PortRange> {
    let lengths = prop_oneof![8 => 0u32..200, 2 => 0u32..9000, 1 => Just(65535u32)];
    (ports(), lengths).prop_map(|(start, length)| {
        let end = Port::try_from((u32::from(start.get()) + length).min(65535)).unwrap();
        PortRange::new(start, end).unwrap()
    })
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => ports().prop_map(Change::Insert),
        4 => ports().prop_map(Change::Remove),
        1 => ranges().prop_map(Change::InsertRange),
        1 => ranges().prop_map(Change::RemoveRange),
    ]
}

fn changed(changes: &[Change]) -> (PortSet, BTreeSet<Port>) {
    let (mut set, mut model) = (PortSet::new(), BTreeSet::new());
    for change in changes {
        match *change {
            Change::Insert(port) => assert_eq!(set.insert(port), model.insert(port)),
            Change::Remove(port) => assert_eq!(set.remove(port), model.remove(&port)),
            Change::InsertRange(range) => {
                set.insert_range(range);
                model.extend(range.iter());
            }
            Change::RemoveRange(range) => {
                set.remove_range(range);
                range.iter().for_each(|port| _ = model.remove(&port));
            }
        }
        assert_eq!(set.len(), model.len());
    }
    (set, model)
}

/// The ranges of a model, found port by port.
fn runs(model: &BTreeSet<Port>) -> Vec<PortRange> {
    let mut runs: Vec<(Port, Port)> = Vec::new();
    for &port in model {
        match runs.last_mut() {
            Some((_, end)) if end.next() == Some(port) => *end = port,
            _ => runs.push((port, port)),
        }
    }
    runs.into_iter().map(|(start, end)| PortRange::new(start, end).unwrap()).collect()
}

proptest! {
    #[test]
    fn a_port_set_answers_like_a_plain_set(
        changes in prop::collection::vec(changes(), 0..40),
        asked in prop::collection::vec(ports(), 50),
        ranks in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let (set, model) = changed(&changes);
        let ordered: Vec<Port> = model.iter().copied().collect();

        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert_eq!(set.first(), model.first().copied());
        prop_assert_eq!(set.nth(model.len()), None);
        for port in asked {
            prop_assert_eq!(set.contains(port), model.contains(&port));
            prop_assert_eq!(set.next_at_or_after(port), model.range(port..).next().copied());
        }
        for rank in ranks.iter().filter(|_| !ordered.is_empty()).map(|rank| rank.index(ordered.len())) {
            prop_assert_eq!(set.nth(rank), Some(ordered[rank]));
        }
        prop_assert_eq!(set.iter().len(), model.len());
        prop_assert!(set.iter().eq(ordered.iter().copied()));
        prop_assert_eq!(set.ranges().collect::<Vec<_>>(), runs(&model));
    }

    #[test]
    fn a_set_made_from_its_ports_or_its_ranges_is_the_same_set(
        changes in prop::collection::vec(changes(), 0..20),
    ) {
        let (set, model) = changed(&changes);

        prop_assert!(model.into_iter().collect::<PortSet>() == set);
        prop_assert!(set.ranges().collect::<PortSet>() == set);
    }
}

#[test]
fn the_full_set_has_all_65535_ports() {
    let all = PortRange::new(Port::MIN, Port::MAX).unwrap();

    let set: PortSet = [all].into_iter().collect();

    assert_eq!(set.len(), 65535);
    assert_eq!(set.nth(0), Some(Port::MIN));
    assert_eq!(set.nth(65534), Some(Port::MAX));
    assert_eq!(set.ranges().collect::<Vec<_>>(), [all]);
}

#[test]
fn a_set_reads_as_its_ranges() {
    let ports = (5060..=5065).chain(20000..=20599).chain([443]).map(|number| Port::new(number).unwrap());

    let set: PortSet = ports.collect();

    assert_eq!(set.to_string(), "443,5060-5065,20000-20599");
    assert_eq!(PortSet::new().to_string(), "");
}
