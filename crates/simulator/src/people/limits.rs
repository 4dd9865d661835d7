//! What administrators do to limit others: labels of namespaces, selectors and limits of classes, quotas.

use kube::core::{Expression, Selector};
use reconciler::seen::{Admits, Key, Labels, Namespace, Quota};

use crate::{faults::Fault, server::Changed, world::World};

/// The label that a class may ask for.
const LABEL: (&str, &str) = ("ports", "yes");

/// A selector for namespaces with that label.
pub fn labelled() -> Admits {
    let expression = Expression::Equal(LABEL.0.to_owned(), LABEL.1.to_owned());
    Admits::Matching(Selector::from_iter([expression]))
}

impl World {
    /// The namespace gets the label that classes ask for, or loses it.
    pub fn label(&mut self, namespace: &str, on: bool) {
        let labels = on.then(|| (LABEL.0.to_owned(), LABEL.1.to_owned()));
        let after = Namespace { name: namespace.into(), labels: labels.into_iter().collect::<Labels>() };
        let before = self.server.namespaces.get(namespace).cloned();
        if before.as_ref() == Some(&after) {
            return;
        }
        self.tally.hit(Fault::Limited);
        self.people(
            || format!("admin labels namespace {namespace}: {on}"),
            |server| {
                server.namespaces.insert(after.name.clone(), after.clone());
                server.bump();
                server.changes.push(Changed::Namespace(before, Some(after)));
            },
        );
    }

    /// A quota of the namespace: so many ports of a class; none: it is deleted.
    pub fn put_quota(&mut self, key: &Key, limit: Option<(&str, usize)>) {
        let before = self.server.quotas.get(key).cloned();
        let after =
            limit.map(|(class, limit)| Quota { key: key.clone(), limits: vec![(class.into(), limit)] });
        if before == after {
            return;
        }
        self.tally.hit(Fault::Limited);
        self.people(
            || format!("admin sets quota {key}: {limit:?}"),
            |server| {
                match &after {
                    Some(quota) => server.quotas.insert(key.clone(), quota.clone()),
                    None => server.quotas.remove(key),
                };
                server.bump();
                server.changes.push(Changed::Quota(before, after));
            },
        );
    }
}
