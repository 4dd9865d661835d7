//! Two small queues: what is to be looked at, each thing once, and what is to be looked at later.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    hash::Hash,
    time::Duration,
};

use foldhash::HashSet;

/// Things to look at, in the order in which they were first named.
#[derive(Debug)]
pub(crate) struct Dirty<T> {
    order: VecDeque<T>,
    members: HashSet<T>,
}

impl<T> Default for Dirty<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), members: HashSet::default() }
    }
}

impl<T: Clone + Eq + Hash> Dirty<T> {
    pub(crate) fn push(&mut self, thing: T) {
        if self.members.insert(thing.clone()) {
            self.order.push_back(thing);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let thing = self.order.pop_front()?;
        self.members.remove(&thing);
        Some(thing)
    }
}

/// Things to look at when their time has come. One that is named twice comes twice; to look is harmless.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    heap: BinaryHeap<Reverse<(Duration, T)>>,
    members: HashSet<(Duration, T)>,
}

impl<T: Ord> Default for Schedule<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), members: HashSet::default() }
    }
}

impl<T: Clone + Ord + Hash> Schedule<T> {
    pub(crate) fn at(&mut self, time: Duration, thing: T) {
        if self.members.insert((time, thing.clone())) {
            self.heap.push(Reverse((time, thing)));
        }
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((time, _))| *time)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn due(&mut self, now: Duration) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.members.remove(&entry);
        Some(entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_named_twice_is_looked_at_once() {
        let mut dirty = Dirty::default();

        dirty.push(1);
        dirty.push(2);
        dirty.push(1);

        assert_eq!([dirty.pop(), dirty.pop(), dirty.pop()], [Some(1), Some(2), None]);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut schedule = Schedule::default();
        schedule.at(Duration::from_secs(2), "late");
        schedule.at(Duration::from_secs(1), "early");

        assert_eq!(schedule.due(Duration::from_millis(999)), None);
        assert_eq!(schedule.due(Duration::from_secs(1)), Some("early"));
        assert_eq!(schedule.due(Duration::from_secs(1)), None);
        assert_eq!(schedule.next(), Some(Duration::from_secs(2)));
    }
}
