//! What the core knows of the cluster's objects: small copies with only the fields that decisions use.
//! Made at the edge from API objects; nothing here talks to anyone.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use allocator::{Port, PortRange, Scope, Spot};
use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy, Strategy};
use kube::core::{Selector, SelectorExt};

/// UID of an object. A name has one living uid at a time, and one that is gone never comes back.
pub type Uid = Arc<str>;

/// `metadata.resourceVersion`. Comparable within one kind (KEP-5504).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A key of these two names.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The two clocks: the wall clock is read by others and may jump, the monotonic one is this process's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch.
    pub wall: i64,
    /// Time since this process started.
    pub mono: Duration,
}

/// What of a `Ready` condition must survive the next write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// True, False or Unknown.
    pub status: Truth,
    /// `lastTransitionTime`, seconds since the epoch.
    pub since: i64,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody has looked yet.
    Unknown,
}

impl Truth {
    /// The word that stands in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        }
    }
}

/// A HostPortClaim.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Namespace and name.
    pub key: Key,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`, seconds since the epoch.
    pub created: i64,
    /// Deletion has begun.
    pub deleting: bool,
    /// `metadata.finalizers`.
    pub finalizers: Vec<Arc<str>>,
    /// `spec.hostPortClassName`.
    pub class: Option<Arc<str>>,
    /// `spec.port`, or the number in `spec.hostPortName`.
    pub wanted: Option<Port>,
    /// `spec.hostPortName`: only a HostPort that stands will do.
    pub hostport_name: Option<Arc<str>>,
    /// `spec.count`.
    pub count: u16,
    /// The number that it would rather have than any other; of a block the first.
    pub preferred: Option<Port>,
    /// If admission made it: what becomes of it.
    pub made: Option<Arc<Made>>,
    /// `status.phase`.
    pub phase: ClaimPhase,
    /// `status.port`; of a block the first.
    pub port: Option<Port>,
    /// Which slot of the number, by `status.hostPortName`.
    pub slot: Option<u32>,
    /// `status.hostPortClassName`.
    pub used_class: Option<Arc<str>>,
    /// Of the `Ready` condition.
    pub ready: Option<Ready>,
    /// Fingerprint of all that we ever write into the status ([`crate::text::ClaimStatus::digest`]).
    pub status_digest: u64,
}

impl Claim {
    /// What the status names, if it is Bound or Lost.
    pub fn run(&self) -> Option<Run> {
        let port = self.port.filter(|_| self.phase != ClaimPhase::Pending)?;
        match self.slot {
            None => Run::new(port, self.count),
            Some(slot) => Run::at(Spot::slot_of(port, slot), self.count),
        }
    }

    /// The HostPort that `spec.hostPortName` names, if that is a HostPort's name.
    pub fn wanted_spot(&self) -> Option<Spot> {
        self.hostport_name.as_deref()?.parse().ok()
    }

    /// Its wish, if it has one, is for these.
    pub fn accepts(&self, run: Run) -> bool {
        match self.wanted_spot() {
            Some(spot) => run.member(0) == Some(spot),
            None => self.wanted.is_none_or(|first| first == run.first),
        }
    }

    /// The number that the status names, if it is Bound or Lost; of a block the first.
    pub fn named(&self) -> Option<Spot> {
        self.run().and_then(|run| run.member(0))
    }

    /// All that the status names, if it is Bound or Lost.
    pub fn spots(&self) -> impl Iterator<Item = Spot> + use<> {
        self.run().into_iter().flat_map(Run::iter)
    }

    /// The status names this, if it is Bound or Lost.
    pub fn names(&self, spot: Spot) -> bool {
        self.run().is_some_and(|run| run.contains(spot))
    }

    /// Neither Bound nor Lost with a number: to be bound.
    pub fn is_pending(&self) -> bool {
        self.run().is_none()
    }

    /// What it would rather have than any other numbers, if it does not want certain ones.
    pub fn preference(&self) -> Option<Run> {
        if self.wanted.is_some() { None } else { Run::new(self.preferred?, self.count) }
    }

    /// These very numbers are asked for: inside the namespace they are handed over.
    pub fn asks_for(&self, first: Port) -> bool {
        self.wanted.is_some() || self.preferred == Some(first)
    }

    /// Admission made it for one pod: it is gone only after that, so it needs no finalizer to be seen meanwhile.
    pub fn is_of_a_pod(&self) -> bool {
        matches!(self.made.as_deref(), Some(Made::ForPod { .. }))
    }

    /// Our finalizer is on it.
    pub fn is_protected(&self) -> bool {
        self.finalizers.iter().any(|finalizer| &**finalizer == crds::names::FINALIZER_CLAIM_PROTECTION)
    }
}

/// What admission noted on a claim that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// For one pod alone: it goes with its owners, or when nobody adopts it.
    ForPod {
        /// The pods that own it.
        owners: Vec<Owner>,
        /// Somebody put an owner of another kind on it: it is his.
        foreign: bool,
    },
    /// By the name that a template asked for: it stays.
    ByName {
        /// But when this StatefulSet wants the pod no more it goes.
        scaled_with: Option<Ordinal>,
    },
}

/// A pod that owns claims.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Uid,
}

/// A place in a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordinal {
    /// Name of the StatefulSet.
    pub set: Arc<str>,
    /// UID of the StatefulSet.
    pub uid: Uid,
    /// The place.
    pub index: i64,
}

/// What a claim holds: consecutive numbers, or a slot of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Port,
    /// How many.
    pub count: u16,
    /// Which slot of the only number, if it is one.
    pub slot: Option<u32>,
}

impl Run {
    /// `None` if it would end above 65535, or is empty.
    pub fn new(first: Port, count: u16) -> Option<Self> {
        first.get().checked_add(count.checked_sub(1)?).map(|_| Self { first, count, slot: None })
    }

    /// So many numbers from this one on; a slot is alone.
    pub fn at(spot: Spot, count: u16) -> Option<Self> {
        let (first, slot) = (spot.port(), spot.slot());
        if slot.is_none() {
            Self::new(first, count)
        } else {
            (count == 1).then_some(Self { first, count, slot })
        }
    }

    /// The numbers, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Spot> {
        (0..self.count).filter_map(move |index| self.member(index))
    }

    /// The number at this place.
    pub fn member(self, index: u16) -> Option<Spot> {
        match self.slot {
            _ if index >= self.count => None,
            Some(slot) => Some(Spot::slot_of(self.first, slot)),
            None => Port::new(self.first.get() + index).map(Spot::whole),
        }
    }

    /// Whether the number is one of them.
    pub fn contains(self, spot: Spot) -> bool {
        let index = spot.port().get().checked_sub(self.first.get());
        spot.slot() == self.slot && index.is_some_and(|index| index < self.count)
    }

    /// What a HostPort of it says as `spec.block.first`: nothing if it is alone.
    pub fn block(self) -> Option<Port> {
        (self.count > 1).then_some(self.first)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.first.fmt(f),
            count => write!(f, "{}-{}", self.first, self.first.get() + (count - 1)),
        }
    }
}

/// A HostPort's `claimRef`, once it has a uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Namespace and name of the claim.
    pub key: Key,
    /// UID of the claim.
    pub uid: Uid,
}

/// A HostPort.
#[derive(Clone, Debug, PartialEq)]
pub struct HostPort {
    /// What it is named after.
    pub spot: Spot,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `spec.class`.
    pub class: Arc<str>,
    /// `spec.claimRef`, if it has a uid.
    pub holder: Option<Holder>,
    /// `spec.claimRef`, if it has none: it is kept for the claim of that name.
    pub kept_for: Option<Key>,
    /// `spec.block.first`.
    pub block: Option<Port>,
    /// `spec.phase`.
    pub phase: HostPortPhase,
    /// `spec.reclaimPolicy`.
    pub policy: ReclaimPolicy,
    /// `spec.reuseDelay`.
    pub reuse_delay: Option<Duration>,
    /// `spec.releasedAt`, milliseconds since the epoch.
    pub released_at: Option<i64>,
    /// `spec.heldBy`.
    pub held_by: Option<Arc<str>>,
    /// `spec.takeovers`.
    pub takeovers: u32,
}

impl HostPort {
    /// Held by this very claim.
    pub fn is_held_by(&self, uid: &Uid) -> bool {
        self.phase == HostPortPhase::Bound && self.belongs_to(uid)
    }

    /// The first number of its block; its own if it is alone.
    pub fn first(&self) -> Port {
        self.block.unwrap_or(self.spot.port())
    }

    /// So many numbers from its block's first on; none if it is a slot and there is to be more than one.
    pub fn run(&self, count: u16) -> Option<Run> {
        if self.spot.is_whole() { Run::new(self.first(), count) } else { Run::at(self.spot, count) }
    }

    /// Namespace and name of the claim in `claimRef`, with or without uid.
    pub fn claim_key(&self) -> Option<&Key> {
        self.holder.as_ref().map(|holder| &holder.key).or(self.kept_for.as_ref())
    }

    /// Bound to this very claim, or Released after it.
    pub fn belongs_to(&self, uid: &Uid) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.uid == *uid)
    }
}

/// A live pod that carries host ports. One without any is never kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// The host ports of all of its containers, each number once.
    pub ports: Box<[Port]>,
    /// Of scope Node, by number: the claim that it was admitted for, as its label has it.
    pub serves: Box<[(Port, Arc<str>)]>,
    /// If admission made claims for it alone: which.
    pub own: Option<Box<Own>>,
}

impl Pod {
    /// The claim of scope Node that it carries the number for, as its label has it.
    pub fn serves(&self, port: Port) -> Option<&Arc<str>> {
        self.serves.iter().find(|(number, _)| *number == port).map(|(_, claim)| claim)
    }
}

/// The claims that were made for a pod alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// UID of the pod.
    pub uid: Uid,
    /// The claims' names.
    pub claims: Vec<Arc<str>>,
}

/// A Service that takes node ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: Key,
    /// nodePorts and healthCheckNodePort.
    pub ports: Box<[Port]>,
}

/// A HostPortClass.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Name.
    pub name: Arc<str>,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`, seconds since the epoch.
    pub created: i64,
    /// Marked as a default class.
    pub is_default: bool,
    /// `spec.pools`.
    pub pools: Vec<PortRange>,
    /// `spec.exclude`.
    pub exclude: Vec<PortRange>,
    /// `spec.strategy`.
    pub strategy: Strategy,
    /// `spec.scope` and `spec.maxNodes`.
    pub scope: Scope,
    /// `spec.reclaimPolicy`.
    pub policy: ReclaimPolicy,
    /// `spec.reuseDelay`.
    pub reuse_delay: Duration,
    /// `spec.allowReserved`.
    pub allow_reserved: bool,
    /// `spec.namespaceSelector`.
    pub admits: Admits,
    /// `spec.maxPerNamespace`.
    pub max_per_namespace: Option<usize>,
    /// `spec.maxCount`.
    pub max_count: u16,
    /// Of each condition by type.
    pub conditions: Vec<(Arc<str>, Ready)>,
    /// Fingerprint of all that we ever write into the status ([`crate::text::ClassStatus::digest`]).
    pub status_digest: u64,
}

