//! The slots of one number: which are taken, and the lowest that is not. Kept as unbroken runs, of which there are
//! few as long as the lowest is taken first. Never here: who holds a slot.

use std::collections::BTreeMap;

/// The slots of a number that are held, or promised. Every question costs O(log runs).
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// First and last of each run; no two touch.
    runs: BTreeMap<u32, u32>,
    len: usize,
}

impl Slots {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.run_at(slot).is_some()
    }

    /// The lowest that is not taken.
    pub(super) fn lowest_free(&self) -> u32 {
        match self.runs.first_key_value() {
            Some((0, last)) => last + 1,
            _ => 0,
        }
    }

    /// How many below the limit are not taken.
    pub(super) fn free_below(&self, limit: u32) -> usize {
        let below = |first: u32, last: u32| (last.min(limit - 1) - first + 1) as usize;
        // Slots at the limit and above it are there only after it was lowered.
        let beyond = self.runs.range(..limit).next_back().is_some_and(|(_, last)| *last >= limit)
            || self.runs.range(limit..).next().is_some();
        let taken = if beyond {
            self.runs.range(..limit).map(|(first, last)| below(*first, *last)).sum()
        } else {
            self.len
        };
        limit as usize - taken
    }

    pub(super) fn insert(&mut self, slot: u32) {
        if self.contains(slot) {
            return;
        }
        self.len += 1;
        let last = match self.runs.remove(&(slot + 1)) {
            Some(last) => last,
            None => slot,
        };
        match self.runs.range_mut(..slot).next_back() {
            Some((_, before)) if *before + 1 == slot => *before = last,
            _ => drop(self.runs.insert(slot, last)),
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let Some((first, last)) = self.run_at(slot) else { return };
        self.len -= 1;
        self.runs.remove(&first);
        if first < slot {
            self.runs.insert(first, slot - 1);
        }
        if slot < last {
            self.runs.insert(slot + 1, last);
        }
    }

    fn run_at(&self, slot: u32) -> Option<(u32, u32)> {
        let (first, last) = self.runs.range(..=slot).next_back()?;
        (slot <= *last).then_some((*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_answer_as_a_plain_set_does(
            steps in prop::collection::vec((0u32..12, any::<bool>()), 1..80),
            limit in 1u32..14,
        ) {
            let (mut slots, mut model) = (Slots::default(), BTreeSet::new());
            for (slot, taken) in steps {
                if taken {
                    slots.insert(slot);
                    model.insert(slot);
                } else {
                    slots.remove(slot);
                    model.remove(&slot);
                }

                prop_assert_eq!(slots.is_empty(), model.is_empty());
                prop_assert!((0..12).all(|slot| slots.contains(slot) == model.contains(&slot)));
                let free = (0..).find(|slot| !model.contains(slot));
                prop_assert_eq!(Some(slots.lowest_free()), free);
                prop_assert_eq!(slots.free_below(limit), (0..limit).filter(|slot| !model.contains(slot)).count());
            }
        }
    }

    #[test]
    fn a_fleet_of_a_hundred_thousand_is_one_run() {
        let mut slots = Slots::default();

        (0..100_000).for_each(|slot| slots.insert(slot));

        assert_eq!((slots.runs.len(), slots.lowest_free()), (1, 100_000));
    }
}
