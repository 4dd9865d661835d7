//! What the ledger says of a class, and of a number, without a pick.

use super::{Counts, Hold, Ledger, PortState, Refusal, Scope, table};
use crate::port::Port;
use crate::spot::Spot;

impl Ledger {
    /// The class, and the state, of the HostPort of that name.
    #[must_use]
    pub fn holder(&self, spot: impl Into<Spot>) -> Option<(&str, Hold)> {
        let spot = spot.into();
        let held = match spot.slot() {
            None => self.holds.get(spot.port()),
            Some(slot) => self.numbers.get(&spot.port())?.holds.get(&slot).copied(),
        };
        held.map(|(id, hold)| (&*self.classes[id].name, hold))
    }

    /// What the class grants of a number.
    #[must_use]
    pub fn scope(&self, class: &str) -> Option<Scope> {
        self.classes.pool(class).map(|pool| pool.spec.scope)
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

    /// How many numbers, or slots, the class can grant now; 0 for a class that is not known.
    #[must_use]
    pub fn free_count(&self, class: &str) -> usize {
        self.classes.pool(class).map_or(0, |pool| pool.free.len() + pool.open.free)
    }

    /// Whether the class may have this at all, whoever holds it.
    pub fn may_have(&self, class: &str, spot: impl Into<Spot>) -> Result<(), Refusal> {
        let spot = spot.into();
        let port = spot.port();
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
            _ if pool.blocked => Err(Refusal::Blocked),
            _ if pool.spec.scope.is_node() == spot.is_whole() => Err(Refusal::OtherScope),
            _ if spot.slot().is_some_and(|slot| slot >= pool.spec.scope.slots()) => {
                Err(Refusal::BeyondMaxNodes)
            }
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

    /// What is known about this, for a claim that wants it. A number is held if one of its slots is, and a slot if
    /// the number is.
    #[must_use]
    pub fn state(&self, spot: impl Into<Spot>) -> PortState {
        let spot = spot.into();
        let port = spot.port();
        let number = self.numbers.get(&port);
        let (held, foreign, promised) = match spot.slot() {
            None => (
                self.slotted.contains(port),
                self.foreign.contains(port),
                number.is_some_and(|number| !number.promised.is_empty()),
            ),
            Some(slot) => (
                number.is_some_and(|number| number.holds.contains_key(&slot)),
                self.strange.contains(port),
                number.is_some_and(|number| number.promised.contains(&slot)),
            ),
        };
        if held || self.held.contains(port) {
            PortState::Held
        } else if foreign {
            PortState::Foreign
        } else if promised || self.promised.contains(port) {
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
}