impl Class {
    /// All that the spec and the metadata say is equal; versions and status may differ. The generation alone does not
    /// show it: a store that was restored counts some of them once more.
    pub fn same_spec(&self, other: &Class) -> bool {
        let bare = |class: &Class| Class {
            version: Version(0),
            conditions: Vec::new(),
            status_digest: 0,
            ..class.clone()
        };
        bare(self) == bare(other)
    }
}

/// Which namespaces may claim from a class.
#[derive(Clone, Debug, PartialEq)]
pub enum Admits {
    /// All of them.
    All,
    /// Those whose labels match.
    Matching(Selector),
    /// None: the selector makes no sense.
    Nobody,
}

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

impl Admits {
    /// Whether a namespace with these labels may claim.
    pub fn admits(&self, labels: &Labels) -> bool {
        match self {
            Admits::All => true,
            Admits::Matching(selector) => selector.matches(labels),
            Admits::Nobody => false,
        }
    }
}

/// A Namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// Name.
    pub name: Arc<str>,
    /// `metadata.labels`.
    pub labels: Labels,
}

/// A ResourceQuota that limits ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Namespace and name.
    pub key: Key,
    /// Hard limits of `<class>.hostportclass.hostport.io/ports`, by class.
    pub limits: Vec<(Arc<str>, usize)>,
}

