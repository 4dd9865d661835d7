//! Walks over a port set: port by port, or run by run; and sets made from either.
//! Never here: searches of their own, each step is a question that the set answers.

use std::iter::FusedIterator;

use super::PortSet;
use crate::port::{Port, PortRange};

/// The ports of a set in ascending order. Made by [`PortSet::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    set: &'a PortSet,
    from: Option<Port>,
    left: usize,
}

impl<'a> Iter<'a> {
    pub(super) fn new(set: &'a PortSet) -> Self {
        Self { set, from: Some(Port::MIN), left: set.len() }
    }
}

impl Iterator for Iter<'_> {
    type Item = Port;

    fn next(&mut self) -> Option<Port> {
        let port = self.set.next_at_or_after(self.from?);
        self.from = port.and_then(Port::next);
        self.left -= usize::from(port.is_some());
        port
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

/// The ports of a set as the fewest ranges, in ascending order. Made by [`PortSet::ranges`].
#[derive(Clone, Debug)]
pub struct Ranges<'a> {
    set: &'a PortSet,
    from: Option<Port>,
}

impl<'a> Ranges<'a> {
    pub(super) fn new(set: &'a PortSet) -> Self {
        Self { set, from: Some(Port::MIN) }
    }
}

impl Iterator for Ranges<'_> {
    type Item = PortRange;

    fn next(&mut self) -> Option<PortRange> {
        let Some(start) = self.from.and_then(|from| self.set.next_at_or_after(from)) else {
            self.from = None;
            return None;
        };
        let end = self.set.end_of_run(start);
        self.from = end.next();
        Some(PortRange::new(start, end).expect("a run ends where it starts, or above"))
    }
}

impl FusedIterator for Ranges<'_> {}

impl<'a> IntoIterator for &'a PortSet {
    type Item = Port;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl FromIterator<Port> for PortSet {
    fn from_iter<I: IntoIterator<Item = Port>>(ports: I) -> Self {
        let mut set = Self::new();
        for port in ports {
            set.insert(port);
        }
        set
    }
}

impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert_range(range);
        }
        set
    }
}
