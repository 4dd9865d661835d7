//! The queue of waiters against a plain list of lists, and the fairness that follows.
//! Never here: claims; a key is any ordered thing.

use allocator::Waiters;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, i64, u8),
    Remove(usize, i64, u8),
    Pop,
}

const NAMESPACES: [&str; 4] = ["shop", "games", "media", "ops"];

/// Namespaces in the order of their turns, each with its claims, kept sorted.
#[derive(Default)]
struct Model(Vec<(usize, Vec<(i64, u8)>)>);

impl Model {
    fn insert(&mut self, namespace: usize, claim: (i64, u8)) {
        match self.0.iter_mut().find(|(name, _)| *name == namespace) {
            Some((_, claims)) => {
                claims.push(claim);
                claims.sort_unstable();
                claims.dedup();
            }
            None => self.0.push((namespace, vec![claim])),
        }
    }

    fn remove(&mut self, namespace: usize, claim: (i64, u8)) -> bool {
        let before = self.len();
        self.0
            .iter_mut()
            .filter(|(name, _)| *name == namespace)
            .for_each(|(_, claims)| claims.retain(|c| *c != claim));
        self.0.retain(|(_, claims)| !claims.is_empty());
        self.len() < before
    }

    fn pop(&mut self) -> Option<u8> {
        if self.0.is_empty() {
            return None;
        }
        let (namespace, mut claims) = self.0.remove(0);
        let (_, key) = claims.remove(0);
        if !claims.is_empty() {
            self.0.push((namespace, claims));
        }
        Some(key)
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, claims)| claims.len()).sum()
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let claim = || (0..NAMESPACES.len(), 0i64..4, 0u8..4);
    prop_oneof![
        4 => claim().prop_map(|(namespace, created, key)| Step::Insert(namespace, created, key)),
        2 => claim().prop_map(|(namespace, created, key)| Step::Remove(namespace, created, key)),
        2 => Just(Step::Pop),
    ]
}

proptest! {
    #[test]
    fn waiters_are_served_like_a_plain_list_of_lists(steps in prop::collection::vec(steps(), 0..80)) {
        let (mut waiters, mut model) = (Waiters::new(), Model::default());

        for step in steps {
            match step {
                Step::Insert(namespace, created, key) => {
                    waiters.insert(NAMESPACES[namespace], created, key);
                    model.insert(namespace, (created, key));
                }
                Step::Remove(namespace, created, key) => {
                    let removed = waiters.remove(NAMESPACES[namespace], created, &key);
                    prop_assert_eq!(removed, model.remove(namespace, (created, key)));
                }
                Step::Pop => prop_assert_eq!(waiters.pop(), model.pop()),
            }
            prop_assert_eq!(waiters.len(), model.len());
            prop_assert_eq!(waiters.is_empty(), model.len() == 0);
        }

        let shown: Vec<u8> = waiters.iter().copied().collect();
        let served: Vec<u8> = std::iter::from_fn(|| waiters.pop()).collect();
        prop_assert_eq!(&shown, &served);
        prop_assert_eq!(served, std::iter::from_fn(|| model.pop()).collect::<Vec<_>>());
    }

    #[test]
    fn no_namespace_is_served_twice_while_another_waits(sizes in prop::collection::vec(1usize..30, 2..6)) {
        let mut waiters = Waiters::new();
        for (namespace, size) in sizes.iter().enumerate() {
            (0..*size).for_each(|claim| waiters.insert(&format!("team-{namespace}"), 0, (namespace, claim)));
        }

        let mut left = sizes.clone();
        while !waiters.is_empty() {
            let waiting = left.iter().filter(|left| **left > 0).count();
            let mut served: Vec<usize> = (0..waiting).map(|_| waiters.pop().unwrap().0).collect();
            served.iter().for_each(|namespace| left[*namespace] -= 1);

            served.sort_unstable();
            served.dedup();
            prop_assert_eq!(served.len(), waiting, "each waiting namespace once a round");
        }
    }
}