/// How watches tell of objects: a listing that replaces all that was known, then single changes.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// A listing begins.
    Listing,
    /// One object of the listing.
    Listed(T),
    /// The listing is complete: what it did not name is gone.
    ListDone,
    /// The object was made or changed.
    Applied(T),
    /// The object is gone; this is how it looked last.
    Deleted(T),
}

impl<T> Change<T> {
    /// Translates the object in it.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Change<U> {
        match self {
            Change::Listing => Change::Listing,
            Change::Listed(object) => Change::Listed(f(object)),
            Change::ListDone => Change::ListDone,
            Change::Applied(object) => Change::Applied(f(object)),
            Change::Deleted(object) => Change::Deleted(f(object)),
        }
    }
}

/// Something that a watch told.
#[derive(Clone, Debug)]
pub enum Event {
    /// Of the claims.
    Claim(Change<Claim>),
    /// Of the HostPorts.
    HostPort(Change<HostPort>),
    /// Of the live pods that carry host ports.
    Pod(Change<Pod>),
    /// Of the Services that take node ports.
    Service(Change<Service>),
    /// Of the classes.
    Class(Change<Class>),
    /// Of the namespaces.
    Namespace(Change<Namespace>),
    /// Of the quotas that limit ports.
    Quota(Change<Quota>),
}
