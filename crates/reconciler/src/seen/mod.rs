//! What the core knows of the cluster's objects: small copies with only the fields that decisions use.
//! Made at the edge from API objects; nothing here talks to anyone.

mod claim;
mod class;
mod hostport;
mod run;
mod users;

use std::{fmt, sync::Arc, time::Duration};

pub use claim::{Claim, Made, Ordinal, Owner};
pub use class::{Admits, Class, Labels};
pub use hostport::{Holder, HostPort};
pub use run::Run;
pub use users::{Own, Pod, Service};

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
