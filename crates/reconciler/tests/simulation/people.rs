//! What people do to the store: tenants, administrators, workloads, and the admission of their pods.

use std::{sync::Arc, time::Duration};

use allocator::{Port, PortRange};
use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy, Strategy};
use reconciler::seen::{Claim, Class, HostPort, Key, Pod, Service, Version};

use crate::{
    judge::Actor,
    server::{Server, broken_rule, first_status, with_status},
    world::{Admission, Reads, World},
};

/// How long a create can be in flight inside the API server.
pub const IN_FLIGHT: i64 = 34_000;

pub fn port(number: u16) -> Port {
    Port::new(number).expect("a port is not 0")
}

pub fn range(start: u16, end: u16) -> PortRange {
    PortRange::new(port(start), port(end)).expect("start is not above end")
}

/// A class as an administrator writes it.
pub fn class(name: &str, start: u16, end: u16) -> Class {
    Class {
        name: name.into(),
        uid: "".into(),
        version: Version(0),
        generation: 1,
        created: 0,
        is_default: false,
        pools: vec![range(start, end)],
        exclude: vec![],
        strategy: Strategy::Sequential,
        policy: ReclaimPolicy::Delete,
        reuse_delay: Duration::from_secs(60),
        allow_reserved: false,
        conditions: vec![],
        status_digest: 0,
    }
}

impl World {
    fn people(&mut self, what: String, change: impl FnOnce(&mut Server)) {
        self.note(|_| what);
        self.change(Actor::People, change);
    }

    pub fn create_class(&mut self, class: Class) {
        self.people(format!("admin creates class {}", class.name), |server| {
            let (uid, created) = (server.new_uid("class"), server.now / 1000);
            server.put_class(Class { uid, created, ..class });
        });
    }

    pub fn edit_class(&mut self, name: &str, edit: impl FnOnce(&mut Class)) {
        let Some(mut class) = self.server.classes.get(name).cloned() else { return };
        edit(&mut class);
        class.generation += 1;
        let pools: Vec<_> = class.pools.iter().map(ToString::to_string).collect();
        let what = format!(
            "admin edits class {name}: {} {:?} {:?} default={}",
            pools.join(","),
            class.policy,
            class.reuse_delay,
            class.is_default
        );
        self.people(what, |server| drop(server.put_class(class)));
    }

    pub fn remove_class(&mut self, name: &str) {
        let Some(class) = self.server.classes.get(name).cloned() else { return };
        self.people(format!("admin deletes class {name}"), |server| {
            server.classes.remove(name);
            server.class_status.remove(name);
            let version = server.bump();
            server.changes.push(crate::server::Changed::Class(Some(Class { version, ..class }), None));
        });
    }

    pub fn create_claim(&mut self, key: &Key, class: Option<&str>, wanted: Option<u16>) {
        if self.server.claims.contains_key(key) {
            return;
        }
        let what = format!("tenant creates claim {key} class={class:?} port={wanted:?}");
        self.people(what, |server| {
            let status = first_status();
            let claim = Claim {
                key: key.clone(),
                uid: server.new_uid("u"),
                version: Version(0),
                generation: 1,
                created: server.now / 1000,
                deleting: false,
                finalizers: vec![],
                class: class.map(Into::into),
                wanted: wanted.map(port),
                phase: ClaimPhase::Pending,
                port: None,
                used_class: None,
                ready: None,
                status_digest: 0,
            };
            server.claim_status.insert(key.clone(), status.clone());
            server.put_claim(with_status(claim, &status));
        });
    }

    pub fn delete_claim(&mut self, key: &Key) {
        let Some(claim) = self.server.claims.get(key).filter(|claim| !claim.deleting).cloned() else {
            return;
        };
        self.people(format!("tenant deletes claim {key}={}", claim.uid), |server| {
            server.put_claim(Claim { deleting: true, generation: claim.generation + 1, ..claim });
        });
    }

    pub fn strip_finalizers(&mut self, key: &Key) {
        let Some(claim) = self.server.claims.get(key).filter(|it| !it.finalizers.is_empty()).cloned() else {
            return;
        };
        self.people(format!("somebody strips the finalizers of {key}={}", claim.uid), |server| {
            server.put_claim(Claim { finalizers: vec![], ..claim });
        });
    }

    /// A tenant with rights on `/status` writes it.
    pub fn tamper(&mut self, key: &Key, phase: ClaimPhase, number: Option<u16>) {
        let Some(claim) = self.server.claims.get(key).cloned() else { return };
        self.judge.tampered.insert(claim.uid.clone());
        self.people(format!("tenant writes status of {key}={}: {phase:?} {number:?}", claim.uid), |server| {
            let mut status = server.claim_status[key].clone();
            (status.phase, status.port) = (phase, number.map(port));
            server.put_claim(with_status(claim, &status));
            server.claim_status.insert(key.clone(), status);
        });
    }

    pub fn delete_hostport(&mut self, number: Port) {
        if self.server.hostports.contains_key(&number) {
            self.judge.hand_deleted(number, &mut self.admissions);
            self.people(format!("admin deletes HostPort {number}"), |server| server.remove_hostport(number));
            self.judge.forget(number);
        }
    }

    fn edit_hostport(&mut self, number: Port, what: &str, edit: impl FnOnce(&mut HostPort, i64)) -> bool {
        let Some(before) = self.server.hostports.get(&number).cloned() else { return false };
        let mut after = before.clone();
        edit(&mut after, self.server.now);
        if after == before || broken_rule(&before, &after).is_some() {
            return false;
        }
        self.people(format!("admin {what} HostPort {number}"), |server| drop(server.put_hostport(after)));
        true
    }

