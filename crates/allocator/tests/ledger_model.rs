//! The ledger against a model that recomputes every answer from plain maps, after every step of a random
//! history. Never here: speed; the model looks at each number of each pool anew.

use std::collections::{BTreeMap, BTreeSet};

use allocator::{
    ClassSpec, Counts, Hold, Ledger, Port, PortRange, PortState, RESERVED, Refusal, Scope, Spot,
    Strategy as Picking,
};
use proptest::prelude::*;

/// The last is never created: HostPorts may name a class that nobody has seen.
const CLASSES: [&str; 4] = ["games", "media", "sip", "never-created"];

#[derive(Clone, Debug)]
enum Step {
    SetClass(&'static str, ClassSpec),
    RemoveClass(&'static str),
    Hold(Spot, &'static str, Hold),
    Unhold(Spot),
    Foreign(Port, bool),
    Strange(Port, bool),
    Promised(Spot, bool),
}

#[derive(Default)]
struct Model {
    classes: BTreeMap<&'static str, ClassSpec>,
    holds: BTreeMap<Spot, (&'static str, Hold)>,
    foreign: BTreeSet<Port>,
    strange: BTreeSet<Port>,
    promised: BTreeSet<Spot>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match step.clone() {
            Step::SetClass(name, spec) => _ = self.classes.insert(name, spec),
            Step::RemoveClass(name) => _ = self.classes.remove(name),
            Step::Hold(spot, class, hold) => _ = self.holds.insert(spot, (class, hold)),
            Step::Unhold(spot) => _ = self.holds.remove(&spot),
            Step::Strange(port, true) => _ = self.strange.insert(port),
            Step::Strange(port, false) => _ = self.strange.remove(&port),
            Step::Foreign(port, true) => _ = self.foreign.insert(port),
            Step::Foreign(port, false) => _ = self.foreign.remove(&port),
            Step::Promised(spot, true) => _ = self.promised.insert(spot),
            Step::Promised(spot, false) => _ = self.promised.remove(&spot),
        }
    }

    fn owner(&self, port: Port) -> Option<&'static str> {
        let owners = self.classes.iter().filter(|(_, spec)| included(spec, port) && !reserved(spec, port));
        let owners = owners.filter(|(name, _)| !self.is_blocked(name));
        owners.min_by_key(|(name, spec)| (spec.created, **name)).map(|(name, _)| *name)
    }

    /// Shares a number with an older class of the other scope, if that is not blocked itself.
    fn is_blocked(&self, class: &str) -> bool {
        let Some(spec) = self.classes.get(class) else { return false };
        let older = self.classes.iter().filter(|(name, it)| (it.created, **name) < (spec.created, class));
        let mut others = older.filter(|(_, it)| is_node(it) != is_node(spec));
        others.any(|(name, it)| {
            let shared = |port| included(it, port) && !reserved(it, port) && !reserved(spec, port);
            self.included(class).into_iter().any(shared) && !self.is_blocked(name)
        })
    }

    fn state(&self, spot: Spot) -> PortState {
        // A number is held, or promised, with any of its slots, and a slot with the number.
        let touches = |other: &Spot| {
            other.port() == spot.port() && (*other == spot || other.is_whole() != spot.is_whole())
        };
        let foreign = if spot.is_whole() { &self.foreign } else { &self.strange };
        if self.holds.keys().any(touches) {
            PortState::Held
        } else if foreign.contains(&spot.port()) {
            PortState::Foreign
        } else if self.promised.iter().any(touches) {
            PortState::Promised
        } else {
            PortState::Free
        }
    }

    /// The lowest slot of the number that nobody holds or was promised.
    fn free_slot_of(&self, class: &str, port: Port) -> Option<Spot> {
        let Scope::Node { most } = self.classes.get(class)?.scope else { return None };
        let named = || self.holds.keys().chain(&self.promised);
        let closed = self.owner(port) != Some(class) || named().any(|spot| *spot == Spot::whole(port));
        let mut slots = (0..most.unwrap_or(SLOTS + 2)).map(|slot| Spot::slot_of(port, slot));
        slots.find(|slot| !closed && !named().any(|spot| spot == slot))
    }

    /// The free slots of a class, up to one that nothing was ever said of.
    fn free_slots(&self, class: &str) -> BTreeSet<(u32, Port)> {
        let Some(Scope::Node { most }) = self.classes.get(class).map(|spec| spec.scope) else {
            return BTreeSet::new();
        };
        let owned = self.included(class).into_iter().filter(|port| self.owner(*port) == Some(class));
        let slots = owned.flat_map(|port| (0..most.unwrap_or(SLOTS + 1)).map(move |slot| (slot, port)));
        slots.filter(|(slot, port)| self.state(Spot::slot_of(*port, *slot)) == PortState::Free).collect()
    }

    /// The numbers in the pools of a class that are not excluded.
    fn included(&self, class: &str) -> BTreeSet<Port> {
        let Some(spec) = self.classes.get(class) else { return BTreeSet::new() };
        spec.pools.iter().flat_map(|pool| pool.iter()).filter(|port| included(spec, *port)).collect()
    }

    fn free(&self, class: &str) -> BTreeSet<Port> {
        if self.classes.get(class).is_some_and(is_node) {
            return BTreeSet::new();
        }
        let free =
            |port: &Port| self.owner(*port) == Some(class) && self.state((*port).into()) == PortState::Free;
        self.included(class).into_iter().filter(free).collect()
    }

    /// The free numbers that automatic picks prefer: those above the static band, if there are any.
    fn preferred(&self, class: &str) -> BTreeSet<Port> {
        let free = self.free(class);
        let owned: Vec<Port> =
            self.included(class).into_iter().filter(|port| self.owner(*port) == Some(class)).collect();
        let band = if owned.len() <= 16 { 0 } else { (owned.len() / 32).clamp(16, 128) };
        let above: BTreeSet<Port> =
            free.iter().copied().filter(|port| !owned[..band].contains(port)).collect();
        if above.is_empty() { free } else { above }
    }

    /// The first numbers of all runs of so many free numbers.
    fn runs(&self, class: &str, count: u16) -> BTreeSet<Port> {
        let free = self.free(class);
        let begins = |port: &Port| {
            (0..count).all(|index| {
                port.get().checked_add(index).and_then(Port::new).is_some_and(|member| free.contains(&member))
            })
        };
        free.iter().copied().filter(begins).collect()
    }

    fn holding(&self, class: &str, hold: Hold) -> impl Iterator<Item = Spot> {
        self.holds.iter().filter(move |(_, held)| **held == (class, hold)).map(|(spot, _)| *spot)
    }

    fn counts(&self, class: &str) -> Counts {
        let included = self.included(class);
        let count = |is: &dyn Fn(Port) -> bool| included.iter().filter(|port| is(**port)).count();
        let owned = |port| self.owner(port) == Some(class);
        let skipped = |port| reserved(&self.classes[class], port);
        let scope = self.classes.get(class).map(|spec| spec.scope).unwrap_or_default();
        let strange =
            |port: Port| self.strange.contains(&port) && !self.holds.contains_key(&Spot::whole(port));
        let foreign = |port: Port| match scope {
            Scope::Cluster => self.state(port.into()) == PortState::Foreign,
            Scope::Node { .. } => strange(port),
        };
        let (times, slots) = (times(scope), self.free_slots(class).len());
        let unlimited = scope == (Scope::Node { most: None }) && slots > 0;
        Counts {
            capacity: count(&owned) * times,
            allocated: self.holding(class, Hold::Bound).count(),
            released: self.holding(class, Hold::Released).count(),
            available: self.holding(class, Hold::Available).count(),
            foreign: count(&|port| owned(port) && foreign(port)),
            free: self.free(class).len() + slots,
            unlimited,
            blocked: self.is_blocked(class),
            reserved: count(&skipped),
            conflict: count(&|port| !skipped(port) && self.has_older(class, port)),
        }
    }

    /// An older class owns the number, as far as classes of that scope are concerned.
    fn has_older(&self, class: &str, port: Port) -> bool {
        let Some(spec) = self.classes.get(class) else { return false };
        let older = self.classes.iter().filter(|(name, it)| (it.created, **name) < (spec.created, class));
        let mut owners = older.filter(|(name, it)| !self.is_blocked(name) && included(it, port));
        owners.any(|(_, it)| !reserved(it, port))
    }

    fn may_have(&self, class: &str, spot: Spot) -> Result<(), Refusal> {
        let spec = self.classes.get(class).ok_or(Refusal::NoSuchClass)?;
        let port = spot.port();
        let most = if let Scope::Node { most } = spec.scope { most } else { None };
        match self.owner(port) {
            _ if !included(spec, port) => Err(Refusal::OutsidePools),
            _ if reserved(spec, port) => Err(Refusal::Reserved),
            _ if self.is_blocked(class) => Err(Refusal::Blocked),
            _ if is_node(spec) == spot.is_whole() => Err(Refusal::OtherScope),
            _ if most.zip(spot.slot()).is_some_and(|(most, slot)| slot >= most) => {
                Err(Refusal::BeyondMaxNodes)
            }
            Some(owner) if owner != class => Err(Refusal::OwnedByOlderClass { class: owner.into() }),
            _ => Ok(()),
        }
    }
}

/// The highest slot that is ever named.
const SLOTS: u32 = 3;

fn is_node(spec: &ClassSpec) -> bool {
    spec.scope != Scope::Cluster
}

fn times(scope: Scope) -> usize {
    if let Scope::Node { most: Some(most) } = scope { most as usize } else { 1 }
}

fn included(spec: &ClassSpec, port: Port) -> bool {
    let within = |ranges: &[PortRange]| ranges.iter().any(|range| range.iter().any(|member| member == port));
    within(&spec.pools) && !within(&spec.exclude)
}

fn reserved(spec: &ClassSpec, port: Port) -> bool {
    !spec.allow_reserved && RESERVED.iter().any(|range| range.contains(port))
}

fn apply(ledger: &mut Ledger, step: &Step) {
    match step.clone() {
        Step::SetClass(name, spec) => ledger.set_class(name, spec),
        Step::RemoveClass(name) => ledger.remove_class(name),
        Step::Hold(spot, class, hold) => ledger.hold(spot, class, hold),
        Step::Unhold(spot) => ledger.unhold(spot),
        Step::Foreign(port, foreign) => ledger.set_foreign(port, foreign),
        Step::Strange(port, strange) => ledger.set_strange(port, strange),
        Step::Promised(spot, promised) => ledger.set_promised(spot, promised),
    }
}

/// Few ports, so that histories meet: the two ends, a seam of the bitmap, and around the reserved numbers.
fn ports() -> impl Strategy<Value = Port> {
    (prop::sample::select(vec![1u16, 2372, 4090, 6440, 10246, 65524]), 0u16..12)
        .prop_map(|(base, offset)| Port::new(base + offset).unwrap())
}

/// A number, or a slot of it.
fn spots() -> impl Strategy<Value = Spot> {
    (ports(), prop::option::of(0..=SLOTS))
        .prop_map(|(port, slot)| slot.map_or(Spot::whole(port), |slot| Spot::slot_of(port, slot)))
}

fn scopes() -> impl Strategy<Value = Scope> {
    let most = prop::option::of(1..=SLOTS + 1);
    prop_oneof![2 => Just(Scope::Cluster), 1 => most.prop_map(|most| Scope::Node { most })]
}

fn ranges() -> impl Strategy<Value = PortRange> {
    (ports(), 0u16..16).prop_map(|(start, length)| {
        PortRange::new(start, Port::new(start.get().saturating_add(length)).unwrap()).unwrap()
    })
}

fn specs() -> impl Strategy<Value = ClassSpec> {
    let pools = prop::collection::vec(ranges(), 0..4);
    let exclude = prop::collection::vec(ranges(), 0..2);
    let strategy = prop::sample::select(vec![Picking::Sequential, Picking::Random]);
    (pools, exclude, strategy, scopes(), any::<bool>(), 0i64..3).prop_map(
        |(pools, exclude, strategy, scope, allow_reserved, created)| ClassSpec {
            pools,
            exclude,
            strategy,
            scope,
            allow_reserved,
            created,
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let class = || prop::sample::select(CLASSES.to_vec());
    let created = || prop::sample::select(CLASSES[..3].to_vec());
    let hold = prop::sample::select(vec![Hold::Bound, Hold::Released, Hold::Available]);
    prop_oneof![
        3 => (created(), specs()).prop_map(|(name, spec)| Step::SetClass(name, spec)),
        1 => created().prop_map(Step::RemoveClass),
        6 => (spots(), class(), hold).prop_map(|(spot, class, hold)| Step::Hold(spot, class, hold)),
        3 => spots().prop_map(Step::Unhold),
        2 => (ports(), any::<bool>()).prop_map(|(port, strange)| Step::Strange(port, strange)),
        3 => (ports(), any::<bool>()).prop_map(|(port, foreign)| Step::Foreign(port, foreign)),
        3 => (spots(), any::<bool>()).prop_map(|(spot, promised)| Step::Promised(spot, promised)),
    ]
}

proptest! {
    #[test]
    fn the_ledger_answers_as_if_it_recomputed_everything(
        steps in prop::collection::vec(steps(), 1..60),
        asked in prop::collection::vec(spots(), 12),
    ) {
        let (mut ledger, mut model) = (Ledger::with_seed(1), Model::default());

        for step in &steps {
            apply(&mut ledger, step);
            model.apply(step);

            for class in CLASSES {
                let free = model.free(class);
                let (mut counts, expected) = (ledger.counts(class), model.counts(class));
                if counts.unlimited {
                    counts.free = expected.free; // The model ends a little above what is taken.
                }
                prop_assert_eq!(counts, expected, "{} after {:?}", class, step);
                let slots = model.free_slots(class);
                prop_assert_eq!(ledger.free_count(class) > 0, free.len() + slots.len() > 0);
                let mut available = model.holding(class, Hold::Available).filter(|spot| spot.is_whole());
                prop_assert_eq!(ledger.available(class), available.next().map(Spot::port));
                let preferred = model.preferred(class);
                let strategy = model.classes.get(class).map(|spec| spec.strategy);
                match (ledger.pick(class), strategy) {
                    (Some(port), Some(Picking::Random)) => prop_assert!(preferred.contains(&port)),
                    (picked, _) => prop_assert_eq!(picked, preferred.first().copied()),
                }
                let lowest = slots.first().map(|(slot, port)| Spot::slot_of(*port, *slot));
                match (ledger.pick_slot(class), strategy) {
                    (Some(spot), Some(Picking::Random)) => {
                        let slot = spot.slot().unwrap();
                        prop_assert!(slots.contains(&(slot, spot.port())));
                        prop_assert_eq!(Some(slot), lowest.and_then(Spot::slot));
                    }
                    (picked, _) => prop_assert_eq!(picked, lowest),
                }
                for count in [2, 5, 17] {
                    let runs = model.runs(class, count);
                    match (ledger.pick_run(class, count.into()), strategy) {
                        (Some(first), Some(Picking::Random)) => prop_assert!(runs.contains(&first)),
                        (first, _) => {
                            let above = runs.iter().find(|first| preferred.first() <= Some(*first));
                            prop_assert_eq!(first, above.or(runs.first()).copied());
                        }
                    }
                }
            }
            for &spot in &asked {
                prop_assert_eq!(ledger.state(spot), model.state(spot));
                prop_assert_eq!(ledger.owner(spot.port()), model.owner(spot.port()));
                prop_assert_eq!(ledger.holder(spot), model.holds.get(&spot).copied());
                for class in CLASSES {
                    prop_assert_eq!(ledger.may_have(class, spot), model.may_have(class, spot));
                    let expected = model.free_slot_of(class, spot.port());
                    prop_assert_eq!(ledger.pick_slot_of(class, spot.port()), expected);
                }
            }
        }
    }

    #[test]
    fn the_order_in_which_things_become_known_does_not_matter(
        steps in prop::collection::vec(steps(), 1..60),
        keys in prop::collection::vec(any::<u32>(), 60),
    ) {
        let mut model = Model::default();
        let mut lived = Ledger::new();
        for step in &steps {
            model.apply(step);
            apply(&mut lived, step);
        }

        // I8: a restart learns what exists now, in any order.
        let mut known: Vec<Step> = Vec::new();
        known.extend(model.classes.iter().map(|(name, spec)| Step::SetClass(name, spec.clone())));
        known.extend(model.holds.iter().map(|(spot, (class, hold))| Step::Hold(*spot, class, *hold)));
        known.extend(model.foreign.iter().map(|port| Step::Foreign(*port, true)));
        known.extend(model.strange.iter().map(|port| Step::Strange(*port, true)));
        known.extend(model.promised.iter().map(|spot| Step::Promised(*spot, true)));
        let mut shuffled: Vec<_> = known.iter().zip(keys.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let mut restarted = Ledger::new();
        shuffled.iter().for_each(|(step, _)| apply(&mut restarted, step));

        for class in CLASSES {
            prop_assert_eq!(restarted.counts(class), lived.counts(class));
            prop_assert_eq!(restarted.available(class), lived.available(class));
            prop_assert_eq!(restarted.pools(class), lived.pools(class));
        }
    }
}
