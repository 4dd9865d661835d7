//! A model of the API server: one store, one revision counter, preconditions, finalizers, the CEL rules of
//! HostPorts that matter. Requests of controllers come in as [`Action`]s; what people do is in `people`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use allocator::Port;
use crds::{ClaimPhase, HostPortPhase};
use reconciler::{
    action::{Action, HostPortChange, NewHostPort, Outcome},
    seen::{Change, Claim, Class, Event, Holder, HostPort, Key, Pod, Ready, Service, Truth, Uid, Version},
    text::{ClaimStatus, ClassStatus, Condition},
};

/// What became of an object: before and after.
#[derive(Clone, Debug)]
pub enum Changed {
    Claim(Option<Claim>, Option<Claim>),
    HostPort(Option<HostPort>, Option<HostPort>),
    Pod(Option<Pod>, Option<Pod>),
    Service(Option<Service>, Option<Service>),
    Class(Option<Class>, Option<Class>),
}

#[derive(Default)]
pub struct Server {
    pub revision: u64,
    /// The true time, milliseconds since the epoch.
    pub now: i64,
    pub claims: BTreeMap<Key, Claim>,
    pub claim_status: BTreeMap<Key, ClaimStatus>,
    pub hostports: BTreeMap<Port, HostPort>,
    pub pods: BTreeMap<Key, Pod>,
    pub services: BTreeMap<Key, Service>,
    pub classes: BTreeMap<Arc<str>, Class>,
    pub class_status: BTreeMap<Arc<str>, ClassStatus>,
    pub changes: Vec<Changed>,
    /// Writes that a validation rule refused.
    pub refused: Vec<String>,
    made: u64,
}

impl Server {
    pub fn new() -> Self {
        Self { now: 1_700_000_000_000, ..Self::default() }
    }

    /// Carries out a request of a controller.
    pub fn request(&mut self, action: &Action) -> Outcome {
        match action {
            Action::GetClaim(key) => claim_or_404(self.claims.get(key)),
            Action::GetHostPort(port) => hostport_or_404(self.hostports.get(port)),
            Action::ListPods(namespace) => {
                let of = |pod: &&Pod| namespace.as_ref().is_none_or(|it| *it == pod.key.namespace);
                Outcome::Pods(self.pods.values().filter(of).cloned().collect())
            }
            Action::CreateHostPort(new) => self.create_hostport(new),
            Action::PatchHostPort { port, uid, version, change } => {
                match self.precondition(*port, uid, *version) {
                    Err(outcome) => outcome,
                    Ok(before) => self.patch_hostport(&before, change),
                }
            }
            Action::DeleteHostPort { port, uid, version } => match self.precondition(*port, uid, *version) {
                Err(outcome) => outcome,
                Ok(_) => {
                    self.remove_hostport(*port);
                    Outcome::Done
                }
            },
            Action::PatchClaimStatus { key, version, status } => match self.claims.get(key) {
                None => Outcome::NotFound,
                Some(claim) if claim.version != *version => Outcome::Conflict,
                Some(_) => self.write_claim_status(key, (**status).clone()),
            },
            Action::PatchFinalizers { key, uid, version, finalizers } => match self.claims.get(key) {
                None => Outcome::NotFound,
                Some(claim) if claim.version != *version || claim.uid != *uid => Outcome::Conflict,
                Some(claim) => {
                    let claim = Claim { finalizers: finalizers.clone(), ..claim.clone() };
                    Outcome::Claim(Box::new(self.put_claim(claim)))
                }
            },
            Action::PatchClassStatus { name, status } => self.write_class_status(name, status),
            Action::Tell(_) | Action::Audit(_) => Outcome::Done,
        }
    }

    fn precondition(&self, port: Port, uid: &Uid, version: Version) -> Result<HostPort, Outcome> {
        match self.hostports.get(&port) {
            None => Err(Outcome::NotFound),
            Some(it) if it.uid != *uid || it.version != version => Err(Outcome::Conflict),
            Some(it) => Ok(it.clone()),
        }
    }

    fn create_hostport(&mut self, new: &NewHostPort) -> Outcome {
        if self.hostports.contains_key(&new.port) {
            return Outcome::Exists;
        }
        if new.class.is_empty() {
            return self.refuse(format!("HostPort {} without a class", new.port));
        }
        let hostport = HostPort {
            port: new.port,
            uid: self.new_uid("hp"),
            version: Version(0),
            class: new.class.clone(),
            holder: Some(Holder { key: new.key.clone(), uid: new.uid.clone() }),
            phase: HostPortPhase::Bound,
            policy: new.policy,
            reuse_delay: None,
            released_at: None,
            held_by: None,
        };
        Outcome::HostPort(Box::new(self.put_hostport(hostport)))
    }

