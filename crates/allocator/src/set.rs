//! A set of ports: a bitmap with two summary levels, and counts per block so that the n-th member is found
//! quickly. Every question about one port costs a handful of word reads, however full the set. Never here:
//! why a port is in it.

mod iter;

pub use iter::{Iter, Ranges};

use std::fmt;

use crate::port::{Port, PortRange, write_ranges};

const WORD: usize = 64;
const WORDS: usize = 65536 / WORD;
/// Words under one word of the summary; also the words of a block.
const BLOCK: usize = 64;
const BLOCKS: usize = WORDS / BLOCK;
/// Words of a group: the finer of the two counts.
const GROUP: usize = 8;
const GROUPS: usize = WORDS / GROUP;

/// A set of ports. It takes 9 KiB, however many ports are in it, from the first one on.
#[derive(Clone)]
pub struct PortSet {
    /// `None` if nothing was ever in it.
    bits: Option<Box<Bits>>,
    len: usize,
}

/// Only [`PortSet::store`] writes here: all levels follow from `words`.
#[derive(Clone, PartialEq, Eq)]
struct Bits {
    /// One bit a port.
    words: [u64; WORDS],
    /// One bit a word: it is not zero.
    summary: [u64; BLOCKS],
    /// One bit a summary word: it is not zero.
    top: u64,
    /// Ports in each group of words.
    groups: [u16; GROUPS],
    /// Ports in each block of words.
    blocks: [u16; BLOCKS],
}

static NOTHING: Bits =
    Bits { words: [0; WORDS], summary: [0; BLOCKS], top: 0, groups: [0; GROUPS], blocks: [0; BLOCKS] };

impl PortSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self { bits: None, len: 0 }
    }

    /// How many ports are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no port is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this port is in it.
    #[must_use]
    pub fn contains(&self, port: Port) -> bool {
        self.word(port.index() / WORD) & bit(port.index()) != 0
    }

    /// Adds a port; false if it was there already.
    pub fn insert(&mut self, port: Port) -> bool {
        let index = port.index() / WORD;
        let before = self.bits().words[index];
        self.store(index, before | bit(port.index()));
        self.bits().words[index] != before
    }

    /// Takes a port out; false if it was not there.
    pub fn remove(&mut self, port: Port) -> bool {
        let index = port.index() / WORD;
        let before = self.bits().words[index];
        self.store(index, before & !bit(port.index()));
        self.bits().words[index] != before
    }

    /// Adds every port of the range, a word at a time.
    pub fn insert_range(&mut self, range: PortRange) {
        for (index, mask) in masks(range) {
            self.store(index, self.bits().words[index] | mask);
        }
    }

    /// Takes every port of the range out, a word at a time.
    pub fn remove_range(&mut self, range: PortRange) {
        for (index, mask) in masks(range) {
            self.store(index, self.bits().words[index] & !mask);
        }
    }

    /// The lowest port.
    #[must_use]
    pub fn first(&self) -> Option<Port> {
        self.next_at_or_after(Port::MIN)
    }

    /// The lowest port that is `port` or above it.
    #[must_use]
    pub fn next_at_or_after(&self, port: Port) -> Option<Port> {
        let word = port.index() / WORD;
        let here = self.word(word) & from_bit(port.index());
        if here != 0 {
            return Some(port_at(word, lowest(here)));
        }

        let block = word / BLOCK;
        let words = self.bits().summary[block] & after_bit(word);
        if words != 0 {
            return Some(self.first_of_word(block * BLOCK + lowest(words)));
        }

        let blocks = self.bits().top & after_bit(block);
        if blocks == 0 {
            return None;
        }
        let block = lowest(blocks);
        Some(self.first_of_word(block * BLOCK + lowest(self.bits().summary[block])))
    }

    /// The port that has exactly `n` ports of the set below it; `None` if there are no more than `n`. With a
    /// uniform `n` below [`PortSet::len`] this is a uniform choice.
    #[must_use]
    pub fn nth(&self, n: usize) -> Option<Port> {
        if n >= self.len {
            return None;
        }
        let (block, n) = descend(0, n, |block| usize::from(self.bits().blocks[block]));
        let (group, n) = descend(block * (BLOCK / GROUP), n, |group| usize::from(self.bits().groups[group]));
        let (word, n) = descend(group * GROUP, n, |word| self.word(word).count_ones() as usize);

        let mut rest = self.bits().words[word];
        for _ in 0..n {
            rest &= rest - 1;
        }
        Some(port_at(word, lowest(rest)))
    }

    /// How many ports of the set are below `port`.
    #[must_use]
    pub fn rank(&self, port: Port) -> usize {
        let word = port.index() / WORD;
        let (group, block) = (word / GROUP, word / BLOCK);
        let blocks = self.bits().blocks[..block].iter().copied().map(usize::from).sum::<usize>();
        let groups = &self.bits().groups[block * (BLOCK / GROUP)..group];
        let words = &self.bits().words[group * GROUP..word];
        let below = self.word(word) & !from_bit(port.index());
        blocks
            + groups.iter().copied().map(usize::from).sum::<usize>()
            + words.iter().chain([&below]).map(|word| word.count_ones() as usize).sum::<usize>()
    }

    /// The lowest port, `from` or above it, with which `count` consecutive ports of the set begin. Takes as many
    /// steps as there are shorter runs before it.
    #[must_use]
    pub fn first_run(&self, from: Port, count: usize) -> Option<Port> {
        let mut start = self.next_at_or_after(from)?;
        loop {
            let end = self.end_of_run(start);
            if usize::from(end.get() - start.get()) + 1 >= count {
                return Some(start);
            }
            start = self.next_at_or_after(end.next()?)?;
        }
    }

    /// Its ports, in ascending order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(self)
    }

    /// Its ports as the fewest ranges, in ascending order.
    #[must_use]
    pub fn ranges(&self) -> Ranges<'_> {
        Ranges::new(self)
    }

    /// Adds every port of the other set.
    pub(crate) fn insert_all(&mut self, other: &Self) {
        for index in other.filled() {
            self.store(index, self.bits().words[index] | other.bits().words[index]);
        }
    }

    /// Takes every port of the other set out.
    pub(crate) fn remove_all(&mut self, other: &Self) {
        for index in other.filled() {
            self.store(index, self.bits().words[index] & !other.bits().words[index]);
        }
    }

    /// How many ports are in both sets.
    pub(crate) fn count_common(&self, other: &Self) -> usize {
        let common = other.filled().map(|index| self.bits().words[index] & other.bits().words[index]);
        common.map(|word| word.count_ones() as usize).sum()
    }

    /// The words that are not zero.
    fn filled(&self) -> impl Iterator<Item = usize> {
        self.bits().summary.iter().enumerate().flat_map(|(block, &summary)| {
            let mut left = summary;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(block * BLOCK + bit)
            })
        })
    }

    /// The last port of the unbroken run that `start`, a port of the set, stands in.
    fn end_of_run(&self, start: Port) -> Port {
        let mut word = start.index() / WORD;
        let mut absent = !self.word(word) & from_bit(start.index());
        while absent == 0 {
            word += 1;
            if word == WORDS {
                return Port::MAX;
            }
            absent = !self.word(word);
        }
        Port::from_index(word * WORD + lowest(absent) - 1)
    }

    fn first_of_word(&self, word: usize) -> Port {
        port_at(word, lowest(self.word(word)))
    }

    fn word(&self, index: usize) -> u64 {
        #[cfg(test)]
        looks::count();
        self.bits().words[index]
    }

    fn bits(&self) -> &Bits {
        self.bits.as_deref().unwrap_or(&NOTHING)
    }

    /// The one write: puts a word and brings every level above it up to date.
    fn store(&mut self, index: usize, word: u64) {
        let before = self.bits().words[index];
        if word == before {
            return;
        }
        let bits = self.bits.get_or_insert_with(|| Box::new(NOTHING.clone()));
        bits.words[index] = word;

        // Added before subtracted: a count never passes through a negative.
        let (gained, lost) = ((word & !before).count_ones() as u16, (before & !word).count_ones() as u16);
        let (group, block) = (&mut bits.groups[index / GROUP], &mut bits.blocks[index / BLOCK]);
        *group = *group + gained - lost;
        *block = *block + gained - lost;
        self.len = self.len + usize::from(gained) - usize::from(lost);

        let summary = &mut bits.summary[index / BLOCK];
        *summary = with_bit(*summary, index, word != 0);
        bits.top = with_bit(bits.top, index / BLOCK, *summary != 0);
    }
}

