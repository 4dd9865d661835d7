//! Claims, and what admission noted on those that it made.

use std::sync::Arc;

use allocator::{Port, Spot};
use crds::ClaimPhase;

use super::{Key, Ready, Run, Uid, Version};

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