    fn patch_hostport(&mut self, before: &HostPort, change: &HostPortChange) -> Outcome {
        let mut after = HostPort { phase: change.phase(), ..before.clone() };
        match change {
            HostPortChange::Bind { key, uid } => {
                after.holder = Some(Holder { key: key.clone(), uid: uid.clone() });
                (after.released_at, after.reuse_delay, after.held_by) = (None, None, None);
            }
            HostPortChange::Release { released_at, reuse_delay, held_by } => {
                after.released_at = Some(*released_at);
                after.reuse_delay = Some(std::time::Duration::from_millis(*reuse_delay));
                after.held_by = held_by.clone();
            }
            HostPortChange::Hold { by } => after.held_by = Some(by.clone()),
            HostPortChange::Clear => {
                (after.holder, after.released_at, after.reuse_delay, after.held_by) =
                    (None, None, None, None);
            }
        }
        match broken_rule(before, &after) {
            Some(rule) => self.refuse(format!("HostPort {}: {rule}", after.port)),
            None => Outcome::HostPort(Box::new(self.put_hostport(after))),
        }
    }

    fn refuse(&mut self, words: String) -> Outcome {
        self.refused.push(words.clone());
        Outcome::Refused(words)
    }

    fn write_claim_status(&mut self, key: &Key, status: ClaimStatus) -> Outcome {
        let claim = &self.claims[key];
        if status.digest() == claim.status_digest {
            return Outcome::Claim(Box::new(claim.clone())); // Nothing changes, no new revision.
        }
        let claim = with_status(claim.clone(), &status);
        self.claim_status.insert(key.clone(), status);
        Outcome::Claim(Box::new(self.put_claim(claim)))
    }

    fn write_class_status(&mut self, name: &Arc<str>, status: &ClassStatus) -> Outcome {
        let Some(class) = self.classes.get(name) else { return Outcome::NotFound };
        let mut class = class.clone();
        if class.status_digest != status.digest() {
            class.status_digest = status.digest();
            let times = status.conditions.iter().zip(&status.since);
            class.conditions = times
                .map(|(it, since)| (Arc::from(it.kind), Ready { status: it.status, since: *since }))
                .collect();
            self.class_status.insert(name.clone(), status.clone());
            class = self.put_class(class);
        }
        Outcome::Class(Box::new(class))
    }

    pub fn new_uid(&mut self, kind: &str) -> Uid {
        self.made += 1;
        format!("{kind}{}", self.made).into()
    }

    pub fn bump(&mut self) -> Version {
        self.revision += 1;
        Version(self.revision)
    }

    /// Stores a claim; one whose deletion has begun and that has no finalizers is gone.
    pub fn put_claim(&mut self, mut claim: Claim) -> Claim {
        claim.version = self.bump();
        let key = claim.key.clone();
        let before = if claim.deleting && claim.finalizers.is_empty() {
            self.claim_status.remove(&key);
            let before = self.claims.remove(&key);
            self.changes.push(Changed::Claim(Some(claim.clone()), None));
            return before.map_or(claim.clone(), |_| claim);
        } else {
            self.claims.insert(key, claim.clone())
        };
        self.changes.push(Changed::Claim(before, Some(claim.clone())));
        claim
    }

    pub fn put_hostport(&mut self, mut hostport: HostPort) -> HostPort {
        hostport.version = self.bump();
        let before = self.hostports.insert(hostport.port, hostport.clone());
        self.changes.push(Changed::HostPort(before, Some(hostport.clone())));
        hostport
    }

    pub fn remove_hostport(&mut self, port: Port) {
        if let Some(before) = self.hostports.remove(&port) {
            let version = self.bump();
            self.changes.push(Changed::HostPort(Some(HostPort { version, ..before }), None));
        }
    }

    pub fn put_class(&mut self, mut class: Class) -> Class {
        class.version = self.bump();
        let before = self.classes.insert(class.name.clone(), class.clone());
        self.changes.push(Changed::Class(before, Some(class.clone())));
        class
    }

