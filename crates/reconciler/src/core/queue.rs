//! Claims that wait: for any numbers of a class, for certain ones, or for room in their namespace's quota.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::HashMap;

use allocator::{Port, Spot, Waiters};

use crate::seen::{Claim, Key, Run};

/// What a claim waits for.
#[derive(Clone, Debug)]
struct Waiter {
    class: Arc<str>,
    created: i64,
    count: u16,
    wish: Wish,
    /// What becomes of these numbers is news to it, whatever it waits for.
    prefers: Option<Run>,
    /// Waiting helps.
    waits: bool,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    /// So many consecutive numbers, whichever.
    Any,
    /// These.
    Numbers(Run),
    /// That its namespace may have so many more: any, or these.
    Room { run: Option<Run>, least: u16 },
}

/// A class and a namespace.
type Place = (Arc<str>, Arc<str>);

/// Those who want equally many numbers of a class.
#[derive(Debug, Default)]
struct Line {
    waiters: Waiters<Key>,
    /// Those who have not been told yet that there is nothing for them.
    untold: BTreeSet<Key>,
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Queue {
    all: HashMap<Key, Waiter>,
    /// By class and count.
    lines: BTreeMap<Arc<str>, BTreeMap<u16, Line>>,
    numbers: HashMap<Port, BTreeSet<(i64, Key)>>,
    /// By class and namespace, with so much room as they need at least.
    held_back: HashMap<Place, BTreeSet<(i64, Key, u16)>>,
    /// How many wait, by class.
    waiting: HashMap<Arc<str>, usize>,
}

impl Queue {
    /// The claim waits for any numbers of the class.
    pub(super) fn join(&mut self, claim: &Claim, class: &Arc<str>) {
        self.enter(claim, class, Wish::Any, true);
        let line = self.lines.entry(class.clone()).or_default().entry(claim.count).or_default();
        line.waiters.insert(&claim.key.namespace, claim.created, claim.key.clone());
        line.untold.insert(claim.key.clone());
        self.want_numbers(claim, claim.preference());
    }

    /// The claim waits for these numbers, or, if no wait helps, wants to hear of them all the same.
    pub(super) fn want(&mut self, claim: &Claim, class: &Arc<str>, run: Run, waits: bool) {
        self.enter(claim, class, Wish::Numbers(run), waits);
        self.want_numbers(claim, Some(run));
    }

    /// The claim waits until its namespace may have so many more of the class: not those which it has already. If it
    /// wants certain numbers, what becomes of them is news to it as well, and that they are its namespace's by then may
    /// be all the room that it needs.
    pub(super) fn hold_back(&mut self, claim: &Claim, class: &Arc<str>, new: u16) {
        let run = claim.wanted.and_then(|first| Run::new(first, claim.count));
        let least = if run.is_some() { 0 } else { new };
        self.enter(claim, class, Wish::Room { run, least }, true);
        let place = (class.clone(), claim.key.namespace.clone());
        self.held_back.entry(place).or_default().insert((claim.created, claim.key.clone(), least));
        self.want_numbers(claim, run.or(claim.preference()));
    }

    fn want_numbers(&mut self, claim: &Claim, run: Option<Run>) {
        for port in run.into_iter().flat_map(Run::iter).map(Spot::port) {
            self.numbers.entry(port).or_default().insert((claim.created, claim.key.clone()));
        }
    }

    fn forget_numbers(&mut self, created: i64, key: &Key, run: Run) {
        for port in run.iter().map(Spot::port) {
            if let Some(keys) = self.numbers.get_mut(&port) {
                keys.remove(&(created, key.clone()));
                if keys.is_empty() {
                    self.numbers.remove(&port);
                }
            }
        }
    }

    fn enter(&mut self, claim: &Claim, class: &Arc<str>, wish: Wish, waits: bool) {
        self.leave(&claim.key);
        if waits {
            *self.waiting.entry(class.clone()).or_default() += 1;
        }
        let prefers = claim.preference();
        let (class, created, count) = (class.clone(), claim.created, claim.count);
        self.all.insert(claim.key.clone(), Waiter { class, created, count, wish, prefers, waits });
    }

