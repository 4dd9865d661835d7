//! What the core asks the shell to do, and what can come of it.

use std::sync::Arc;

use allocator::{Port, Spot};
use crds::HostPortPhase;

use crate::{
    seen::{Claim, Class, HostPort, Key, Owner, Pod, Uid, Version},
    text::{ClaimStatus, ClassStatus},
};

/// Names an action until its outcome is told. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionId(pub u64);

/// A request to the API server. Every write to an object that exists carries the version that it was decided
/// on, so a late one hits nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read a claim, from the store and not from a cache.
    GetClaim(Key),
    /// Read a HostPort, from the store and not from a cache.
    GetHostPort(Spot),
    /// Consistent LIST of the HostPorts that are slots of this number.
    ListSlots(Port),
    /// Consistent LIST of the live pods of a namespace, or of all.
    ListPods(Option<Arc<str>>),
    /// The first lock: the name of a HostPort. Exists if anyone was quicker.
    CreateHostPort(NewHostPort),
    /// Compare-and-swap on a HostPort.
    PatchHostPort {
        /// Which.
        spot: Spot,
        /// Only this object.
        uid: Uid,
        /// Only at this version.
        version: Version,
        /// What becomes of it.
        change: HostPortChange,
    },
    /// Give a number back. Only this object at this version.
    DeleteHostPort {
        /// Which.
        spot: Spot,
        /// Only this object.
        uid: Uid,
        /// Only at this version.
        version: Version,
    },
    /// The second lock: a claim's status at the version at which it was decided on.
    PutClaimStatus {
        /// Which.
        key: Key,
        /// Only at this version (a uid would be ignored on `/status`).
        version: Version,
        /// The whole status.
        status: Box<ClaimStatus>,
    },
    /// Replace the finalizers of a claim.
    PatchFinalizers {
        /// Which.
        key: Key,
        /// Only this object.
        uid: Uid,
        /// Only at this version.
        version: Version,
        /// All that shall be on it.
        finalizers: Vec<Arc<str>>,
    },
    /// A claim that admission made for one pod alone belongs to these pods from now on.
    AdoptClaim {
        /// Which.
        key: Key,
        /// Only this object.
        uid: Uid,
        /// Only at this version.
        version: Version,
        /// All of its owners.
        owners: Vec<Owner>,
    },
    /// Remove a claim that admission made. Only this object at this version.
    DeleteClaim {
        /// Which.
        key: Key,
        /// Only this object.
        uid: Uid,
        /// Only at this version.
        version: Version,
    },
    /// Read how many pods a StatefulSet is to have.
    GetStatefulSet(Key),
    /// A class's counts and conditions.
    PatchClassStatus {
        /// Which.
        name: Arc<str>,
        /// The whole status.
        status: Box<ClassStatus>,
    },
    /// Tell a person of trouble, or of its end. Needs no outcome.
    Tell(Notice),
    /// Write a line for the auditor. Needs no outcome.
    Audit(Audit),
}

/// A HostPort to be made for a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHostPort {
    /// What it is named after.
    pub spot: Spot,
    /// Its class.
    pub class: Arc<str>,
    /// Whom it is granted to.
    pub key: Key,
    /// Whom it is granted to.
    pub uid: Uid,
    /// From the class.
    pub policy: crds::ReclaimPolicy,
    /// The first number of its block, if it is one of several.
    pub block: Option<Port>,
}

/// What a compare-and-swap makes of a HostPort.
#[derive(Clone, Debug, PartialEq)]
pub enum HostPortChange {
    /// It belongs to this claim.
    Bind {
        /// Namespace and name of the claim.
        key: Key,
        /// UID of the claim.
        uid: Uid,
        /// The first number of its block, if it is one of several.
        block: Option<Port>,
    },
    /// Its claim is gone: it rests.
    Release {
        /// Milliseconds since the epoch, a whole second.
        released_at: i64,
        /// How long it rests, milliseconds.
        reuse_delay: u64,
        /// Why it will not be given back by itself, if so.
        held_by: Option<Arc<str>>,
    },
    /// It rests on: this is who uses it.
    Hold {
        /// "pod shop/cart-6d9f"
        by: Arc<str>,
    },
    /// It rests on: whatever another process decided on it is void.
    TakeOver {
        /// So often this was done, this time included.
        count: u32,
    },
    /// It is nobody's.
    Clear,
}

impl HostPortChange {
    /// The phase afterwards.
    pub fn phase(&self) -> HostPortPhase {
        match self {
            HostPortChange::Bind { .. } => HostPortPhase::Bound,
            HostPortChange::Release { .. }
            | HostPortChange::Hold { .. }
            | HostPortChange::TakeOver { .. } => HostPortPhase::Released,
            HostPortChange::Clear => HostPortPhase::Available,
        }
    }
}

/// What an event tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A claim.
    Claim {
        /// Namespace and name.
        key: Key,
        /// UID.
        uid: Uid,
    },
    /// A HostPort.
    HostPort {
        /// Which.
        spot: Spot,
        /// UID.
        uid: Uid,
    },
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub subject: Subject,
    /// A Warning; else all is well again.
    pub warns: bool,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

/// What happened to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A claim got it.
    Grant,
    /// Its claim is gone, it rests.
    Release,
    /// It is free for others again.
    Free,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What happened.
    pub deed: Deed,
    /// To which number.
    pub spot: Spot,
    /// Of which class.
    pub class: Arc<str>,
    /// The claim that has or had it.
    pub holder: Option<(Key, Uid)>,
}

/// What came of an action. The shell repeats what may pass by itself (timeouts, 429, 5xx) and tells
/// [`Outcome::Failed`] only when it has given up; a repeated request may have been carried out before.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The claim as stored now.
    Claim(Box<Claim>),
    /// The HostPort as stored now.
    HostPort(Box<HostPort>),
    /// The class as stored now.
    Class(Box<Class>),
    /// The HostPorts as stored now.
    HostPorts(Vec<HostPort>),
    /// The live pods with host ports.
    Pods(Vec<Pod>),
    /// A StatefulSet.
    StatefulSet {
        /// Its uid.
        uid: Uid,
        /// The ordinal after the last that it is to have.
        end: i64,
    },
    /// Done, nothing to show.
    Done,
    /// No such object (404), or a DELETE or patch of one.
    NotFound,
    /// Another version, or another object, stands there (409).
    Conflict,
    /// The name is taken (409 AlreadyExists).
    Exists,
    /// The API server will not do it (400, 403, 422): its words.
    Refused(String),
    /// Nobody knows whether it was done.
    Failed(String),
}
