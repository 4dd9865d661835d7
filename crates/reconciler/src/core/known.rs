//! What is known of the cluster, with the indexes that decisions need. Applies changes and notes what they
//! touch; decides nothing.

mod claims;
mod classes;
mod hostports;
mod listing;
mod slots;
mod tenants;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::HashMap;

use allocator::{Counts, Ledger, Port, Spot};

pub(super) use self::slots::labelled;
use self::{
    listing::{Graves, Listing},
    slots::Slots,
};
use crate::{
    action::{Action, ActionId},
    seen::{Claim, Class, Event, HostPort, Key, Labels, Uid},
};

/// What a change may have changed for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// This claim.
    Claim(Key),
    /// This number: its HostPort, who carries it, who is promised it.
    Spot(Spot),
    /// The counts or the stored status of this class.
    ClassStatus(Arc<str>),
    /// The classes there are, or what they hand out.
    Classes,
    /// The labels of this namespace, or its quotas.
    Namespace(Arc<str>),
    /// How much of this class this namespace has or may have.
    Room(Arc<str>, Arc<str>),
}

/// What a pod carries, and for which claims of scope Node.
#[derive(Clone, Debug, Default, PartialEq)]
struct Carried {
    ports: Box<[Port]>,
    serves: Box<[(Port, Arc<str>)]>,
}

pub(super) struct Known {
    pub(super) ledger: Ledger,
    pub(super) touched: Vec<Touch>,
    claims: HashMap<Key, Claim>,
    hostports: HashMap<Spot, HostPort>,
    classes: BTreeMap<Arc<str>, Class>,
    pods: HashMap<Key, Carried>,
    services: HashMap<Key, Box<[Port]>>,
    namespaces: HashMap<Arc<str>, Labels>,
    quotas: BTreeMap<Key, Vec<(Arc<str>, usize)>>,

    claim_list: Listing<Key>,
    hostport_list: Listing<Spot>,
    class_list: Listing<Arc<str>>,
    pod_list: Listing<Key>,
    service_list: Listing<Key>,
    namespace_list: Listing<Arc<str>>,
    quota_list: Listing<Key>,
    dead_claims: Graves<Key>,
    dead_hostports: Graves<Spot>,
    dead_classes: Graves<Arc<str>>,
    /// A listing showed an object whose end its watch had told of before.
    pub(super) rewound: bool,
    /// Reads of what a listing showed older than it is known.
    pub(super) doubts: Vec<Action>,
    /// The same of classes: their status is to be written, as it is, which shows them.
    pub(super) doubted_classes: BTreeSet<Arc<str>>,
    /// The next request's id: what is asked from now on is answered from what is stored from now on.
    next: ActionId,

    /// HostPorts by the name of the claim in their claimRef.
    spots_of: HashMap<Key, Vec<Spot>>,
    /// Claims whose status, Bound or Lost, names a number.
    named: HashMap<Spot, Vec<Key>>,
    /// Available HostPorts by class.
    available: BTreeMap<Arc<str>, BTreeSet<Spot>>,
    /// Live pods by the numbers that they carry.
    carriers: HashMap<Port, BTreeSet<Key>>,
    slots: Slots,
    /// How many Services take a number.
    node_ports: HashMap<Port, usize>,
    pending: BTreeSet<Key>,
    lost: BTreeSet<Key>,
    /// Numbers that a decision under way counts on, by the class and the namespace they are counted for.
    assumed: HashMap<Spot, (Arc<str>, Arc<str>)>,
    /// Numbers that a namespace has or is about to get, by the class and the namespace they are counted for.
    counted: HashMap<Spot, (Arc<str>, Arc<str>)>,
    /// How many these are.
    usage: HashMap<(Arc<str>, Arc<str>), usize>,
}

