//! What is known of the cluster, with the indexes that decisions need. Applies changes and notes what they
//! touch; decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::Arc,
};

use allocator::{ClassSpec, Hold, Ledger, Port};
use crds::{ClaimPhase, HostPortPhase, Strategy};

use crate::{
    action::ActionId,
    seen::{Change, Claim, Class, Event, HostPort, Key, Pod, Service, Uid},
};

/// What a change may have changed for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// This claim.
    Claim(Key),
    /// This number: its HostPort, who carries it, who is promised it.
    Port(Port),
    /// The counts or the stored status of this class.
    ClassStatus(Arc<str>),
    /// The classes there are, or what they hand out.
    Classes,
}

/// A listing under way, and whether there has been a complete one.
#[derive(Debug)]
struct Listing<K> {
    names: HashSet<K>,
    complete: bool,
    /// A reply to an earlier request may show an object whose end the listing has passed over.
    since: ActionId,
}

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self { names: HashSet::new(), complete: false, since: ActionId(0) }
    }
}

/// Objects that this process knows to be gone, while a watch or the reply to an earlier request may still tell
/// of them. A uid never comes back.
#[derive(Debug)]
struct Graves<K> {
    keys: HashMap<Uid, K>,
    /// The watch has told of their end: when every request before this one is answered, nobody else will.
    told: VecDeque<(ActionId, Uid)>,
}

impl<K> Default for Graves<K> {
    fn default() -> Self {
        Self { keys: HashMap::new(), told: VecDeque::new() }
    }
}

impl<K: Hash + Eq> Graves<K> {
    fn hold(&self, uid: &Uid) -> bool {
        self.keys.contains_key(uid)
    }

    /// A read has shown that it is gone; its watch will say so.
    fn dig(&mut self, key: K, uid: Uid) {
        self.keys.insert(uid, key);
    }

    /// Its watch has told of its end.
    fn tell(&mut self, key: K, uid: Uid, next: ActionId) {
        self.told.push_back((next, uid.clone()));
        self.keys.insert(uid, key);
    }

    /// A listing is complete: its watch will not tell of those whose name is not in it.
    fn tell_all(&mut self, names: &HashSet<K>, next: ActionId) {
        let gone =
            self.keys.iter().filter(|(_, key)| !names.contains(*key)).map(|(uid, _)| (next, uid.clone()));
        self.told.extend(gone);
    }

    fn close(&mut self, oldest: ActionId) {
        while let Some((_, uid)) = self.told.pop_front_if(|(next, _)| *next <= oldest) {
            self.keys.remove(&uid);
        }
    }
}

pub(super) struct Known {
    pub(super) ledger: Ledger,
    pub(super) touched: Vec<Touch>,
    claims: HashMap<Key, Claim>,
    hostports: HashMap<Port, HostPort>,
    classes: BTreeMap<Arc<str>, Class>,
    pods: HashMap<Key, Box<[Port]>>,
    services: HashMap<Key, Box<[Port]>>,

    claim_list: Listing<Key>,
    hostport_list: Listing<Port>,
    class_list: Listing<Arc<str>>,
    pod_list: Listing<Key>,
    service_list: Listing<Key>,
    dead_claims: Graves<Key>,
    dead_hostports: Graves<Port>,
    dead_classes: Graves<Arc<str>>,
    /// The next request's id: what is asked from now on is answered from what is stored from now on.
    next: ActionId,

    /// HostPorts by the name of the claim in their claimRef.
    ports_of: HashMap<Key, Vec<Port>>,
    /// Claims whose status, Bound or Lost, names a number.
    named: HashMap<Port, Vec<Key>>,
    /// Available HostPorts by class.
    available: BTreeMap<Arc<str>, BTreeSet<Port>>,
    /// Live pods by the numbers that they carry.
    carriers: HashMap<Port, BTreeSet<Key>>,
    /// How many Services take a number.
    node_ports: HashMap<Port, usize>,
    pending: BTreeSet<Key>,
    lost: BTreeSet<Key>,
    /// Numbers that a decision under way counts on, by the class they are counted for.
    assumed: HashMap<Port, Arc<str>>,
}

