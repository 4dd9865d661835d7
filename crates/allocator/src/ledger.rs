//! The ledger: one account of every number, with a view for each class, that says which number to grant next.
//! It is told what exists and what is in flight. Never here: a grant, which is a HostPort created in etcd; a
//! clock.

mod class;
mod pages;
mod random;
mod table;
#[cfg(test)]
mod tests;

pub use class::{ClassSpec, Counts, Refusal, Strategy};

use crate::port::{Port, RESERVED};
use crate::set::PortSet;
use pages::Pages;
use random::Random;
use table::{ClassId, ClassTable, Pool};

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
    /// By number: its HostPort.
    holds: Pages<(ClassId, Hold)>,
    held: PortSet,
    foreign: PortSet,
    promised: PortSet,
    /// Foreign and not held: what the classes count as foreign.
    squatted: PortSet,
    random: Random,
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
            held: PortSet::new(),
            foreign: PortSet::new(),
            promised: PortSet::new(),
            squatted: PortSet::new(),
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

    /// A HostPort of that number stands (or is about to), of that class, which need not exist. The last call
    /// for a number wins.
    pub fn hold(&mut self, port: Port, class: &str, hold: Hold) {
        let id = self.classes.id_or_new(class);
        let before = self.holds.insert(port, (id, hold));
        if before == Some((id, hold)) {
            return;
        }
        if let Some((old, hold)) = before {
            self.classes[old].subtract(port, hold);
        }
        self.classes[id].add(port, hold);
        match before {
            Some((old, _)) => self.classes.retire_if_idle(old),
            None => {
                self.held.insert(port);
                self.settle(port);
            }
        }
    }

    /// The HostPort of that number is gone.
    pub fn unhold(&mut self, port: Port) {
        let Some((id, hold)) = self.holds.remove(port) else { return };
        self.classes[id].subtract(port, hold);
        self.classes.retire_if_idle(id);
        self.held.remove(port);
        self.settle(port);
    }

    /// The class, and the state, of the HostPort of that number.
    #[must_use]
    pub fn holder(&self, port: Port) -> Option<(&str, Hold)> {
        self.holds.get(port).map(|(id, hold)| (&*self.classes[id].name, hold))
    }

    /// Whether a pod without a claim, or a Service's node port, uses the number.
    pub fn set_foreign(&mut self, port: Port, foreign: bool) {
        if put(&mut self.foreign, port, foreign) {
            self.settle(port);
        }
    }

    /// Whether the number stands in the Bound status of a living claim. C7: then no waiter gets it, whether
    /// or not its HostPort stands.
    pub fn set_promised(&mut self, port: Port, promised: bool) {
        if put(&mut self.promised, port, promised) {
            self.settle(port);
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

    /// The first of the lowest `count` consecutive free numbers of the class that begin at `from` or above it.
    #[must_use]
    pub fn run_from(&self, class: &str, from: Port, count: usize) -> Option<Port> {
        self.classes.pool(class)?.free.first_run(from, count)
    }

    /// The lowest numbers that the class owns, as far as automatic picks leave them to claims that want a certain
    /// number: first and last, if there is such a band.
    #[must_use]
    pub fn static_band(&self, class: &str) -> Option<(Port, Port)> {
        self.classes.pool(class)?.band
    }

    /// The lowest HostPort of the class that is available, wherever its pools are now. Use it before a free
    /// number.
    #[must_use]
    pub fn available(&self, class: &str) -> Option<Port> {
        self.classes.find(class)?.available.first()
    }

    /// How many numbers the class can grant now; 0 for a class that is not known.
    #[must_use]
    pub fn free_count(&self, class: &str) -> usize {
        self.classes.pool(class).map_or(0, |pool| pool.free.len())
    }

    /// Whether the class may have this number at all, whoever holds it.
    pub fn may_have(&self, class: &str, port: Port) -> Result<(), Refusal> {
        let (Some(id), Some(pool)) = (self.classes.id(class), self.classes.pool(class)) else {
            return Err(Refusal::NoSuchClass);
        };
        if !pool.spec.includes(port) {
            return Err(Refusal::OutsidePools);
        }
        if pool.spec.reserves(port) {
            return Err(Refusal::Reserved);
        }
        match self.owners.get(port) {
            Some(owner) if owner != id => {
                Err(Refusal::OwnedByOlderClass { class: self.classes[owner].name.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// The class that owns the number: the one whose waiters gain when it becomes free.
    #[must_use]
    pub fn owner(&self, port: Port) -> Option<&str> {
        self.owners.get(port).map(|id| &*self.classes[id].name)
    }

    /// What is known about the number, for a claim that wants this one.
    #[must_use]
    pub fn state(&self, port: Port) -> PortState {
        if self.held.contains(port) {
            PortState::Held
        } else if self.foreign.contains(port) {
            PortState::Foreign
        } else if self.promised.contains(port) {
            PortState::Promised
        } else {
            PortState::Free
        }
    }

    /// How many numbers of the class are in which state. For a class that is not known: its HostPorts.
    #[must_use]
    pub fn counts(&self, class: &str) -> Counts {
        self.classes.find(class).map(table::Class::counts).unwrap_or_default()
    }

    /// The pools of the class as given, for messages: `5060-5065,20000-20599`.
    #[must_use]
    pub fn pools(&self, class: &str) -> Option<&str> {
        self.classes.pool(class).map(|pool| pool.text.as_str())
    }

    /// Brings the owner's view of one number up to date.
    fn settle(&mut self, port: Port) {
        let state = self.state(port);
        let squatted_changed = put(&mut self.squatted, port, state == PortState::Foreign);

        let Some(id) = self.owners.get(port) else { return };
        let pool = self.classes[id].pool.as_mut().expect("only a class that exists owns numbers");
        put(&mut pool.free, port, state == PortState::Free);
        if squatted_changed {
            if state == PortState::Foreign { pool.foreign += 1 } else { pool.foreign -= 1 }
        }
    }

    /// Gives every number to the oldest class that includes it, and every class its view of what it owns.
    fn share_out(&mut self) {
        let mut taken = self.held.clone();
        taken.insert_all(&self.foreign);
        taken.insert_all(&self.promised);

        self.owners.clear();
        let mut given = PortSet::new();
        for id in self.classes.oldest_first() {
            let pool = self.classes[id].pool.as_mut().expect("only classes that exist are listed");
            let mut owned = pool.spec.included();
            let included = owned.len();
            if !pool.spec.allow_reserved {
                RESERVED.iter().for_each(|&range| owned.remove_range(range));
            }
            pool.reserved = included - owned.len();
            pool.conflict = owned.count_common(&given);
            owned.remove_all(&given);
            pool.capacity = owned.len();
            let band = class::static_band(pool.capacity);
            pool.dynamic = owned.nth(band).unwrap_or(Port::MIN);
            pool.band = band.checked_sub(1).and_then(|last| Some((owned.first()?, owned.nth(last)?)));
            pool.foreign = owned.count_common(&self.squatted);

            for range in owned.ranges() {
                self.owners.fill(range, id);
            }
            given.insert_all(&owned);
            owned.remove_all(&taken);
            pool.free = owned;
        }
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