    /// An administrator says that the claim of a Bound HostPort is gone.
    pub fn edit_to_released(&mut self, number: Port) {
        self.edit_hostport(number, "edits to Released:", |hostport, now| {
            hostport.phase = HostPortPhase::Released;
            hostport.released_at.get_or_insert(now);
        });
    }

    /// `kubectl patch hp … remove /spec/claimRef`; phase and releasedAt are left to the controller or not.
    pub fn clear_claim_ref(&mut self, number: Port, tidy: bool) {
        if self.server.hostports.get(&number).is_some_and(|it| it.phase == HostPortPhase::Released) {
            self.judge.cleared(number, &mut self.admissions);
        }
        self.edit_hostport(number, "clears claimRef of", |hostport, _| {
            if hostport.phase == HostPortPhase::Released && hostport.holder.take().is_some() && tidy {
                hostport.phase = HostPortPhase::Available;
                (hostport.released_at, hostport.reuse_delay, hostport.held_by) = (None, None, None);
            }
        });
        if self.server.hostports.get(&number).is_some_and(|it| it.holder.is_none()) {
            self.judge.forget(number);
        }
    }

    /// A pod of the claim comes to admission: the first of its two reads. The other may come later.
    pub fn admit(&mut self, name: &str, key: &Key, claim_first: bool) {
        let key = key.clone();
        let Some(claim) = self.server.claims.get(&key).cloned() else { return };
        let Some(number) = claim.named() else { return };
        let pod = Pod { key: Key::new(&key.namespace, name), ports: Box::new([number]) };
        let taken = self.server.pods.contains_key(&pod.key);
        if taken || self.admissions.iter().any(|other| other.pod.key == pod.key) {
            return;
        }
        let reads = if claim_first { Reads::HostPort } else { Reads::Claim };
        let deadline = self.server.now + IN_FLIGHT;
        let admission = Admission { pod, claim: claim.uid.clone(), reads, deadline, excused: false };
        let passes =
            if claim_first { self.claim_admits(&admission, &key) } else { self.hostport_admits(&admission) };
        if passes {
            self.note(|_| format!("pod {name} of {key}={} comes to admission, port {number}", claim.uid));
            self.admissions.push(admission);
        }
    }

    /// The second read of an admission; a pod that fails it is refused.
    pub fn admit_on(&mut self, at: usize) {
        let admission = self.admissions[at].clone();
        let passes = match admission.reads {
            Reads::None => true,
            Reads::HostPort => self.hostport_admits(&admission),
            Reads::Claim => {
                let key = self.server.claims.values().find(|claim| claim.uid == admission.claim);
                key.map(|claim| claim.key.clone()).is_some_and(|key| self.claim_admits(&admission, &key))
            }
        };
        let key = &admission.pod.key;
        self.note(|_| format!("pod {key} is {}", if passes { "admitted" } else { "refused" }));
        if passes { self.admissions[at].reads = Reads::None } else { drop(self.admissions.swap_remove(at)) }
    }

    fn claim_admits(&self, admission: &Admission, key: &Key) -> bool {
        self.server.claims.get(key).is_some_and(|claim| {
            claim.uid == admission.claim
                && claim.phase == ClaimPhase::Bound
                && claim.port == Some(admission.pod.ports[0])
                && !claim.deleting
        })
    }

    fn hostport_admits(&self, admission: &Admission) -> bool {
        self.server.hostports.get(&admission.pod.ports[0]).is_some_and(|it| it.is_held_by(&admission.claim))
    }

    /// An admitted pod is stored, unless its time is over.
    pub fn store(&mut self, at: usize) {
        let admission = self.admissions.swap_remove(at);
        if admission.reads == Reads::None && admission.deadline >= self.server.now {
            self.judge.admitted.insert(admission.pod.key.clone(), admission.clone());
            self.people(
                format!("pod {} is stored on {}", admission.pod.key, admission.pod.ports[0]),
                |server| {
                    put_pod(server, admission.pod);
                },
            );
        }
    }

    /// A pod of a claim, admitted and stored at once.
    pub fn run_pod(&mut self, name: &str, key: &Key) {
        self.admit(name, key, true);
        let at =
            self.admissions.iter().position(|it| &*it.pod.key.name == name).expect("the pod was refused");
        self.admit_on(at);
        self.store(at);
    }

    /// A pod of another namespace with a hostPort that nobody asked for.
    pub fn run_raw_pod(&mut self, key: &Key, number: u16) {
        let pod = Pod { key: key.clone(), ports: Box::new([port(number)]) };
        if !self.server.pods.contains_key(key) {
            self.people(format!("raw pod {key} runs on {number}"), |server| put_pod(server, pod));
        }
    }

    pub fn end_pod(&mut self, key: &Key) {
        if let Some(pod) = self.server.pods.get(key).cloned() {
            self.judge.admitted.remove(key);
            self.people(format!("pod {key} ends"), |server| {
                server.pods.remove(key);
                server.bump();
                server.changes.push(crate::server::Changed::Pod(Some(pod), None));
            });
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
        self.people(format!("Service {key} takes {number:?}"), |server| {
            match &after {
                Some(service) => server.services.insert(key, service.clone()),
                None => server.services.remove(&key),
            };
            server.bump();
            server.changes.push(crate::server::Changed::Service(before, after));
        });
    }
}

fn put_pod(server: &mut Server, pod: Pod) {
    server.pods.insert(pod.key.clone(), pod.clone());
    server.bump();
    server.changes.push(crate::server::Changed::Pod(None, Some(pod)));
}

/// Namespace/name.
pub fn key(text: &str) -> Key {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    Key { namespace: Arc::from(namespace), name: Arc::from(name) }
}
