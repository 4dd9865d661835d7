//! Who uses numbers without asking: pods by their host ports, Services by their node ports.

use std::sync::Arc;

use allocator::Port;

use super::{Carried, Known, Touch, listing::News};
use crate::seen::{Change, Key, Pod, Service};

impl Known {
    pub(super) fn apply_pod(&mut self, change: Change<Pod>) {
        match self.pod_list.news(change, |pod| &pod.key, self.pods.keys()) {
            News::Is(Pod { key, ports, serves, .. }) => self.put_pod(key, Carried { ports, serves }),
            News::Gone(keys) => keys.into_iter().for_each(|key| self.put_pod(key, Carried::default())),
        }
    }

    /// The pod carries these numbers now; none: it is as good as gone.
    fn put_pod(&mut self, key: Key, after: Carried) {
        let before = self.pods.get(&key).cloned().unwrap_or_default();
        if before == after {
            return;
        }
        let claim = |it: &Carried, port: Port| {
            it.serves.iter().find(|(number, _)| *number == port).map(|(_, claim)| claim.clone())
        };
        let news = |old: &Carried, new: &Carried, port: Port| {
            !new.ports.contains(&port) || claim(old, port) != claim(new, port)
        };
        for &port in before.ports.iter().filter(|port| news(&before, &after, **port)) {
            let claim = claim(&before, port);
            if let Some(pods) = self.carriers.get_mut(&port) {
                pods.remove(&key);
                if pods.is_empty() {
                    self.carriers.remove(&port);
                }
            }
            self.count_pod(&key, port, claim.as_ref(), false);
            self.recount_carried(&key, port, claim.as_ref());
        }
        for &port in after.ports.iter().filter(|port| news(&after, &before, **port)) {
            let claim = claim(&after, port);
            self.carriers.entry(port).or_default().insert(key.clone());
            self.count_pod(&key, port, claim.as_ref(), true);
            self.recount_carried(&key, port, claim.as_ref());
        }
        if after.ports.is_empty() {
            self.pods.remove(&key);
        } else {
            self.pods.insert(key, after);
        }
    }

    fn recount_carried(&mut self, pod: &Key, port: Port, claim: Option<&Arc<str>>) {
        self.recount_foreign(port);
        let spots = self.slots_concerned(pod, port, claim);
        self.touched.extend(spots.into_iter().map(Touch::Spot));
    }

    pub(super) fn apply_service(&mut self, change: Change<Service>) {
        match self.service_list.news(change, |service| &service.key, self.services.keys()) {
            News::Is(service) => self.put_service(service.key, service.ports),
            News::Gone(keys) => keys.into_iter().for_each(|key| self.put_service(key, Box::default())),
        }
    }

    pub(super) fn put_service(&mut self, key: Key, ports: Box<[Port]>) {
        let before = if ports.is_empty() {
            self.services.remove(&key)
        } else {
            self.services.insert(key, ports.clone())
        };
        for port in before.unwrap_or_default() {
            if let Some(count) = self.node_ports.get_mut(&port) {
                *count -= 1;
                if *count == 0 {
                    self.node_ports.remove(&port);
                }
            }
            self.recount_foreign(port);
        }
        for port in ports {
            *self.node_ports.entry(port).or_default() += 1;
            self.recount_foreign(port);
        }
    }

    pub(super) fn recount_foreign(&mut self, port: Port) {
        let foreign = self.carriers.contains_key(&port) || self.node_ports.contains_key(&port);
        self.ledger.set_foreign(port, foreign);
        self.recount_strange(port);
        self.touched.push(Touch::Spot(port.into()));
    }
}
