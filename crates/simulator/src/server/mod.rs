//! A model of the API server: one store, one revision counter, uids that are never used twice, finalizers, the
//! changes that watches tell of. `requests` is what controllers ask of it; what people do is in `people`.

mod requests;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
    sync::Arc,
};

use allocator::{Port, Spot};
use reconciler::{
    seen::{
        Change, Claim, Class, Event, HostPort, Key, Labels, Namespace, Pod, Quota, Service, Uid, Version,
    },
    text::{ClaimStatus, ClassStatus},
};

pub use self::{
    requests::broken_rule,
    status::{first_status, with_status},
};

/// The kinds that are watched, each by a stream of its own.
pub const KINDS: [&str; 7] = ["claims", "HostPorts", "pods", "Services", "classes", "namespaces", "quotas"];

/// How many timelines a store can have: a restore begins a new one.
const TIMELINES: u64 = 10;
/// By how much a restore brings the revisions upwards.
const BUMP: u64 = 1000;

/// What became of an object: before and after.
#[derive(Clone, Debug)]
pub enum Changed {
    Claim(Option<Claim>, Option<Claim>),
    HostPort(Option<HostPort>, Option<HostPort>),
    Pod(Option<Pod>, Option<Pod>),
    Service(Option<Service>, Option<Service>),
    Class(Option<Class>, Option<Class>),
    Namespace(Option<Namespace>, Option<Namespace>),
    Quota(Option<Quota>, Option<Quota>),
}

/// What a backup of the store has in it.
#[derive(Clone, Default)]
pub struct Store {
    revision: u64,
    pub claims: BTreeMap<Key, Claim>,
    pub claim_status: BTreeMap<Key, ClaimStatus>,
    pub hostports: BTreeMap<Spot, HostPort>,
    pub pods: BTreeMap<Key, Pod>,
    pub services: BTreeMap<Key, Service>,
    pub classes: BTreeMap<Arc<str>, Class>,
    pub class_status: BTreeMap<Arc<str>, ClassStatus>,
    pub namespaces: BTreeMap<Arc<str>, Namespace>,
    pub quotas: BTreeMap<Key, Quota>,
}

pub struct Server {
    store: Store,
    /// The true time, milliseconds since the epoch.
    pub now: i64,
    /// What watches have not been told of yet.
    pub changes: Vec<Changed>,
    /// Writes that a validation rule refused.
    pub refused: Vec<String>,
    made: u64,
    timeline: u64,
}

impl Deref for Server {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Store {
        &mut self.store
    }
}

impl Server {
    pub fn new() -> Self {
        let mut store = Store::default();
        for name in ["shop", "voice", "web", "kube-system"] {
            store.namespaces.insert(name.into(), Namespace { name: name.into(), labels: Labels::new() });
        }
        let (changes, refused) = (Vec::new(), Vec::new());
        Self { store, now: 1_700_000_000_000, changes, refused, made: 0, timeline: 0 }
    }

    pub fn backup(&self) -> Store {
        self.store.clone()
    }

    /// The store is as it was. Its revisions are lower, and none of them is one that was given out before (a chance
    /// meeting of versions of two timelines is not modelled); or, `bumped`, they go on above all that were given out.
    pub fn restore(&mut self, backup: Store, bumped: bool) {
        let newest = self.store.revision;
        self.store = backup;
        if bumped {
            self.store.revision = newest + BUMP;
        } else {
            self.timeline = (self.timeline + 1) % TIMELINES;
        }
    }

    /// Moves with every write.
    pub fn revision(&self) -> u64 {
        self.store.revision
    }

    pub fn new_uid(&mut self, kind: &str) -> Uid {
        self.made += 1;
        format!("{kind}{}", self.made).into()
    }

    pub fn bump(&mut self) -> Version {
        self.store.revision += 1;
        Version(self.store.revision * TIMELINES + self.timeline)
    }

    /// Stores a claim; one whose deletion has begun and that has no finalizers is gone.
    pub fn put_claim(&mut self, mut claim: Claim) -> Claim {
        claim.version = self.bump();
        let key = claim.key.clone();
        let before = if claim.deleting && claim.finalizers.is_empty() {
            self.claim_status.remove(&key);
            let before = self.claims.remove(&key);
            debug_assert!(before.is_some(), "deletion begins with an object that is stored");
            self.changes.push(Changed::Claim(Some(claim.clone()), None));
            return claim;
        } else {
            self.claims.insert(key, claim.clone())
        };
        self.changes.push(Changed::Claim(before, Some(claim.clone())));
        claim
    }

