//! The ledger against a model that recomputes every answer from plain maps, after every step of a random
//! history. Never here: speed; the model looks at each number of each pool anew.

use std::collections::{BTreeMap, BTreeSet};

use allocator::{
    ClassSpec, Counts, Hold, Ledger, Port, PortRange, PortState, RESERVED, Refusal, Strategy as Picking,
};
use proptest::prelude::*;

/// The last is never created: HostPorts may name a class that nobody has seen.
const CLASSES: [&str; 4] = ["games", "media", "sip", "never-created"];

#[derive(Clone, Debug)]
enum Step {
    SetClass(&'static str, ClassSpec),
    RemoveClass(&'static str),
    Hold(Port, &'static str, Hold),
    Unhold(Port),
    Foreign(Port, bool),
    Promised(Port, bool),
}

#[derive(Default)]
struct Model {
    classes: BTreeMap<&'static str, ClassSpec>,
    holds: BTreeMap<Port, (&'static str, Hold)>,
    foreign: BTreeSet<Port>,
    promised: BTreeSet<Port>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match step.clone() {
            Step::SetClass(name, spec) => _ = self.classes.insert(name, spec),
            Step::RemoveClass(name) => _ = self.classes.remove(name),
            Step::Hold(port, class, hold) => _ = self.holds.insert(port, (class, hold)),
            Step::Unhold(port) => _ = self.holds.remove(&port),
            Step::Foreign(port, true) => _ = self.foreign.insert(port),
            Step::Foreign(port, false) => _ = self.foreign.remove(&port),
            Step::Promised(port, true) => _ = self.promised.insert(port),
            Step::Promised(port, false) => _ = self.promised.remove(&port),
        }
    }

    fn owner(&self, port: Port) -> Option<&'static str> {
        let owners = self.classes.iter().filter(|(_, spec)| included(spec, port) && !reserved(spec, port));
        owners.min_by_key(|(name, spec)| (spec.created, **name)).map(|(name, _)| *name)
    }

    fn state(&self, port: Port) -> PortState {
        if self.holds.contains_key(&port) {
            PortState::Held
        } else if self.foreign.contains(&port) {
            PortState::Foreign
        } else if self.promised.contains(&port) {
            PortState::Promised
        } else {
            PortState::Free
        }
    }

    /// The numbers in the pools of a class that are not excluded.
    fn included(&self, class: &str) -> BTreeSet<Port> {
        let Some(spec) = self.classes.get(class) else { return BTreeSet::new() };
        spec.pools.iter().flat_map(|pool| pool.iter()).filter(|port| included(spec, *port)).collect()
    }

    fn free(&self, class: &str) -> BTreeSet<Port> {
        let free = |port: &Port| self.owner(*port) == Some(class) && self.state(*port) == PortState::Free;
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

    fn holding(&self, class: &str, hold: Hold) -> impl Iterator<Item = Port> {
        self.holds.iter().filter(move |(_, held)| **held == (class, hold)).map(|(port, _)| *port)
    }

    fn counts(&self, class: &str) -> Counts {
        let included = self.included(class);
        let count = |is: &dyn Fn(Port) -> bool| included.iter().filter(|port| is(**port)).count();
        let owned = |port| self.owner(port) == Some(class);
        let skipped = |port| reserved(&self.classes[class], port);
        Counts {
            capacity: count(&owned),
            allocated: self.holding(class, Hold::Bound).count(),
            released: self.holding(class, Hold::Released).count(),
            available: self.holding(class, Hold::Available).count(),
            foreign: count(&|port| owned(port) && self.state(port) == PortState::Foreign),
            free: count(&|port| owned(port) && self.state(port) == PortState::Free),
            reserved: count(&skipped),
            conflict: count(&|port| !skipped(port) && !owned(port)),
        }
    }

    fn may_have(&self, class: &str, port: Port) -> Result<(), Refusal> {
        let spec = self.classes.get(class).ok_or(Refusal::NoSuchClass)?;
        match self.owner(port) {
            _ if !included(spec, port) => Err(Refusal::OutsidePools),
            _ if reserved(spec, port) => Err(Refusal::Reserved),
            Some(owner) if owner != class => Err(Refusal::OwnedByOlderClass { class: owner.into() }),
            _ => Ok(()),
        }
    }
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
        Step::Hold(port, class, hold) => ledger.hold(port, class, hold),
        Step::Unhold(port) => ledger.unhold(port),
        Step::Foreign(port, foreign) => ledger.set_foreign(port, foreign),
        Step::Promised(port, promised) => ledger.set_promised(port, promised),
    }
}

/// Few ports, so that histories meet: the two ends, a seam of the bitmap, and around the reserved numbers.
fn ports() -> impl Strategy<Value = Port> {
    (prop::sample::select(vec![1u16, 2372, 4090, 6440, 10246, 65524]), 0u16..12)
        .prop_map(|(base, offset)| Port::new(base + offset).unwrap())
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
    (pools, exclude, strategy, any::<bool>(), 0i64..3).prop_map(
        |(pools, exclude, strategy, allow_reserved, created)| ClassSpec {
            pools,
            exclude,
            strategy,
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
        6 => (ports(), class(), hold).prop_map(|(port, class, hold)| Step::Hold(port, class, hold)),
        3 => ports().prop_map(Step::Unhold),
        3 => (ports(), any::<bool>()).prop_map(|(port, foreign)| Step::Foreign(port, foreign)),
        3 => (ports(), any::<bool>()).prop_map(|(port, promised)| Step::Promised(port, promised)),
    ]
}

proptest! {
    #[test]
    fn the_ledger_answers_as_if_it_recomputed_everything(
        steps in prop::collection::vec(steps(), 1..60),
        asked in prop::collection::vec(ports(), 12),
    ) {
        let (mut ledger, mut model) = (Ledger::with_seed(1), Model::default());

        for step in &steps {
            apply(&mut ledger, step);
            model.apply(step);

            for class in CLASSES {
                let free = model.free(class);
                prop_assert_eq!(ledger.counts(class), model.counts(class), "{} after {:?}", class, step);
                prop_assert_eq!(ledger.free_count(class), free.len());
                prop_assert_eq!(ledger.available(class), model.holding(class, Hold::Available).next());
                let preferred = model.preferred(class);
                let strategy = model.classes.get(class).map(|spec| spec.strategy);
                match (ledger.pick(class), strategy) {
                    (Some(port), Some(Picking::Random)) => prop_assert!(preferred.contains(&port)),
                    (picked, _) => prop_assert_eq!(picked, preferred.first().copied()),
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
            for &port in &asked {
                prop_assert_eq!(ledger.state(port), model.state(port));
                prop_assert_eq!(ledger.owner(port), model.owner(port));
                prop_assert_eq!(ledger.holder(port), model.holds.get(&port).copied());
                for class in CLASSES {
                    prop_assert_eq!(ledger.may_have(class, port), model.may_have(class, port));
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
        known.extend(model.holds.iter().map(|(port, (class, hold))| Step::Hold(*port, class, *hold)));
        known.extend(model.foreign.iter().map(|port| Step::Foreign(*port, true)));
        known.extend(model.promised.iter().map(|port| Step::Promised(*port, true)));
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
