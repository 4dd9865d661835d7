//! Claims that wait: for any number of a class, for one number, or for a class to appear.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use allocator::{Port, Waiters};

use crate::seen::{Claim, Key};

/// What a claim waits for.
#[derive(Clone, Debug)]
enum Spot {
    Any { class: Arc<str>, created: i64 },
    Number { class: Arc<str>, port: Port, created: i64 },
}

#[derive(Debug, Default)]
struct Line {
    waiters: Waiters<Key>,
    /// Those who have not been told yet that there is nothing for them.
    untold: BTreeSet<Key>,
    /// How many wait for one number of this class.
    wanting: usize,
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Queue {
    spots: HashMap<Key, Spot>,
    lines: BTreeMap<Arc<str>, Line>,
    numbers: HashMap<Port, BTreeSet<(i64, Key)>>,
}

impl Queue {
    /// The claim waits for any number of the class.
    pub(super) fn join(&mut self, claim: &Claim, class: &Arc<str>) {
        self.leave(&claim.key);
        let line = self.lines.entry(class.clone()).or_default();
        line.waiters.insert(&claim.key.namespace, claim.created, claim.key.clone());
        line.untold.insert(claim.key.clone());
        self.spots.insert(claim.key.clone(), Spot::Any { class: class.clone(), created: claim.created });
    }

    /// The claim waits for this number.
    pub(super) fn want(&mut self, claim: &Claim, class: &Arc<str>, port: Port) {
        self.leave(&claim.key);
        self.numbers.entry(port).or_default().insert((claim.created, claim.key.clone()));
        self.lines.entry(class.clone()).or_default().wanting += 1;
        let spot = Spot::Number { class: class.clone(), port, created: claim.created };
        self.spots.insert(claim.key.clone(), spot);
    }

    /// The claim waits no more. The class whose line it left, if any.
    pub(super) fn leave(&mut self, key: &Key) -> Option<Arc<str>> {
        match self.spots.remove(key)? {
            Spot::Any { class, created } => {
                let line = self.lines.get_mut(&class)?;
                line.waiters.remove(&key.namespace, created, key);
                line.untold.remove(key);
                Some(class)
            }
            Spot::Number { class, port, created } => {
                if let Some(keys) = self.numbers.get_mut(&port) {
                    keys.remove(&(created, key.clone()));
                    if keys.is_empty() {
                        self.numbers.remove(&port);
                    }
                }
                self.lines.get_mut(&class)?.wanting -= 1;
                Some(class)
            }
        }
    }

    pub(super) fn has_waiters(&self, class: &str) -> bool {
        self.lines.get(class).is_some_and(|line| !line.waiters.is_empty())
    }

    /// Classes whose line is not empty.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lines.iter().filter(|(_, line)| !line.waiters.is_empty()).map(|(class, _)| class)
    }

    /// Takes the one whose turn it is.
    pub(super) fn next(&mut self, class: &str) -> Option<Key> {
        let line = self.lines.get_mut(class)?;
        let key = line.waiters.pop()?;
        line.untold.remove(&key);
        self.spots.remove(&key);
        Some(key)
    }

    /// Those who are to be told that there is nothing for them, each once.
    pub(super) fn take_untold(&mut self, class: &str) -> BTreeSet<Key> {
        self.lines.get_mut(class).map(|line| std::mem::take(&mut line.untold)).unwrap_or_default()
    }

    /// Who waits for this number, oldest first.
    pub(super) fn wanting(&self, port: Port) -> impl Iterator<Item = Key> {
        self.numbers.get(&port).into_iter().flatten().map(|(_, key)| key.clone())
    }

    /// How many claims wait for a number of the class.
    pub(super) fn len(&self, class: &str) -> usize {
        self.lines.get(class).map_or(0, |line| line.waiters.len() + line.wanting)
    }
}
