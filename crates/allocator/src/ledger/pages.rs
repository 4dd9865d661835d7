//! A value for each of some ports, in pages that exist only where there is a value: a ledger of few numbers is
//! made, and shared out anew, in no time. Never here: what the values mean.

use crate::port::{Port, PortRange};

const PAGE: usize = 512;
const PAGES: usize = 65536 / PAGE;

/// At most one value a port. No pages at all before the first value.
#[derive(Clone)]
pub(super) struct Pages<T>(Vec<Option<Box<[Option<T>; PAGE]>>>);

impl<T: Copy> Pages<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn get(&self, port: Port) -> Option<T> {
        self.0.get(port.index() / PAGE)?.as_ref()?[port.index() % PAGE]
    }

    pub(super) fn insert(&mut self, port: Port, value: T) -> Option<T> {
        self.page(port.index() / PAGE)[port.index() % PAGE].replace(value)
    }

    pub(super) fn remove(&mut self, port: Port) -> Option<T> {
        self.0.get_mut(port.index() / PAGE)?.as_mut()?[port.index() % PAGE].take()
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }

    /// The same value for every port of the range.
    pub(super) fn fill(&mut self, range: PortRange, value: T) {
        let (first, last) = (range.start().index(), range.end().index());
        for at in first / PAGE..=last / PAGE {
            let from = first.saturating_sub(at * PAGE);
            let to = (last - at * PAGE).min(PAGE - 1);
            self.page(at)[from..=to].fill(Some(value));
        }
    }

    fn page(&mut self, at: usize) -> &mut [Option<T>; PAGE] {
        if self.0.is_empty() {
            self.0 = vec![None; PAGES];
        }
        self.0[at].get_or_insert_with(|| Box::new([None; PAGE]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_across_pages_is_filled_to_its_very_ends() {
        let port = |number| Port::new(number).unwrap();
        let mut pages = Pages::new();

        pages.fill(PortRange::new(port(500), port(1600)).unwrap(), 'x');

        let filled = |number| pages.get(port(number)).is_some();
        assert_eq!(
            [499, 500, 511, 512, 1024, 1600, 1601].map(filled),
            [false, true, true, true, true, true, false]
        );
    }
}