impl Known {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            ledger: Ledger::with_seed(seed),
            touched: Vec::new(),
            claims: HashMap::default(),
            hostports: HashMap::default(),
            classes: BTreeMap::new(),
            pods: HashMap::default(),
            services: HashMap::default(),
            namespaces: HashMap::default(),
            quotas: BTreeMap::new(),
            claim_list: Listing::default(),
            hostport_list: Listing::default(),
            class_list: Listing::default(),
            pod_list: Listing::default(),
            service_list: Listing::default(),
            namespace_list: Listing::default(),
            quota_list: Listing::default(),
            dead_claims: Graves::default(),
            dead_hostports: Graves::default(),
            dead_classes: Graves::default(),
            rewound: false,
            doubts: Vec::new(),
            doubted_classes: BTreeSet::new(),
            next: ActionId(0),
            spots_of: HashMap::default(),
            named: HashMap::default(),
            available: BTreeMap::new(),
            carriers: HashMap::default(),
            slots: Slots::default(),
            node_ports: HashMap::default(),
            pending: BTreeSet::new(),
            lost: BTreeSet::new(),
            assumed: HashMap::default(),
            counted: HashMap::default(),
            usage: HashMap::default(),
        }
    }

    /// Every kind has been listed once: decisions may begin.
    pub(super) fn is_complete(&self) -> bool {
        self.claim_list.complete
            && self.hostport_list.complete
            && self.class_list.complete
            && self.pod_list.complete
            && self.service_list.complete
            && self.namespace_list.complete
            && self.quota_list.complete
    }

    pub(super) fn claim(&self, key: &Key) -> Option<&Claim> {
        self.claims.get(key)
    }

    pub(super) fn hostport(&self, spot: Spot) -> Option<&HostPort> {
        self.hostports.get(&spot)
    }

    pub(super) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    pub(super) fn class_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.classes.keys()
    }

    /// The class of claims that name none: of the default classes that admit the namespace the newest, ties by
    /// name.
    pub(super) fn default_class(&self, namespace: &str) -> Option<&Class> {
        self.classes
            .values()
            .filter(|class| class.is_default && self.admits(class, namespace) != Some(false))
            .max_by(|a, b| a.created.cmp(&b.created).then_with(|| b.name.cmp(&a.name)))
    }

    /// HostPorts whose claimRef has this namespace and name, lowest first.
    pub(super) fn spots_of(&self, key: &Key) -> Vec<Spot> {
        let mut spots = self.spots_of.get(key).cloned().unwrap_or_default();
        spots.sort_unstable();
        spots
    }

    /// The lowest HostPort that is kept for this claim.
    pub(super) fn kept_for(&self, key: &Key) -> Option<&HostPort> {
        let spots = self.spots_of.get(key).into_iter().flatten();
        let kept = spots.filter_map(|spot| self.hostports.get(spot)).filter(|it| it.kept_for.is_some());
        kept.min_by_key(|hostport| hostport.spot)
    }

    /// Claims whose status names this number.
    pub(super) fn named(&self, spot: Spot) -> &[Key] {
        self.named.get(&spot).map_or(&[], Vec::as_slice)
    }

    /// What the class has; it can grant its Available HostPorts as well as what no HostPort holds.
    pub(super) fn counts(&self, class: &str) -> Counts {
        let counts = self.ledger.counts(class);
        Counts { free: counts.free + self.available.get(class).map_or(0, BTreeSet::len), ..counts }
    }

    pub(super) fn available(&self, class: &str) -> impl Iterator<Item = Spot> {
        self.available.get(class).into_iter().flatten().copied()
    }

    /// Those of one number: itself, or its slots.
    pub(super) fn available_of(&self, class: &str, port: Port) -> impl Iterator<Item = Spot> {
        let first = Spot::whole(port);
        let from = self.available.get(class).into_iter().flat_map(move |spots| spots.range(first..));
        from.copied().take_while(move |spot| spot.port() == port)
    }

    /// A live pod of this namespace that carries the number, the first by name.
    pub(super) fn carrier_in(&self, port: Port, namespace: &str) -> Option<&Key> {
        self.carriers.get(&port)?.iter().find(|pod| &*pod.namespace == namespace)
    }

    /// Someone outside this namespace uses the number: a pod, or a Service anywhere.
    pub(super) fn foreign_to(&self, spot: Spot, namespace: &str) -> bool {
        let port = spot.port();
        if !spot.is_whole() {
            return self.node_ports.contains_key(&port) || self.has_strangers_outside(port, namespace);
        }
        self.node_ports.contains_key(&port)
            || self
                .carriers
                .get(&port)
                .is_some_and(|pods| pods.iter().any(|pod| &*pod.namespace != namespace))
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Key> {
        self.pending.iter()
    }

    /// The pending claims of one namespace.
    pub(super) fn pending_in(&self, namespace: &Arc<str>) -> Vec<Key> {
        let from = Key { namespace: namespace.clone(), name: "".into() };
        self.pending.range(from..).take_while(|key| key.namespace == *namespace).cloned().collect()
    }

    /// The lost claims of one namespace.
    pub(super) fn lost_in(&self, namespace: &Arc<str>) -> Vec<Key> {
        let from = Key { namespace: namespace.clone(), name: "".into() };
        self.lost.range(from..).take_while(|key| key.namespace == *namespace).cloned().collect()
    }

    pub(super) fn lost(&self) -> impl Iterator<Item = &Key> {
        self.lost.iter()
    }

    /// Counts on the number until [`Known::unassume`]: a grant of it is being decided.
    pub(super) fn assume(&mut self, spot: Spot, class: Arc<str>, namespace: Arc<str>) {
        self.assumed.insert(spot, (class, namespace));
        self.enter(spot);
    }

    pub(super) fn unassume(&mut self, spot: Spot) {
        let class = self.assumed.remove(&spot);
        self.enter(spot);
        // It was counted for this class, which may not own the number.
        self.touched.extend(class.map(|(class, _)| Touch::ClassStatus(class)));
        self.touched.push(Touch::Spot(spot));
    }

    /// Touches everything, in an order that does not depend on how it came.
    pub(super) fn touch_all(&mut self) {
        let mut spots: Vec<_> = self.hostports.keys().copied().collect();
        spots.sort_unstable();
        let mut claims: Vec<_> = self.claims.keys().cloned().collect();
        claims.sort_unstable();
        self.touched.push(Touch::Classes);
        self.touched.extend(self.classes.keys().cloned().map(Touch::ClassStatus));
        self.touched.extend(spots.into_iter().map(Touch::Spot));
        self.touched.extend(claims.into_iter().map(Touch::Claim));
    }

    /// Requests from this one on are answered from what is stored now; the oldest not answered yet is this.
    pub(super) fn requests(&mut self, next: ActionId, oldest: ActionId) {
        self.next = next;
        self.dead_claims.close(oldest);
        self.dead_hostports.close(oldest);
        self.dead_classes.close(oldest);
    }

    /// This object was known to be gone when this request was asked for.
    pub(super) fn was_buried_before(&self, uid: &Uid, asked: ActionId) -> bool {
        let claim = self.dead_claims.held_since(uid);
        let dead = claim.or(self.dead_hostports.held_since(uid)).or(self.dead_classes.held_since(uid));
        dead.is_some_and(|next| next <= asked)
    }

    #[cfg(test)]
    pub(super) fn remembers_no_dead(&self) -> bool {
        self.dead_claims.is_empty() && self.dead_hostports.is_empty() && self.dead_classes.is_empty()
    }

    /// Takes a change in.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Claim(change) => self.apply_claim(change),
            Event::HostPort(change) => self.apply_hostport(change),
            Event::Class(change) => self.apply_class(change),
            Event::Pod(change) => self.apply_pod(change),
            Event::Service(change) => self.apply_service(change),
            Event::Namespace(change) => self.apply_namespace(change),
            Event::Quota(change) => self.apply_quota(change),
        }
    }
}
