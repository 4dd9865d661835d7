//! The ledger: one account of every number, with a view for each class, that says which number to grant next.
//! It is told what exists and what is in flight. Never here: a grant, which is a HostPort created in etcd; a
//! clock.

mod class;
mod pages;
mod random;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod views;

pub use class::{ClassSpec, Counts, Refusal, Scope, Strategy};

use std::collections::BTreeSet;

use foldhash::HashMap;

use crate::port::{Port, RESERVED};
use crate::set::PortSet;
use crate::spot::Spot;
use pages::Pages;
use random::Random;
use slots::Slots;
use table::{ClassId, ClassTable, Open, Pool};

/// Why a HostPort stands on a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// A claim has it, or its create is assumed in flight.
    Bound,
    /// Its claim is gone; it waits for `reuseDelay`, or for an admin.
    Released,
    /// It stands without a claim and is used before any free number.
    Available,
}

/// What is known about a number. Of several that apply it is the first that is not `Free`, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortState {
    /// A HostPort of this number stands.
    Held,
    /// A pod without a claim, or a Service, uses it.
    Foreign,
    /// The Bound status of a living claim names it (C7).
    Promised,
    /// None of these.
    Free,
}

/// All HostPorts, classes and foreign users of numbers in one account (I1: across classes).
///
/// A number is *owned* by the oldest class that includes it, and *free* while it is owned and nobody holds,
/// uses or was promised it. Every change at one number and every pick takes a few steps, whatever the size of
/// the pools; a change of a class recomputes who owns what.
#[derive(Clone)]
pub struct Ledger {
    classes: ClassTable,
    /// By number: the class that owns it.
    owners: Pages<ClassId>,
    /// By number: its HostPort for all nodes.
    holds: Pages<(ClassId, Hold)>,
    /// Numbers of which slots are held or promised.
    numbers: HashMap<Port, Number>,
    held: PortSet,
    /// Numbers of which a slot is held.
    slotted: PortSet,
    foreign: PortSet,
    promised: PortSet,
    /// Numbers on which there is someone for whom no HostPort stands: no slot of them is granted.
    strange: PortSet,
    /// Foreign and not held: what the classes count as foreign.
    squatted: PortSet,
    /// Strange, and not held on all nodes: the same for classes that grant slots.
    estranged: PortSet,
    random: Random,
}

/// What is known of the slots of a number.
#[derive(Clone, Default)]
struct Number {
    holds: HashMap<u32, (ClassId, Hold)>,
    promised: BTreeSet<u32>,
    /// Those of the two.
    taken: Slots,
}

impl Number {
    fn settle(&mut self, slot: u32) {
        if self.holds.contains_key(&slot) || self.promised.contains(&slot) {
            self.taken.insert(slot);
        } else {
            self.taken.remove(slot);
        }
    }
}

