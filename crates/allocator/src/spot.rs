//! What a HostPort stands for, and what it is named after: a number of the whole cluster, or one of a number's
//! slots, of which each is good for one node. Never here: who holds it.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::port::Port;

/// `9000`, the number on all nodes; or `9000-3`, one of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    port: Port,
    slot: Option<u32>,
}

impl Spot {
    /// So many slots a number has at most, whatever a class says.
    pub const SLOTS: u32 = 1_000_000;

    /// The number on all nodes.
    #[must_use]
    pub const fn whole(port: Port) -> Self {
        Self { port, slot: None }
    }

    /// One slot of the number.
    #[must_use]
    pub const fn slot_of(port: Port, slot: u32) -> Self {
        Self { port, slot: Some(slot) }
    }

    /// The number.
    #[must_use]
    pub const fn port(self) -> Port {
        self.port
    }

    /// Which slot of the number, if it is one.
    #[must_use]
    pub const fn slot(self) -> Option<u32> {
        self.slot
    }

    /// Whether it is the number on all nodes.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.slot.is_none()
    }
}

impl From<Port> for Spot {
    fn from(port: Port) -> Self {
        Self::whole(port)
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            None => self.port.fmt(f),
            Some(slot) => write!(f, "{}-{slot}", self.port),
        }
    }
}

/// The text is no name of a HostPort.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a HostPort's name: write the port number, or number-slot, without leading zeros")]
pub struct SpotError(pub String);

impl FromStr for Spot {
    type Err = SpotError;

    fn from_str(name: &str) -> Result<Self, SpotError> {
        let (number, slot) = match name.split_once('-') {
            None => (name, None),
            Some((number, slot)) => (number, Some(slot)),
        };
        let spot = || {
            let port = number.parse().ok().and_then(Port::new)?;
            let slot = match slot {
                None => None,
                Some(slot) => Some(slot.parse().ok().filter(|slot| *slot < Self::SLOTS)?),
            };
            Some(Self { port, slot })
        };
        // Signs and leading zeros are not in the name that it prints as.
        spot().filter(|spot| spot.to_string() == name).ok_or_else(|| SpotError(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_it_prints() {
        for name in ["1", "9000", "65535", "9000-0", "9000-17", "9000-999999"] {
            assert_eq!(name.parse::<Spot>().map(|spot| spot.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn another_way_to_write_a_name_is_none() {
        for name in
            ["", "0", "09000", "+9000", "65536", "9000-", "9000-00", "9000-+1", "9000-1000000", "9000-1-1"]
        {
            assert_eq!(name.parse::<Spot>(), Err(SpotError(name.to_owned())));
        }
    }

    #[test]
    fn a_number_comes_before_its_slots_and_these_before_the_next_number() {
        let spots = ["9000", "9000-0", "9000-2", "9000-10", "9001"].map(|name| name.parse::<Spot>().unwrap());

        assert!(spots.is_sorted());
    }
}