    pub fn put_hostport(&mut self, mut hostport: HostPort) -> HostPort {
        hostport.version = self.bump();
        let before = self.hostports.insert(hostport.spot, hostport.clone());
        self.changes.push(Changed::HostPort(before, Some(hostport.clone())));
        hostport
    }

    pub fn remove_hostport(&mut self, spot: Spot) {
        if let Some(before) = self.hostports.remove(&spot) {
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

    /// Pods that carry the number for no claim that a slot of it stands for.
    pub fn strangers(&self, port: Port) -> impl Iterator<Item = &Key> {
        let served = move |pod: &Pod| {
            let key = pod
                .serves(port)
                .map(|claim| Key { namespace: pod.key.namespace.clone(), name: claim.clone() });
            key.is_some_and(|key| self.slots(port).any(|it| it.claim_key() == Some(&key)))
        };
        let strange = move |pod: &&Pod| pod.ports.contains(&port) && !served(pod);
        self.pods.values().filter(strange).map(|pod| &pod.key)
    }

    /// The slots of the number that stand.
    pub fn slots(&self, port: Port) -> impl Iterator<Item = &HostPort> {
        self.hostports.range(Spot::slot_of(port, 0)..=Spot::slot_of(port, u32::MAX)).map(|(_, it)| it)
    }

    /// The other form of the name stands.
    pub fn other_form_stands(&self, spot: Spot) -> bool {
        match spot.is_whole() {
            true => self.slots(spot.port()).next().is_some(),
            false => self.hostports.contains_key(&spot.port().into()),
        }
    }

    /// A pod of its namespace uses the HostPort; of a slot: for its claim.
    pub fn is_used(&self, it: &HostPort) -> bool {
        let port = it.spot.port();
        let uses = |pod: &Pod| {
            let claim = it.claim_key();
            claim.is_some_and(|key| {
                key.namespace == pod.key.namespace
                    && (it.spot.is_whole() || pod.serves(port) == Some(&key.name))
            })
        };
        self.pods.values().any(|pod| pod.ports.contains(&port) && uses(pod))
    }

    /// Someone outside the namespace uses the number.
    pub fn is_foreign(&self, spot: Spot, namespace: &str) -> bool {
        let port = spot.port();
        if self.services.values().any(|service| service.ports.contains(&port)) {
            return true;
        }
        if !spot.is_whole() {
            return self.strangers(port).any(|pod| *pod.namespace != *namespace);
        }
        let mut others = self.pods.values().filter(|pod| &*pod.key.namespace != namespace);
        others.any(|pod| pod.ports.contains(&port))
    }

    /// Tells everything of a kind, as a watch that begins does.
    pub fn list(&self, kind: usize, tell: impl FnMut(Event)) {
        fn all<T: Clone>(
            objects: impl Iterator<Item = T>,
            event: fn(Change<T>) -> Event,
            mut tell: impl FnMut(Event),
        ) {
            tell(event(Change::Listing));
            objects.for_each(|object| tell(event(Change::Listed(object))));
            tell(event(Change::ListDone));
        }
        match kind {
            0 => all(self.claims.values().cloned(), Event::Claim, tell),
            1 => all(self.hostports.values().cloned(), Event::HostPort, tell),
            2 => all(self.pods.values().cloned(), Event::Pod, tell),
            3 => all(self.services.values().cloned(), Event::Service, tell),
            4 => all(self.classes.values().cloned(), Event::Class, tell),
            5 => all(self.namespaces.values().cloned(), Event::Namespace, tell),
            _ => all(self.quotas.values().cloned(), Event::Quota, tell),
        }
    }
}

impl Changed {
    /// The kind, as in [`Server::list`], and what a watch tells.
    pub fn into_event(self) -> (usize, Event) {
        fn of<T>(before: Option<T>, after: Option<T>) -> Change<T> {
            match (before, after) {
                (_, Some(after)) => Change::Applied(after),
                (Some(before), None) => Change::Deleted(before),
                (None, None) => unreachable!("nothing changed"),
            }
        }
        match self {
            Changed::Claim(before, after) => (0, Event::Claim(of(before, after))),
            Changed::HostPort(before, after) => (1, Event::HostPort(of(before, after))),
            Changed::Pod(before, after) => (2, Event::Pod(of(before, after))),
            Changed::Service(before, after) => (3, Event::Service(of(before, after))),
            Changed::Class(before, after) => (4, Event::Class(of(before, after))),
            Changed::Namespace(before, after) => (5, Event::Namespace(of(before, after))),
            Changed::Quota(before, after) => (6, Event::Quota(of(before, after))),
        }
    }
}
