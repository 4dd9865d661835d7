//! Numbers that belong together.

use std::fmt;

use allocator::{Port, Spot};

/// What a claim holds: consecutive numbers, or a slot of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Port,
    /// How many.
    pub count: u16,
    /// Which slot of the only number, if it is one.
    pub slot: Option<u32>,
}

impl Run {
    /// `None` if it would end above 65535, or is empty.
    pub fn new(first: Port, count: u16) -> Option<Self> {
        first.get().checked_add(count.checked_sub(1)?).map(|_| Self { first, count, slot: None })
    }

    /// So many numbers from this one on; a slot is alone.
    pub fn at(spot: Spot, count: u16) -> Option<Self> {
        let (first, slot) = (spot.port(), spot.slot());
        if slot.is_none() {
            Self::new(first, count)
        } else {
            (count == 1).then_some(Self { first, count, slot })
        }
    }

    /// The numbers, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Spot> {
        (0..self.count).filter_map(move |index| self.member(index))
    }

    /// The number at this place.
    pub fn member(self, index: u16) -> Option<Spot> {
        match self.slot {
            _ if index >= self.count => None,
            Some(slot) => Some(Spot::slot_of(self.first, slot)),
            None => Port::new(self.first.get() + index).map(Spot::whole),
        }
    }

    /// Whether the number is one of them.
    pub fn contains(self, spot: Spot) -> bool {
        let index = spot.port().get().checked_sub(self.first.get());
        spot.slot() == self.slot && index.is_some_and(|index| index < self.count)
    }

    /// What a HostPort of it says as `spec.block.first`: nothing if it is alone.
    pub fn block(self) -> Option<Port> {
        (self.count > 1).then_some(self.first)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.first.fmt(f),
            count => write!(f, "{}-{}", self.first, self.first.get() + (count - 1)),
        }
    }
}
