//! Namespaces, and how much each of them has and may have of a class.

use std::{collections::BTreeMap, sync::Arc};

use allocator::Spot;
use crds::HostPortPhase;

use super::{Known, Touch, listing::News};
use crate::seen::{Change, Class, Key, Labels, Namespace, Quota};

impl Known {
    pub(super) fn apply_namespace(&mut self, change: Change<Namespace>) {
        match self.namespace_list.news(change, |namespace| &namespace.name, self.namespaces.keys()) {
            News::Is(namespace) => self.put_namespace(namespace.name, Some(namespace.labels)),
            News::Gone(names) => names.into_iter().for_each(|name| self.put_namespace(name, None)),
        }
    }

    fn put_namespace(&mut self, name: Arc<str>, labels: Option<Labels>) {
        if self.namespaces.get(&name) == labels.as_ref() {
            return;
        }
        match labels {
            Some(labels) => drop(self.namespaces.insert(name.clone(), labels)),
            None => drop(self.namespaces.remove(&name)),
        }
        self.touched.push(Touch::Namespace(name));
    }

    pub(super) fn apply_quota(&mut self, change: Change<Quota>) {
        match self.quota_list.news(change, |quota| &quota.key, self.quotas.keys()) {
            News::Is(quota) => self.put_quota(quota.key, quota.limits),
            News::Gone(keys) => keys.into_iter().for_each(|key| self.put_quota(key, Vec::new())),
        }
    }

    fn put_quota(&mut self, key: Key, limits: Vec<(Arc<str>, usize)>) {
        if self.quotas.get(&key).map_or(&[][..], Vec::as_slice) == limits {
            return;
        }
        // Who waits was told the limit, so it is news to all of them.
        self.touched.push(Touch::Namespace(key.namespace.clone()));
        if limits.is_empty() {
            self.quotas.remove(&key);
        } else {
            self.quotas.insert(key, limits);
        }
    }

    /// Whether the class admits the namespace; `None` if that depends on labels that are not known yet.
    pub(in crate::core) fn admits(&self, class: &Class, namespace: &str) -> Option<bool> {
        match (self.namespaces.get(namespace), &class.admits) {
            (Some(labels), admits) => Some(admits.admits(labels)),
            (None, crate::seen::Admits::Matching(_)) => None,
            (None, admits) => Some(admits.admits(&BTreeMap::new())),
        }
    }

    /// How many ports of the class the namespace may have, if there is a limit: the lowest of the class's own and
    /// those of the namespace's quotas.
    pub(in crate::core) fn limit(&self, class: &str, namespace: &Arc<str>) -> Option<usize> {
        let from = Key { namespace: namespace.clone(), name: "".into() };
        let quotas = self.quotas.range(from..).take_while(|(key, _)| key.namespace == *namespace);
        let limits = quotas.flat_map(|(_, limits)| limits).filter(|(name, _)| **name == *class);
        let own = self.classes.get(class).and_then(|class| class.max_per_namespace);
        limits.map(|(_, limit)| *limit).chain(own).min()
    }

    /// How many ports of the class the namespace has, those that it is about to get among them.
    pub(in crate::core) fn usage(&self, class: &Arc<str>, namespace: &Arc<str>) -> usize {
        self.usage.get(&(class.clone(), namespace.clone())).copied().unwrap_or_default()
    }

    /// The number counts for this class and namespace.
    pub(in crate::core) fn counts_for(&self, spot: Spot, class: &Arc<str>, namespace: &Arc<str>) -> bool {
        self.counted.get(&spot).is_some_and(|(of, by)| of == class && by == namespace)
    }

    /// Every namespace with ports of a class that limits it, or that a quota limits: how many it has and may have.
    pub(in crate::core) fn limited(&self) -> impl Iterator<Item = (&str, &str, usize, usize)> {
        self.usage.iter().filter_map(|((class, namespace), used)| {
            self.limit(class, namespace).map(|limit| (&**class, &**namespace, *used, limit))
        })
    }

    /// Counts the number for who has it now, or is about to.
    pub(super) fn recount_usage(&mut self, spot: Spot) {
        let bound = self.hostports.get(&spot).filter(|hostport| hostport.phase == HostPortPhase::Bound);
        let held = bound.and_then(|hostport| {
            Some((hostport.class.clone(), hostport.holder.as_ref()?.key.namespace.clone()))
        });
        let now = held.or_else(|| self.assumed.get(&spot).cloned());
        let before = match &now {
            Some(now) => self.counted.insert(spot, now.clone()),
            None => self.counted.remove(&spot),
        };
        if before == now {
            return;
        }
        if let Some(now) = now {
            self.touched.push(Touch::Room(now.0.clone(), now.1.clone()));
            *self.usage.entry(now).or_default() += 1;
        }
        let Some(before) = before else { return };
        if let Some(count) = self.usage.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.usage.remove(&before);
            }
        }
        self.touched.push(Touch::Room(before.0, before.1));
    }
}
