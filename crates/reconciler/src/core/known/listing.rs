//! Listings under way, and objects that are known to be gone while others may still tell of them.

use std::{collections::VecDeque, hash::Hash};

use foldhash::{HashMap, HashSet};

use crate::{
    action::ActionId,
    seen::{Change, Uid},
};

/// A listing under way, and whether there has been a complete one.
#[derive(Debug)]
pub(super) struct Listing<K> {
    pub(super) names: HashSet<K>,
    pub(super) complete: bool,
    /// A reply to an earlier request may show an object whose end the listing has passed over.
    pub(super) since: ActionId,
}

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self { names: HashSet::default(), complete: false, since: ActionId(0) }
    }
}

/// What a change comes to, in a listing or not.
pub(super) enum News<K, T> {
    /// The object is like this.
    Is(T),
    /// These are gone, in order.
    Gone(Vec<K>),
}

impl<K: Clone + Ord + Hash> Listing<K> {
    /// What the change comes to, of a kind whose objects are known by name alone; `known` are those known so far.
    pub(super) fn news<'a, T>(
        &mut self,
        change: Change<T>,
        name: impl Fn(&T) -> &K,
        known: impl Iterator<Item = &'a K>,
    ) -> News<K, T>
    where
        K: 'a,
    {
        match change {
            Change::Listing => {
                self.names.clear();
                News::Gone(Vec::new())
            }
            Change::Listed(object) => {
                self.names.insert(name(&object).clone());
                News::Is(object)
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.names);
                let mut gone: Vec<K> = known.filter(|name| !names.contains(*name)).cloned().collect();
                gone.sort_unstable();
                self.complete = true;
                News::Gone(gone)
            }
            Change::Applied(object) => News::Is(object),
            Change::Deleted(object) => News::Gone(vec![name(&object).clone()]),
        }
    }
}

/// An object that this process knows to be gone.
#[derive(Debug)]
pub(super) struct Grave<K> {
    key: K,
    /// The first request that was asked for after its end.
    since: ActionId,
    /// Its watch has told of its end.
    told: bool,
}

/// Objects that this process knows to be gone, while a watch or the reply to an earlier request may still tell
/// of them. A uid never comes back.
#[derive(Debug)]
pub(super) struct Graves<K> {
    pub(super) keys: HashMap<Uid, Grave<K>>,
    /// The watch has told of their end: when every request before this one is answered, nobody else will.
    pub(super) told: VecDeque<(ActionId, Uid)>,
}

impl<K> Default for Graves<K> {
    fn default() -> Self {
        Self { keys: HashMap::default(), told: VecDeque::new() }
    }
}

impl<K: Hash + Eq> Graves<K> {
    pub(super) fn hold(&self, uid: &Uid) -> bool {
        self.keys.contains_key(uid)
    }

    /// The first request that was asked for when it was known to be gone.
    pub(super) fn held_since(&self, uid: &Uid) -> Option<ActionId> {
        self.keys.get(uid).map(|grave| grave.since)
    }

    /// Its watch has told of its end: no later listing shows it, unless the store was restored.
    pub(super) fn was_told(&self, uid: &Uid) -> bool {
        self.keys.get(uid).is_some_and(|grave| grave.told)
    }

    /// A read has shown that it is gone; its watch will say so.
    pub(super) fn dig(&mut self, key: K, uid: Uid, next: ActionId) {
        self.keys.insert(uid, Grave { key, since: next, told: false });
    }

    /// Its watch has told of its end.
    pub(super) fn tell(&mut self, key: K, uid: Uid, next: ActionId) {
        self.told.push_back((next, uid.clone()));
        self.keys.entry(uid).or_insert(Grave { key, since: next, told: true }).told = true;
    }

    /// A listing is complete: its watch will not tell of those whose name is not in it.
    pub(super) fn tell_all(&mut self, names: &HashSet<K>, next: ActionId) {
        for (uid, grave) in self.keys.iter_mut().filter(|(_, grave)| !names.contains(&grave.key)) {
            grave.told = true;
            self.told.push_back((next, uid.clone()));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.told.is_empty()
    }

    pub(super) fn close(&mut self, oldest: ActionId) {
        while let Some((_, uid)) = self.told.pop_front_if(|(next, _)| *next <= oldest) {
            self.keys.remove(&uid);
        }
    }
}
