//! Consecutive numbers, or a slot of one: what a claim holds.

use std::fmt;

use crds::Port;

/// Consecutive numbers, one or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: Port,
    count: u16,
    /// Scope Node: which slot of the number.
    pub(crate) slot: Option<u32>,
}

impl Run {
    /// `None` if it would end above 65535, or is empty.
    pub(crate) fn new(first: Port, count: u16) -> Option<Self> {
        first.get().checked_add(count.checked_sub(1)?).map(|_| Self { first, count, slot: None })
    }

    /// This number alone.
    pub(crate) fn one(number: Port) -> Self {
        Self { first: number, count: 1, slot: None }
    }

    /// The number as a slot of it, if that is what the HostPort of this name is.
    pub(crate) fn slot(number: Port, name: &str) -> Option<Self> {
        let slot = name.strip_prefix(&format!("{number}-"))?.parse().ok();
        slot.map(|slot| Self { first: number, count: 1, slot: Some(slot) })
    }

    /// Good for one node, and so for one pod.
    pub(crate) fn is_slot(self) -> bool {
        self.slot.is_some()
    }

    /// The name of the HostPort that holds the first number.
    pub(crate) fn name(self) -> String {
        match self.slot {
            None => self.first.to_string(),
            Some(slot) => format!("{}-{slot}", self.first),
        }
    }

    pub(crate) fn last(self) -> Port {
        self.member(self.count - 1).unwrap_or(self.first)
    }

    /// The number at this place.
    pub(crate) fn member(self, index: u16) -> Option<Port> {
        if index < self.count { Port::new(self.first.get() + index) } else { None }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Port> {
        (0..self.count).filter_map(move |index| self.member(index))
    }

    pub(crate) fn contains(self, number: Port) -> bool {
        self.first <= number && number <= self.last()
    }

    pub(crate) fn is_block(self) -> bool {
        self.count > 1
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_block() {
            false => self.first.fmt(f),
            true => write!(f, "{}-{}", self.first, self.last()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::port;

    #[test]
    fn a_run_ends_at_65535_at_the_latest() {
        assert_eq!(Run::new(port(65535), 1), Some(Run::one(port(65535))));
        assert_eq!(Run::new(port(65535), 2), None);
        assert_eq!(Run::new(port(9000), 0), None);
    }

    #[test]
    fn a_run_has_its_numbers_in_order() {
        let run = Run::new(port(9000), 3).unwrap();

        assert_eq!(run.iter().map(Port::get).collect::<Vec<_>>(), [9000, 9001, 9002]);
        assert_eq!(run.to_string(), "9000-9002");
        assert!(run.contains(port(9002)) && !run.contains(port(9003)));
        assert_eq!(run.member(3), None);
    }
}
