//! Who uses numbers: pods that nobody admitted, pods that end, Services.

use reconciler::seen::{Key, Pod, Service};

use super::port;
use crate::{admission::put_pod, faults::Fault, server::Changed, world::World};

impl World {
    /// A pod of another namespace with a hostPort that nobody asked for.
    pub fn run_raw_pod(&mut self, key: &Key, number: u16) {
        let pod = Pod { key: key.clone(), ports: Box::new([port(number)]), own: None };
        if !self.server.pods.contains_key(key) {
            self.tally.hit(Fault::RawPod);
            self.people(|| format!("raw pod {key} runs on {number}"), |server| put_pod(server, pod));
        }
    }

    pub fn end_pod(&mut self, key: &Key) {
        if let Some(pod) = self.server.pods.get(key).cloned() {
            self.judge.admitted.remove(key);
            self.people(
                || format!("pod {key} ends"),
                |server| {
                    server.pods.remove(key);
                    server.bump();
                    server.changes.push(Changed::Pod(Some(pod), None));
                },
            );
        }
    }

    /// A Service takes a node port, or is deleted.
    pub fn put_service(&mut self, name: &str, number: Option<u16>) {
        let key = Key::new("web", name);
        let before = self.server.services.get(&key).cloned();
        let after = number.map(|number| Service { key: key.clone(), ports: Box::new([port(number)]) });
        if before == after {
            return;
        }
        self.tally.hit(Fault::Service);
        self.people(
            || format!("Service {name} takes {number:?}"),
            |server| {
                match &after {
                    Some(service) => server.services.insert(key, service.clone()),
                    None => server.services.remove(&key),
                };
                server.bump();
                server.changes.push(Changed::Service(before, after));
            },
        );
    }
}
