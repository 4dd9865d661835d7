//! The queue of one class: which waiting claim is tried next when a number is free. Round robin over
//! namespaces, oldest first within one. Never here: why a claim waits, or whether it can be served.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::HashMap;
use std::sync::Arc;

/// Claims that wait for a number of one class, fair between namespaces: a namespace with a thousand claims
/// and one with a single claim are served in turn. Within a namespace the oldest claim is first, ties by key.
///
/// A claim is known by namespace, creation time and key together; all three must be the same when it is
/// removed.
#[derive(Clone, Debug)]
pub struct Waiters<K> {
    namespaces: HashMap<Arc<str>, Queue<K>>,
    /// Whose turn it is: the namespaces that have a waiter, by the turn they drew.
    rotation: BTreeMap<u64, Arc<str>>,
    next_turn: u64,
    len: usize,
}

#[derive(Clone, Debug)]
struct Queue<K> {
    turn: u64,
    claims: BTreeSet<(i64, K)>,
}

impl<K: Ord + Clone> Waiters<K> {
    /// The queue in which nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self { namespaces: HashMap::default(), rotation: BTreeMap::new(), next_turn: 0, len: 0 }
    }

    /// How many claims wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no claim waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a claim; nothing changes if it waits already. `created` is in seconds, of any epoch. A namespace
    /// of which no claim was waiting goes to the end of the rotation. O(log n).
    pub fn insert(&mut self, namespace: &str, created: i64, key: K) {
        if let Some(queue) = self.namespaces.get_mut(namespace) {
            self.len += usize::from(queue.claims.insert((created, key)));
            return;
        }
        let namespace = Arc::<str>::from(namespace);
        let turn = self.last_turn(&namespace);
        self.namespaces.insert(namespace, Queue { turn, claims: BTreeSet::from([(created, key)]) });
        self.len += 1;
    }

    /// Takes a claim out; false if it did not wait. The others keep their turns. O(log n).
    pub fn remove(&mut self, namespace: &str, created: i64, key: &K) -> bool {
        let Some(queue) = self.namespaces.get_mut(namespace) else { return false };
        if !queue.claims.remove(&(created, key.clone())) {
            return false;
        }
        self.len -= 1;
        if queue.claims.is_empty() {
            self.rotation.remove(&queue.turn);
            self.namespaces.remove(namespace);
        }
        true
    }

    /// Takes the oldest claim of the namespace whose turn it is; the next call serves the next namespace.
    /// O(log n).
    pub fn pop(&mut self) -> Option<K> {
        let (_, namespace) = self.rotation.pop_first()?;
        let queue = self.namespaces.get_mut(&namespace).expect("every turn is of a namespace with waiters");
        let (_, key) = queue.claims.pop_first().expect("a namespace without waiters is not kept");
        self.len -= 1;

        if queue.claims.is_empty() {
            self.namespaces.remove(&namespace);
        } else {
            queue.turn = self.next_turn;
            self.last_turn(&namespace);
        }
        Some(key)
    }

    /// The claims in the order in which [`Waiters::pop`] would take them.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        let mut turns: VecDeque<_> =
            self.rotation.values().map(|name| self.namespaces[name].claims.iter()).collect();
        std::iter::from_fn(move || {
            while let Some(mut claims) = turns.pop_front() {
                if let Some((_, key)) = claims.next() {
                    turns.push_back(claims);
                    return Some(key);
                }
            }
            None
        })
    }

    /// The claims of one namespace, oldest first.
    pub fn of(&self, namespace: &str) -> impl Iterator<Item = &K> {
        self.namespaces.get(namespace).into_iter().flat_map(|queue| &queue.claims).map(|(_, key)| key)
    }

    /// Puts the namespace at the end of the rotation; its turn there.
    fn last_turn(&mut self, namespace: &Arc<str>) -> u64 {
        let turn = self.next_turn;
        self.rotation.insert(turn, Arc::clone(namespace));
        self.next_turn += 1;
        turn
    }
}

impl<K: Ord + Clone> Default for Waiters<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(claims: &[(&str, i64, &'static str)]) -> Waiters<&'static str> {
        let mut waiters = Waiters::new();
        for &(namespace, created, key) in claims {
            waiters.insert(namespace, created, key);
        }
        waiters
    }

    fn popped(mut waiters: Waiters<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| waiters.pop()).collect()
    }

    #[test]
    fn a_namespace_with_many_claims_does_not_hold_up_one_with_a_single_claim() {
        let waiters = waiting(&[("big", 1, "b1"), ("big", 2, "b2"), ("big", 3, "b3"), ("small", 9, "s1")]);

        assert_eq!(popped(waiters), ["b1", "s1", "b2", "b3"]);
    }

    #[test]
    fn within_a_namespace_the_oldest_claim_is_first_and_ties_go_by_key() {
        let waiters = waiting(&[("shop", 5, "late"), ("shop", 3, "b"), ("shop", 3, "a")]);

        assert_eq!(popped(waiters), ["a", "b", "late"]);
    }

    #[test]
    fn a_claim_that_waits_already_is_not_queued_twice() {
        let waiters = waiting(&[("shop", 1, "a"), ("shop", 1, "a")]);

        assert_eq!(waiters.len(), 1);
        assert_eq!(popped(waiters), ["a"]);
    }

    #[test]
    fn a_namespace_that_comes_back_goes_to_the_end() {
        let mut waiters = waiting(&[("a", 1, "a1"), ("b", 1, "b1"), ("c", 1, "c1")]);

        let first = waiters.pop();
        waiters.insert("a", 1, "a1");

        assert_eq!(first, Some("a1"));
        assert_eq!(popped(waiters), ["b1", "c1", "a1"]);
    }

    #[test]
    fn a_claim_that_cannot_be_served_does_not_hold_up_the_others() {
        let mut waiters = waiting(&[("a", 1, "block of 500"), ("a", 2, "a2"), ("b", 1, "b1")]);

        let unserved = waiters.pop().unwrap();
        let next = [waiters.pop().unwrap(), waiters.pop().unwrap()];
        waiters.insert("a", 1, unserved);

        assert_eq!(next, ["b1", "a2"]);
        assert_eq!(popped(waiters), ["block of 500"]);
    }

    #[test]
    fn removing_the_last_claim_of_a_namespace_ends_its_turn() {
        let mut waiters = waiting(&[("a", 1, "a1"), ("b", 1, "b1")]);

        assert!(waiters.remove("a", 1, &"a1"));
        assert!(!waiters.remove("a", 1, &"a1"));
        assert!(!waiters.remove("b", 2, &"b1"), "another creation time is another claim");

        assert_eq!(waiters.len(), 1);
        assert_eq!(popped(waiters), ["b1"]);
    }

    #[test]
    fn iter_shows_the_order_of_pop_and_takes_nothing() {
        let waiters = waiting(&[("a", 1, "a1"), ("a", 2, "a2"), ("b", 1, "b1"), ("c", 1, "c1")]);

        let shown: Vec<_> = waiters.iter().copied().collect();

        assert_eq!(shown, ["a1", "b1", "c1", "a2"]);
        assert_eq!(shown, popped(waiters));
    }
}