/// The entry, from `first` on, that the `n`-th member falls into, and its rank inside. It must be there.
fn descend(first: usize, mut n: usize, members: impl Fn(usize) -> usize) -> (usize, usize) {
    let mut entry = first;
    loop {
        let here = members(entry);
        if n < here {
            return (entry, n);
        }
        n -= here;
        entry += 1;
    }
}

/// The words that a range touches, each with the range's bits in it.
fn masks(range: PortRange) -> impl Iterator<Item = (usize, u64)> {
    let (start, end) = (range.start().index(), range.end().index());
    (start / WORD..=end / WORD).map(move |word| {
        let low = if word == start / WORD { from_bit(start) } else { u64::MAX };
        let high = if word == end / WORD { !after_bit(end) } else { u64::MAX };
        (word, low & high)
    })
}

/// The bit that stands for an index in its word.
const fn bit(index: usize) -> u64 {
    1 << (index % WORD)
}

/// The bits at the index and above.
const fn from_bit(index: usize) -> u64 {
    u64::MAX << (index % WORD)
}

/// The bits above the index.
const fn after_bit(index: usize) -> u64 {
    from_bit(index) & !bit(index)
}

const fn with_bit(word: u64, index: usize, on: bool) -> u64 {
    if on { word | bit(index) } else { word & !bit(index) }
}

const fn lowest(word: u64) -> usize {
    word.trailing_zeros() as usize
}

fn port_at(word: usize, bit: usize) -> Port {
    Port::from_index(word * WORD + bit)
}

impl PartialEq for PortSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.bits() == other.bits()
    }
}

impl Eq for PortSet {}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

/// `5060-5065,20000-20599`; nothing for the empty set.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ranges(f, self.ranges())
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// How many words the searches of this thread have read: a cost that no noisy neighbour changes.
#[cfg(test)]
pub(crate) mod looks {
    use std::cell::Cell;

    thread_local!(static LOOKS: Cell<usize> = const { Cell::new(0) });

    pub(super) fn count() {
        LOOKS.set(LOOKS.get() + 1);
    }

    pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = LOOKS.get();
        let result = work();
        (result, LOOKS.get() - before)
    }
}