    /// The namespaces and names of the pods that carry a number.
    pub fn carriers(&self, port: Port) -> BTreeSet<&Key> {
        self.pods.values().filter(|pod| pod.ports.contains(&port)).map(|pod| &pod.key).collect()
    }

    /// Someone outside the namespace uses the number.
    pub fn is_foreign(&self, port: Port, namespace: &str) -> bool {
        self.services.values().any(|service| service.ports.contains(&port))
            || self.carriers(port).iter().any(|pod| &*pod.namespace != namespace)
    }

    /// A listing of everything of each kind, as a watch tells it.
    pub fn listing(&self, kind: usize) -> Vec<Event> {
        fn all<T: Clone>(objects: impl Iterator<Item = T>, event: fn(Change<T>) -> Event) -> Vec<Event> {
            let listed = objects.map(|object| event(Change::Listed(object)));
            std::iter::once(event(Change::Listing)).chain(listed).chain([event(Change::ListDone)]).collect()
        }
        match kind {
            0 => all(self.claims.values().cloned(), Event::Claim),
            1 => all(self.hostports.values().cloned(), Event::HostPort),
            2 => all(self.pods.values().cloned(), Event::Pod),
            3 => all(self.services.values().cloned(), Event::Service),
            _ => all(self.classes.values().cloned(), Event::Class),
        }
    }
}

impl Changed {
    /// The kind, as in [`Server::listing`], and what a watch tells.
    pub fn event(&self) -> (usize, Event) {
        fn of<T: Clone>(before: Option<&T>, after: Option<&T>) -> Change<T> {
            match (before, after) {
                (_, Some(after)) => Change::Applied(after.clone()),
                (Some(before), None) => Change::Deleted(before.clone()),
                (None, None) => unreachable!("nothing changed"),
            }
        }
        match self {
            Changed::Claim(before, after) => (0, Event::Claim(of(before.as_ref(), after.as_ref()))),
            Changed::HostPort(before, after) => (1, Event::HostPort(of(before.as_ref(), after.as_ref()))),
            Changed::Pod(before, after) => (2, Event::Pod(of(before.as_ref(), after.as_ref()))),
            Changed::Service(before, after) => (3, Event::Service(of(before.as_ref(), after.as_ref()))),
            Changed::Class(before, after) => (4, Event::Class(of(before.as_ref(), after.as_ref()))),
        }
    }
}

/// The claim with this status stored.
pub fn with_status(claim: Claim, status: &ClaimStatus) -> Claim {
    let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
    Claim {
        phase: status.phase,
        port: status.port,
        used_class: status.class.clone(),
        ready: ready.map(|ready| Ready { status: ready.status, since: status.ready_since }),
        status_digest: status.digest(),
        ..claim
    }
}

/// The status that the schema's default gives a claim that nobody has looked at.
pub fn first_status() -> ClaimStatus {
    let waiting = Condition {
        kind: "Ready",
        status: Truth::Unknown,
        reason: "WaitingForController",
        message: "The hostport controller has not seen this claim yet.".to_owned(),
    };
    ClaimStatus {
        generation: -1,
        phase: ClaimPhase::Pending,
        class: None,
        port: None,
        conditions: vec![waiting],
        ready_since: 0,
    }
}

/// The CEL rules of `crates/crds/src/hostport.rs`.
pub fn broken_rule(before: &HostPort, after: &HostPort) -> Option<&'static str> {
    let consistent = match (&after.holder, after.released_at) {
        (Some(_), Some(_)) => after.phase == HostPortPhase::Released,
        (Some(_), None) => after.phase == HostPortPhase::Bound,
        (None, _) => after.phase != HostPortPhase::Bound,
    };
    match (&before.holder, &after.holder) {
        _ if !consistent => Some("phase says what the other fields say"),
        (Some(_), None) if before.phase != HostPortPhase::Released => {
            Some("a claimRef can be cleared only while the HostPort is Released")
        }
        (Some(old), Some(new)) if old.key != new.key => Some("a granted HostPort stays with its claim"),
        _ => None,
    }
}

fn claim_or_404(claim: Option<&Claim>) -> Outcome {
    claim.map_or(Outcome::NotFound, |claim| Outcome::Claim(Box::new(claim.clone())))
}

fn hostport_or_404(hostport: Option<&HostPort>) -> Outcome {
    hostport.map_or(Outcome::NotFound, |hostport| Outcome::HostPort(Box::new(hostport.clone())))
}
