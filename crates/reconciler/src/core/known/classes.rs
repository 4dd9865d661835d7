//! Classes as they are told of.

use std::sync::Arc;

use allocator::{ClassSpec, Scope};
use crds::Strategy;

use super::{Known, Touch};
use crate::{
    action::ActionId,
    seen::{Change, Class, Uid},
};

impl Known {
    pub(super) fn apply_class(&mut self, change: Change<Class>) {
        match change {
            Change::Listing => self.class_list.names.clear(),
            Change::Listed(class) => {
                self.class_list.names.insert(class.name.clone());
                self.rewound |= self.dead_classes.was_told(&class.uid);
                let known = self.classes.get(&class.name);
                if known.is_some_and(|known| known.version > class.version) {
                    self.doubted_classes.insert(class.name.clone());
                    self.touched.push(Touch::ClassStatus(class.name.clone()));
                }
                self.put_class(class);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.class_list.names);
                let gone: Vec<_> =
                    self.classes.keys().filter(|name| !names.contains(*name)).cloned().collect();
                gone.iter().for_each(|name| self.remove_class(name));
                self.dead_classes.tell_all(&names, self.next);
                (self.class_list.complete, self.class_list.since) = (true, self.next);
            }
            Change::Applied(class) => self.put_class(class),
            Change::Deleted(class) => {
                if self.classes.get(&class.name).is_some_and(|known| known.uid == class.uid) {
                    self.remove_class(&class.name);
                }
                self.dead_classes.tell(class.name, class.uid, self.next);
            }
        }
    }

    /// The class as the reply to this request showed it.
    pub(in crate::core) fn learn_class(&mut self, class: Class, asked: ActionId) {
        let known = self.classes.get(&class.name).is_some_and(|known| known.uid == class.uid);
        if known || asked >= self.class_list.since {
            self.put_class(class);
        }
    }

    /// The class as a watch or our own write showed it. An older sight of it changes nothing.
    pub(super) fn put_class(&mut self, class: Class) {
        let known = self.classes.get(&class.name);
        if self.dead_classes.hold(&class.uid) || known.is_some_and(|known| known.version >= class.version) {
            return;
        }
        if !known.is_some_and(|known| known.same_spec(&class)) {
            let strategy = match class.strategy {
                Strategy::Sequential => allocator::Strategy::Sequential,
                Strategy::Random => allocator::Strategy::Random,
            };
            let spec = ClassSpec {
                pools: class.pools.clone(),
                exclude: class.exclude.clone(),
                strategy,
                scope: class.scope,
                allow_reserved: class.allow_reserved,
                created: class.created,
            };
            self.slots.met |= class.scope != Scope::Cluster;
            self.ledger.set_class(&class.name, spec);
            self.touched.push(Touch::Classes);
        }
        self.touched.push(Touch::ClassStatus(class.name.clone()));
        self.classes.insert(class.name.clone(), class);
    }

    /// This very class is gone, a write has shown it. Its watch may bring it back until it tells of the end.
    pub(in crate::core) fn forget_class(&mut self, name: &Arc<str>, uid: &Uid) {
        if self.classes.get(name).is_some_and(|known| known.uid == *uid) {
            self.remove_class(name);
        }
    }

    pub(super) fn remove_class(&mut self, name: &Arc<str>) {
        self.classes.remove(name);
        self.ledger.remove_class(name);
        self.touched.push(Touch::Classes);
    }
}
