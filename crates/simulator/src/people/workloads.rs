//! Who uses numbers: pods that nobody admitted, pods that end, Services.

use reconciler::seen::{Key, Pod, Service};

use super::port;
use crate::{admission::put_pod, faults::Fault, server::Changed, world::World};

impl World {
    /// A pod of another namespace with a hostPort that nobody asked for.
    pub fn run_raw_pod(&mut self, key: &Key, number: u16) {
        let ports = Box::new([port(number)]);
        let pod = Pod { key: key.clone(), ports, serves: Box::default(), own: None };
        if !self.server.pods.contains_key(key) {
            self.tally.hit(Fault::RawPod);
            self.people(|| format!("raw pod {key} runs on {number}"), |server| put_pod(server, pod));
        }
    }

    /// A tenant takes the label off a running pod by which it is known whose slot it needs.
    pub fn strip_label(&mut self, key: &Key) {
        let Some(pod) = self.server.pods.get(key).filter(|pod| !pod.serves.is_empty()).cloned() else {
            return;
        };
        self.tally.hit(Fault::LabelTaken);
        if let Some(admitted) = self.judge.admitted.get_mut(key) {
            admitted.pod.serves = Box::default();
        }
        self.people(
            || format!("tenant takes the label off pod {key}"),
            |server| {
                let after = Pod { serves: Box::default(), ..pod.clone() };
                server.pods.insert(key.clone(), after.clone());
                server.bump();
                server.changes.push(Changed::Pod(Some(pod), Some(after)));
            },
        );
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