    fn one_fewer(&mut self, class: &Arc<str>) {
        if let Some(waiting) = self.waiting.get_mut(class) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(class);
            }
        }
    }

    /// The claim waits no more. The class that it waited for, if any.
    pub(super) fn leave(&mut self, key: &Key) -> Option<Arc<str>> {
        let Waiter { class, created, count, wish, prefers, waits } = self.all.remove(key)?;
        prefers.into_iter().for_each(|run| self.forget_numbers(created, key, run));
        if waits {
            self.one_fewer(&class);
        }
        match wish {
            Wish::Any => {
                if let Some(line) = self.lines.get_mut(&class).and_then(|lines| lines.get_mut(&count)) {
                    line.waiters.remove(&key.namespace, created, key);
                    line.untold.remove(key);
                }
                self.tidy(&class, count);
            }
            Wish::Numbers(run) => self.forget_numbers(created, key, run),
            Wish::Room { run, least } => {
                let place = (class.clone(), key.namespace.clone());
                run.into_iter().for_each(|run| self.forget_numbers(created, key, run));
                if let Some(keys) = self.held_back.get_mut(&place) {
                    keys.remove(&(created, key.clone(), least));
                    if keys.is_empty() {
                        self.held_back.remove(&place);
                    }
                }
            }
        }
        Some(class)
    }

    fn tidy(&mut self, class: &Arc<str>, count: u16) {
        let Some(lines) = self.lines.get_mut(class) else { return };
        if lines.get(&count).is_some_and(|line| line.waiters.is_empty() && line.untold.is_empty()) {
            lines.remove(&count);
        }
        if lines.is_empty() {
            self.lines.remove(class);
        }
    }

    /// The counts that claims in line for the class want, the largest first.
    pub(super) fn counts(&self, class: &str) -> Vec<u16> {
        self.lines.get(class).into_iter().flatten().rev().map(|(count, _)| *count).collect()
    }

    pub(super) fn has_line(&self, class: &str) -> bool {
        self.lines.contains_key(class)
    }

    pub(super) fn has_waiters(&self, class: &str, count: u16) -> bool {
        self.lines.get(class).and_then(|lines| lines.get(&count)).is_some_and(|line| !line.waiters.is_empty())
    }

    /// Classes that someone is in line for.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lines.keys()
    }

    /// Takes the one whose turn it is.
    pub(super) fn next(&mut self, class: &Arc<str>, count: u16) -> Option<Key> {
        let line = self.lines.get_mut(class)?.get_mut(&count)?;
        let key = line.waiters.pop()?;
        line.untold.remove(&key);
        if let Some(Waiter { created, prefers: Some(run), .. }) = self.all.remove(&key) {
            self.forget_numbers(created, &key, run);
        }
        self.one_fewer(class);
        self.tidy(class, count);
        Some(key)
    }

    /// Those who are to be told that there is nothing for them, each once.
    pub(super) fn take_untold(&mut self, class: &str, count: u16) -> BTreeSet<Key> {
        let line = self.lines.get_mut(class).and_then(|lines| lines.get_mut(&count));
        line.map(|line| std::mem::take(&mut line.untold)).unwrap_or_default()
    }

    /// Who waits for this number, oldest first.
    pub(super) fn wanting(&self, port: Port) -> impl Iterator<Item = Key> {
        self.numbers.get(&port).into_iter().flatten().map(|(_, key)| key.clone())
    }

    /// Who is in line for more of the class than there is room for in the namespace.
    pub(super) fn beyond(&self, class: &str, namespace: &str, room: usize) -> Vec<Key> {
        let lines = self.lines.get(class).into_iter().flatten();
        let lines = lines.filter(|(count, _)| usize::from(**count) > room);
        lines.flat_map(|(_, line)| line.waiters.of(namespace)).cloned().collect()
    }

    /// Who waits for room in the namespace and wants no more than there is now, oldest first. All of them: none is
    /// told any more that it would be beyond the quota.
    pub(super) fn held_back(&self, class: &Arc<str>, namespace: &Arc<str>, room: usize) -> Vec<Key> {
        let held_back = self.held_back.get(&(class.clone(), namespace.clone())).into_iter().flatten();
        held_back.filter(|(_, _, least)| usize::from(*least) <= room).map(|(_, key, _)| key.clone()).collect()
    }

    /// How many claims wait for the class.
    pub(super) fn len(&self, class: &str) -> usize {
        self.waiting.get(class).copied().unwrap_or_default()
    }
}
