//! Who uses numbers without asking: pods by their host ports, Services by their node ports.

use allocator::Port;

use super::{Known, Touch, listing::News};
use crate::seen::{Change, Key, Pod, Service};

impl Known {
    pub(super) fn apply_pod(&mut self, change: Change<Pod>) {
        match self.pod_list.news(change, |pod| &pod.key, self.pods.keys()) {
            News::Is(pod) => self.put_pod(pod.key, pod.ports),
            News::Gone(keys) => keys.into_iter().for_each(|key| self.put_pod(key, Box::default())),
        }
    }

    /// The pod carries these numbers now; none: it is as good as gone.
    pub(super) fn put_pod(&mut self, key: Key, ports: Box<[Port]>) {
        let before = if ports.is_empty() {
            self.pods.remove(&key)
        } else {
            self.pods.insert(key.clone(), ports.clone())
        };
        let before = before.unwrap_or_default();
        for port in before.iter().filter(|port| !ports.contains(port)) {
            if let Some(pods) = self.carriers.get_mut(port) {
                pods.remove(&key);
                if pods.is_empty() {
                    self.carriers.remove(port);
                }
            }
            self.recount_foreign(*port);
        }
        for port in ports.iter().filter(|port| !before.contains(port)) {
            self.carriers.entry(*port).or_default().insert(key.clone());
            self.recount_foreign(*port);
        }
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
        self.touched.push(Touch::Spot(port.into()));
    }
}