impl Known {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            ledger: Ledger::with_seed(seed),
            touched: Vec::new(),
            claims: HashMap::new(),
            hostports: HashMap::new(),
            classes: BTreeMap::new(),
            pods: HashMap::new(),
            services: HashMap::new(),
            claim_list: Listing::default(),
            hostport_list: Listing::default(),
            class_list: Listing::default(),
            pod_list: Listing::default(),
            service_list: Listing::default(),
            dead_claims: Graves::default(),
            dead_hostports: Graves::default(),
            dead_classes: Graves::default(),
            next: ActionId(0),
            ports_of: HashMap::new(),
            named: HashMap::new(),
            available: BTreeMap::new(),
            carriers: HashMap::new(),
            node_ports: HashMap::new(),
            pending: BTreeSet::new(),
            lost: BTreeSet::new(),
            assumed: HashMap::new(),
        }
    }

    /// Every kind has been listed once: decisions may begin.
    pub(super) fn is_complete(&self) -> bool {
        self.claim_list.complete
            && self.hostport_list.complete
            && self.class_list.complete
            && self.pod_list.complete
            && self.service_list.complete
    }

    pub(super) fn claim(&self, key: &Key) -> Option<&Claim> {
        self.claims.get(key)
    }

    pub(super) fn hostport(&self, port: Port) -> Option<&HostPort> {
        self.hostports.get(&port)
    }

    pub(super) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    pub(super) fn class_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.classes.keys()
    }

    /// The class of claims that name none: the newest of the default classes, ties by name.
    pub(super) fn default_class(&self) -> Option<&Class> {
        self.classes
            .values()
            .filter(|class| class.is_default)
            .max_by(|a, b| a.created.cmp(&b.created).then_with(|| b.name.cmp(&a.name)))
    }

    /// HostPorts whose claimRef has this namespace and name, lowest first.
    pub(super) fn ports_of(&self, key: &Key) -> Vec<Port> {
        let mut ports = self.ports_of.get(key).cloned().unwrap_or_default();
        ports.sort_unstable();
        ports
    }

    /// Claims whose status names this number.
    pub(super) fn named(&self, port: Port) -> &[Key] {
        self.named.get(&port).map_or(&[], Vec::as_slice)
    }

    pub(super) fn available(&self, class: &str) -> impl Iterator<Item = Port> {
        self.available.get(class).into_iter().flatten().copied()
    }

    /// A live pod of this namespace that carries the number, the first by name.
    pub(super) fn carrier_in(&self, port: Port, namespace: &str) -> Option<&Key> {
        self.carriers.get(&port)?.iter().find(|pod| &*pod.namespace == namespace)
    }

    /// Someone outside this namespace uses the number: a pod, or a Service anywhere.
    pub(super) fn foreign_to(&self, port: Port, namespace: &str) -> bool {
        self.node_ports.contains_key(&port)
            || self
                .carriers
                .get(&port)
                .is_some_and(|pods| pods.iter().any(|pod| &*pod.namespace != namespace))
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Key> {
        self.pending.iter()
    }

    pub(super) fn lost(&self) -> impl Iterator<Item = &Key> {
        self.lost.iter()
    }

    /// Counts on the number until [`Known::unassume`]: a grant of it is being decided.
    pub(super) fn assume(&mut self, port: Port, class: Arc<str>) {
        self.assumed.insert(port, class);
        self.enter(port);
    }

    pub(super) fn unassume(&mut self, port: Port) {
        let class = self.assumed.remove(&port);
        self.enter(port);
        // It was counted for this class, which may not own the number.
        self.touched.extend(class.map(Touch::ClassStatus));
        self.touched.push(Touch::Port(port));
    }

    /// Requests from this one on are answered from what is stored now; the oldest not answered yet is this.
    pub(super) fn requests(&mut self, next: ActionId, oldest: ActionId) {
        self.next = next;
        self.dead_claims.close(oldest);
        self.dead_hostports.close(oldest);
        self.dead_classes.close(oldest);
    }

    /// Takes a change in.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Claim(change) => self.apply_claim(change),
            Event::HostPort(change) => self.apply_hostport(change),
            Event::Class(change) => self.apply_class(change),
            Event::Pod(change) => self.apply_pod(change),
            Event::Service(change) => self.apply_service(change),
        }
    }

    fn apply_claim(&mut self, change: Change<Claim>) {
        match change {
            Change::Listing => self.claim_list.names.clear(),
            Change::Listed(claim) => {
                self.claim_list.names.insert(claim.key.clone());
                self.put_claim(claim);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.claim_list.names);
                let gone = self.claims.values().filter(|claim| !names.contains(&claim.key));
                let mut gone: Vec<_> = gone.map(|claim| (claim.key.clone(), claim.uid.clone())).collect();
                gone.sort_unstable();
                gone.iter().for_each(|(key, uid)| self.remove_claim(key, uid));
                self.dead_claims.tell_all(&names, self.next);
                (self.claim_list.complete, self.claim_list.since) = (true, self.next);
            }
            Change::Applied(claim) => self.put_claim(claim),
            Change::Deleted(claim) => {
                self.remove_claim(&claim.key, &claim.uid);
                self.dead_claims.tell(claim.key, claim.uid, self.next);
            }
        }
    }

    /// The claim as the reply to this request showed it.
    pub(super) fn learn_claim(&mut self, claim: Claim, asked: ActionId) {
        let known = self.claims.get(&claim.key).is_some_and(|known| known.uid == claim.uid);
        if known || asked >= self.claim_list.since {
            self.put_claim(claim);
        }
    }

    /// The claim as a watch, a read or our own write showed it. An older sight of it changes nothing.
    fn put_claim(&mut self, claim: Claim) {
        if self.dead_claims.hold(&claim.uid) {
            return;
        }
        if self.claims.get(&claim.key).is_some_and(|known| known.version >= claim.version) {
            return;
        }
        let key = claim.key.clone();
        let before = self.claims.insert(key.clone(), claim);
        self.index_claim(&key, before.as_ref());
    }

    /// This very claim is gone, a read has shown it; what watches still tell of it is old.
    pub(super) fn bury_claim(&mut self, key: &Key, uid: &Uid) {
        if self.claims.get(key).is_some_and(|known| known.uid == *uid) {
            self.dead_claims.dig(key.clone(), uid.clone());
            self.remove_claim(key, uid);
        }
    }

    fn remove_claim(&mut self, key: &Key, uid: &Uid) {
        if self.claims.get(key).is_some_and(|known| known.uid == *uid) {
            let before = self.claims.remove(key);
            self.index_claim(key, before.as_ref());
        }
    }

    fn index_claim(&mut self, key: &Key, before: Option<&Claim>) {
        let after = self.claims.get(key);
        let is = |claim: Option<&Claim>, wanted: fn(&Claim) -> bool| claim.is_some_and(wanted);
        keep(&mut self.pending, key, is(after, |claim| claim.is_pending() && !claim.deleting));
        keep(&mut self.lost, key, is(after, |claim| claim.phase == ClaimPhase::Lost));
        let numbers = [before.and_then(Claim::named), after.and_then(Claim::named)];
        if numbers[0] != numbers[1] {
            if let Some(port) = numbers[0] {
                let keys = self.named.entry(port).or_default();
                keys.retain(|other| other != key);
                if keys.is_empty() {
                    self.named.remove(&port);
                }
            }
            if let Some(port) = numbers[1] {
                self.named.entry(port).or_default().push(key.clone());
            }
        }
        for port in numbers.into_iter().flatten() {
            let bound =
                |key| self.claims.get(key).is_some_and(|claim: &Claim| claim.phase == ClaimPhase::Bound);
            let promised = self.named(port).iter().any(bound);
            self.ledger.set_promised(port, promised);
            self.touched.push(Touch::Port(port));
        }
        self.touched.extend(self.ports_of(key).into_iter().map(Touch::Port));
        self.touched.push(Touch::Claim(key.clone()));
    }

    fn apply_hostport(&mut self, change: Change<HostPort>) {
        match change {
            Change::Listing => self.hostport_list.names.clear(),
            Change::Listed(hostport) => {
                self.hostport_list.names.insert(hostport.port);
                self.put_hostport(hostport);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.hostport_list.names);
                let gone = self.hostports.values().filter(|hostport| !names.contains(&hostport.port));
                let mut gone: Vec<_> = gone.map(|hostport| (hostport.port, hostport.uid.clone())).collect();
                gone.sort_unstable();
                gone.iter().for_each(|(port, uid)| self.remove_hostport(*port, uid));
                self.dead_hostports.tell_all(&names, self.next);
                (self.hostport_list.complete, self.hostport_list.since) = (true, self.next);
            }
            Change::Applied(hostport) => self.put_hostport(hostport),
            Change::Deleted(hostport) => {
                self.remove_hostport(hostport.port, &hostport.uid);
                self.dead_hostports.tell(hostport.port, hostport.uid, self.next);
            }
        }
    }

    /// The HostPort as the reply to this request showed it.
    pub(super) fn learn_hostport(&mut self, hostport: HostPort, asked: ActionId) {
        let known = self.hostports.get(&hostport.port).is_some_and(|known| known.uid == hostport.uid);
        if known || asked >= self.hostport_list.since {
            self.put_hostport(hostport);
        }
    }

    /// The HostPort as a watch, a read or our own write showed it. An older sight of it changes nothing.
    fn put_hostport(&mut self, hostport: HostPort) {
        let port = hostport.port;
        if self.dead_hostports.hold(&hostport.uid) {
            return;
        }
        if self.hostports.get(&port).is_some_and(|known| known.version >= hostport.version) {
            return;
        }
        let before = self.hostports.insert(port, hostport);
        self.index_hostport(port, before.as_ref());
    }

    /// This very HostPort is gone, a read or our own DELETE has shown it; what watches still tell of it is old.
    pub(super) fn bury_hostport(&mut self, port: Port, uid: &Uid) {
        if self.hostports.get(&port).is_some_and(|known| known.uid == *uid) {
            self.dead_hostports.dig(port, uid.clone());
            self.remove_hostport(port, uid);
        }
    }

    fn remove_hostport(&mut self, port: Port, uid: &Uid) {
        if self.hostports.get(&port).is_some_and(|known| known.uid == *uid) {
            let before = self.hostports.remove(&port);
            self.index_hostport(port, before.as_ref());
        }
    }

    fn index_hostport(&mut self, port: Port, before: Option<&HostPort>) {
        let after = self.hostports.get(&port);
        let holder = |hostport: Option<&HostPort>| hostport?.holder.as_ref().map(|holder| holder.key.clone());
        let holders = [holder(before), holder(after)];
        let classes = [before, after].map(|hostport| hostport.map(|hostport| hostport.class.clone()));
        if holders[0] != holders[1] {
            if let Some(key) = &holders[0] {
                let ports = self.ports_of.entry(key.clone()).or_default();
                ports.retain(|other| *other != port);
                if ports.is_empty() {
                    self.ports_of.remove(key);
                }
            }
            if let Some(key) = &holders[1] {
                self.ports_of.entry(key.clone()).or_default().push(port);
            }
        }
        if let Some(class) = &classes[0] {
            self.available.entry(class.clone()).or_default().remove(&port);
        }
        if let Some(hostport) = after
            && hostport.phase == HostPortPhase::Available
        {
            self.available.entry(hostport.class.clone()).or_default().insert(port);
        }
        self.enter(port);
        self.touched.extend(holders.into_iter().flatten().map(Touch::Claim));
        self.touched.extend(classes.into_iter().flatten().map(Touch::ClassStatus));
        self.touched.push(Touch::Port(port));
    }

    /// Tells the ledger who has the number: its HostPort, or else a decision under way.
    fn enter(&mut self, port: Port) {
        if let Some(hostport) = self.hostports.get(&port) {
            let hold = match hostport.phase {
                HostPortPhase::Available => Hold::Available,
                HostPortPhase::Bound => Hold::Bound,
                HostPortPhase::Released => Hold::Released,
            };
            self.ledger.hold(port, &hostport.class, hold);
        } else if let Some(class) = self.assumed.get(&port) {
            self.ledger.hold(port, class, Hold::Bound);
        } else {
            self.ledger.unhold(port);
        }
    }

    fn apply_class(&mut self, change: Change<Class>) {
        match change {
            Change::Listing => self.class_list.names.clear(),
            Change::Listed(class) => {
                self.class_list.names.insert(class.name.clone());
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
    pub(super) fn learn_class(&mut self, class: Class, asked: ActionId) {
        let known = self.classes.get(&class.name).is_some_and(|known| known.uid == class.uid);
        if known || asked >= self.class_list.since {
            self.put_class(class);
        }
    }

    /// The class as a watch or our own write showed it. An older sight of it changes nothing.
    fn put_class(&mut self, class: Class) {
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
                allow_reserved: class.allow_reserved,
                created: class.created,
            };
            self.ledger.set_class(&class.name, spec);
            self.touched.push(Touch::Classes);
        }
        self.touched.push(Touch::ClassStatus(class.name.clone()));
        self.classes.insert(class.name.clone(), class);
    }

    fn remove_class(&mut self, name: &Arc<str>) {
        self.classes.remove(name);
        self.ledger.remove_class(name);
        self.touched.push(Touch::Classes);
    }

    fn apply_pod(&mut self, change: Change<Pod>) {
        match change {
            Change::Listing => self.pod_list.names.clear(),
            Change::Listed(pod) => {
                self.pod_list.names.insert(pod.key.clone());
                self.put_pod(pod.key, pod.ports);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.pod_list.names);
                let mut gone: Vec<_> =
                    self.pods.keys().filter(|key| !names.contains(*key)).cloned().collect();
                gone.sort_unstable();
                gone.into_iter().for_each(|key| self.put_pod(key, Box::default()));
                self.pod_list.complete = true;
            }
            Change::Applied(pod) => self.put_pod(pod.key, pod.ports),
            Change::Deleted(pod) => self.put_pod(pod.key, Box::default()),
        }
    }

    /// The pod carries these numbers now; none: it is as good as gone.
    fn put_pod(&mut self, key: Key, ports: Box<[Port]>) {
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

    fn apply_service(&mut self, change: Change<Service>) {
        match change {
            Change::Listing => self.service_list.names.clear(),
            Change::Listed(service) => {
                self.service_list.names.insert(service.key.clone());
                self.put_service(service.key, service.ports);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.service_list.names);
                let mut gone: Vec<_> =
                    self.services.keys().filter(|key| !names.contains(*key)).cloned().collect();
                gone.sort_unstable();
                gone.into_iter().for_each(|key| self.put_service(key, Box::default()));
                self.service_list.complete = true;
            }
            Change::Applied(service) => self.put_service(service.key, service.ports),
            Change::Deleted(service) => self.put_service(service.key, Box::default()),
        }
    }

    fn put_service(&mut self, key: Key, ports: Box<[Port]>) {
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

    fn recount_foreign(&mut self, port: Port) {
        let foreign = self.carriers.contains_key(&port) || self.node_ports.contains_key(&port);
        self.ledger.set_foreign(port, foreign);
        self.touched.push(Touch::Port(port));
    }
}

fn keep(set: &mut BTreeSet<Key>, key: &Key, member: bool) {
    if !member {
        set.remove(key);
    } else if !set.contains(key) {
        set.insert(key.clone());
    }
}
