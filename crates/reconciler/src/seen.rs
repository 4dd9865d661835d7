//! What the core knows of the cluster's objects: small copies with only the fields that decisions use.
//! Made at the edge from API objects; nothing here talks to anyone.

use std::{fmt, sync::Arc, time::Duration};

use allocator::{Port, PortRange};
use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy, Strategy};

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
    /// `spec.port`.
    pub wanted: Option<Port>,
    /// `status.phase`.
    pub phase: ClaimPhase,
    /// `status.port`.
    pub port: Option<Port>,
    /// `status.hostPortClassName`.
    pub used_class: Option<Arc<str>>,
    /// Of the `Ready` condition.
    pub ready: Option<Ready>,
    /// Fingerprint of all that we ever write into the status ([`crate::text::ClaimStatus::digest`]).
    pub status_digest: u64,
}

impl Claim {
    /// The number that the status names, if it is Bound or Lost.
    pub fn named(&self) -> Option<Port> {
        if self.phase == ClaimPhase::Pending { None } else { self.port }
    }

    /// Neither Bound nor Lost with a number: to be bound.
    pub fn is_pending(&self) -> bool {
        self.named().is_none()
    }

    /// Our finalizer is on it.
    pub fn is_protected(&self) -> bool {
        self.finalizers.iter().any(|finalizer| &**finalizer == crds::names::FINALIZER_CLAIM_PROTECTION)
    }
}

/// A HostPort's `claimRef`.
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
    /// The number; the name says the same.
    pub port: Port,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// `spec.class`.
    pub class: Arc<str>,
    /// `spec.claimRef`.
    pub holder: Option<Holder>,
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
}

impl HostPort {
    /// Held by this very claim.
    pub fn is_held_by(&self, uid: &Uid) -> bool {
        self.phase == HostPortPhase::Bound && self.belongs_to(uid)
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
    /// `spec.reclaimPolicy`.
    pub policy: ReclaimPolicy,
    /// `spec.reuseDelay`.
    pub reuse_delay: Duration,
    /// `spec.allowReserved`.
    pub allow_reserved: bool,
    /// Of each condition by type.
    pub conditions: Vec<(Arc<str>, Ready)>,
    /// Fingerprint of all that we ever write into the status ([`crate::text::ClassStatus::digest`]).
    pub status_digest: u64,
}

impl Class {
    /// All that the spec and the metadata say is equal; versions and status may differ.
    pub fn same_spec(&self, other: &Class) -> bool {
        self.uid == other.uid
            && self.generation == other.generation
            && self.is_default == other.is_default
            && self.created == other.created
    }
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
}