impl Ledger {
    /// An empty ledger. Its random picks are the same each time; see [`Ledger::with_seed`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty ledger whose random picks follow from the seed: give each process its own.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            classes: ClassTable::new(),
            owners: Pages::new(),
            holds: Pages::new(),
            numbers: HashMap::default(),
            held: PortSet::new(),
            slotted: PortSet::new(),
            foreign: PortSet::new(),
            promised: PortSet::new(),
            strange: PortSet::new(),
            squatted: PortSet::new(),
            estranged: PortSet::new(),
            random: Random::with_seed(seed),
        }
    }

    /// A class exists, or has changed. Nothing is taken away from anybody: a HostPort outside the new pools
    /// still stands and counts. Nothing happens if the spec is the one that is known.
    pub fn set_class(&mut self, name: &str, spec: ClassSpec) {
        let id = self.classes.id_or_new(name);
        let class = &mut self.classes[id];
        if class.pool.as_ref().is_some_and(|pool| pool.spec == spec) {
            return;
        }
        class.pool = Some(Pool::new(spec));
        self.share_out();
    }

    /// A class is gone. Its HostPorts still stand; what it owned goes to the next class that includes it.
    pub fn remove_class(&mut self, name: &str) {
        let Some(id) = self.classes.id(name) else { return };
        if self.classes[id].pool.take().is_some() {
            self.share_out();
            self.classes.retire_if_idle(id);
        }
    }

    /// A HostPort of that name stands (or is about to), of that class, which need not exist. The last call for a
    /// name wins.
    pub fn hold(&mut self, spot: impl Into<Spot>, class: &str, hold: Hold) {
        let spot = spot.into();
        let id = self.classes.id_or_new(class);
        let before = match spot.slot() {
            None => self.holds.insert(spot.port(), (id, hold)),
            Some(slot) => self.numbers.entry(spot.port()).or_default().holds.insert(slot, (id, hold)),
        };
        if before == Some((id, hold)) {
            return;
        }
        if let Some((old, hold)) = before {
            self.classes[old].subtract(spot, hold);
        }
        self.classes[id].add(spot, hold);
        match before {
            Some((old, _)) => self.classes.retire_if_idle(old),
            None => self.settle_spot(spot),
        }
    }

    /// The HostPort of that name is gone.
    pub fn unhold(&mut self, spot: impl Into<Spot>) {
        let spot = spot.into();
        let before = match spot.slot() {
            None => self.holds.remove(spot.port()),
            Some(slot) => self.numbers.get_mut(&spot.port()).and_then(|number| number.holds.remove(&slot)),
        };
        let Some((id, hold)) = before else { return };
        self.classes[id].subtract(spot, hold);
        self.classes.retire_if_idle(id);
        self.settle_spot(spot);
    }

    /// Whether a pod without a claim, or a Service's node port, uses the number.
    pub fn set_foreign(&mut self, port: Port, foreign: bool) {
        if put(&mut self.foreign, port, foreign) {
            self.settle(port);
        }
    }

    /// Whether there is someone on the number for whom no HostPort stands: a pod, or a Service's node port. Then no
    /// slot of it is granted.
    pub fn set_strange(&mut self, port: Port, strange: bool) {
        if put(&mut self.strange, port, strange) {
            self.settle(port);
        }
    }

    /// Whether this stands in the Bound status of a living claim. C7: then no waiter gets it, whether or not its
    /// HostPort stands.
    pub fn set_promised(&mut self, spot: impl Into<Spot>, promised: bool) {
        let spot = spot.into();
        match spot.slot() {
            None if put(&mut self.promised, spot.port(), promised) => self.settle(spot.port()),
            None => {}
            Some(slot) if promised => {
                self.numbers.entry(spot.port()).or_default().promised.insert(slot);
                self.settle_spot(spot);
            }
            Some(slot) => {
                if let Some(number) = self.numbers.get_mut(&spot.port()) {
                    number.promised.remove(&slot);
                }
                self.settle_spot(spot);
            }
        }
    }

    /// A free number of the class, by its strategy; one of its static band only if there is no other. It stays
    /// free until [`Ledger::hold`] is called for it.
    pub fn pick(&mut self, class: &str) -> Option<Port> {
        let pool = self.classes.pool(class)?;
        match pool.spec.strategy {
            Strategy::Sequential => pool.free.next_at_or_after(pool.dynamic).or_else(|| pool.free.first()),
            Strategy::Random => {
                let low = pool.free.rank(pool.dynamic);
                let (below, candidates) = match pool.free.len() - low {
                    0 => (0, low),
                    high => (low, high),
                };
                pool.free.nth(below + self.random.below(candidates))
            }
        }
    }

    /// The first of `count` consecutive free numbers of the class: the lowest such run above its static band,
    /// else the lowest of all; with [`Strategy::Random`] the next above a number drawn by lot.
    pub fn pick_run(&mut self, class: &str, count: usize) -> Option<Port> {
        if count == 1 {
            return self.pick(class);
        }
        let lot = match self.classes.pool(class)?.spec.strategy {
            Strategy::Sequential => None,
            Strategy::Random => self.pick(class),
        };
        let pool = self.classes.pool(class)?;
        if pool.free.len() < count {
            return None;
        }
        let above = |from: Port| pool.free.first_run(from, count);
        lot.and_then(above).or_else(|| above(pool.dynamic)).or_else(|| above(Port::MIN))
    }

    /// The lowest free slot of all numbers of the class, so that small fleets need few nodes; of several numbers the
    /// lowest, or one drawn by lot. It stays free until [`Ledger::hold`] is called for it.
    pub fn pick_slot(&mut self, class: &str) -> Option<Spot> {
        let pool = self.classes.pool(class)?;
        let levels = &pool.open.levels;
        let (slot, lowest) = *levels.first()?;
        let port = match pool.spec.strategy {
            Strategy::Sequential => lowest,
            Strategy::Random => {
                let lot = Port::from_index(1 + self.random.below(Port::MAX.index()));
                levels.range((slot, lot)..=(slot, Port::MAX)).next().map_or(lowest, |(_, port)| *port)
            }
        };
        Some(Spot::slot_of(port, slot))
    }

    /// The lowest free slot of this number, if it is the class's. Who wants a certain number has to look itself whether
    /// the strangers on it are its own.
    #[must_use]
    pub fn pick_slot_of(&self, class: &str, port: Port) -> Option<Spot> {
        let id = self.classes.id(class).filter(|id| self.owners.get(port) == Some(*id))?;
        let closed = self.held.contains(port) || self.promised.contains(port);
        let (slot, free) = open_slots((!closed).then(|| self.taken_of(port)), self.scope_of(id));
        (free > 0).then_some(Spot::slot_of(port, slot))
    }

    /// A HostPort of this name has come or gone, or a promise of it.
    fn settle_spot(&mut self, spot: Spot) {
        let port = spot.port();
        match spot.slot() {
            None => _ = put(&mut self.held, port, self.holds.get(port).is_some()),
            Some(slot) => {
                let Some(number) = self.numbers.get_mut(&port) else { return };
                number.settle(slot);
                put(&mut self.slotted, port, !number.holds.is_empty());
                if number.taken.is_empty() {
                    self.numbers.remove(&port);
                }
            }
        }
        self.settle(port);
    }

    /// Brings the owner's view of one number up to date.
    fn settle(&mut self, port: Port) {
        let state = self.state(port);
        let squatted_changed = put(&mut self.squatted, port, state == PortState::Foreign);
        let estranged = self.strange.contains(port) && !self.held.contains(port);
        let estranged_changed = put(&mut self.estranged, port, estranged);

        let Some(id) = self.owners.get(port) else { return };
        let scope = self.scope_of(id);
        let open = scope.is_node().then(|| open_slots(self.slots_of(port), scope));
        let pool = self.classes[id].pool.as_mut().expect("only a class that exists owns numbers");
        let (changed, foreign) = if let Some((lowest, free)) = open {
            pool.open.set(port, lowest, free);
            (estranged_changed, estranged)
        } else {
            put(&mut pool.free, port, state == PortState::Free);
            (squatted_changed, state == PortState::Foreign)
        };
        if changed {
            if foreign { pool.foreign += 1 } else { pool.foreign -= 1 }
        }
    }

    fn scope_of(&self, id: ClassId) -> Scope {
        self.classes[id].pool.as_ref().map_or(Scope::Cluster, |pool| pool.spec.scope)
    }

    /// The slots that are taken of a number; `None` if it grants none at all now.
    fn slots_of(&self, port: Port) -> Option<Option<&Slots>> {
        let closed = self.held.contains(port) || self.strange.contains(port) || self.promised.contains(port);
        (!closed).then(|| self.taken_of(port))
    }

    fn taken_of(&self, port: Port) -> Option<&Slots> {
        self.numbers.get(&port).map(|number| &number.taken)
    }

    /// Gives every number to the oldest class that includes it, and every class its view of what it owns. A class
    /// that has numbers in common with an older one of the other scope owns nothing.
    fn share_out(&mut self) {
        let mut taken = self.held.clone();
        taken.insert_all(&self.slotted);
        taken.insert_all(&self.foreign);
        taken.insert_all(&self.promised);
        let promised = self.numbers.iter().filter(|(_, number)| !number.promised.is_empty());
        promised.for_each(|(port, _)| _ = taken.insert(*port));

        self.owners.clear();
        let mut given = [PortSet::new(), PortSet::new()];
        for id in self.classes.oldest_first() {
            let pool = self.classes[id].pool.as_mut().expect("only classes that exist are listed");
            let scope = pool.spec.scope;
            let mut owned = pool.spec.included();
            let included = owned.len();
            if !pool.spec.allow_reserved {
                RESERVED.iter().for_each(|&range| owned.remove_range(range));
            }
            pool.reserved = included - owned.len();
            let (same, other) = (usize::from(scope.is_node()), usize::from(!scope.is_node()));
            let overlap = owned.count_common(&given[other]);
            pool.conflict = owned.count_common(&given[same]) + overlap;
            pool.blocked = overlap > 0;
            if pool.blocked {
                owned = PortSet::new();
            }
            owned.remove_all(&given[same]);
            pool.capacity = owned.len();
            let band = if scope.is_node() { 0 } else { class::static_band(pool.capacity) };
            pool.dynamic = owned.nth(band).unwrap_or(Port::MIN);
            pool.band = band.checked_sub(1).and_then(|last| Some((owned.first()?, owned.nth(last)?)));
            let foreign = if scope.is_node() { &self.estranged } else { &self.squatted };
            pool.foreign = owned.count_common(foreign);

            for range in owned.ranges() {
                self.owners.fill(range, id);
            }
            given[same].insert_all(&owned);
            if scope.is_node() {
                self.open(id, &owned);
            } else {
                owned.remove_all(&taken);
                let pool = self.classes[id].pool.as_mut().expect("it was there a moment ago");
                (pool.free, pool.open) = (owned, Open::new());
            }
        }
    }

    /// Every slot of these numbers that is not taken can be granted by the class.
    fn open(&mut self, id: ClassId, owned: &PortSet) {
        let scope = self.scope_of(id);
        let mut open = Open::new();
        for port in owned {
            let (lowest, free) = open_slots(self.slots_of(port), scope);
            open.set(port, lowest, free);
        }
        let pool = self.classes[id].pool.as_mut().expect("only classes that exist own numbers");
        (pool.free, pool.open) = (PortSet::new(), open);
    }
}

/// The lowest free slot of a number, and how many are free.
fn open_slots(taken: Option<Option<&Slots>>, scope: Scope) -> (u32, usize) {
    let limit = scope.slots();
    match taken {
        None => (0, 0),
        Some(None) => (0, limit as usize),
        Some(Some(slots)) => (slots.lowest_free(), slots.free_below(limit)),
    }
}

/// Puts a port into a set or takes it out; whether that changed anything.
fn put(set: &mut PortSet, port: Port, present: bool) -> bool {
    if present { set.insert(port) } else { set.remove(port) }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}
