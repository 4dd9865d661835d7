//! HostPorts, and whose they are.

use std::{sync::Arc, time::Duration};

use allocator::{Port, Spot};
use crds::{HostPortPhase, ReclaimPolicy};

use super::{Key, Run, Uid, Version};

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

    /// Held by this very claim as one of these numbers, and says so (C6): admission asks for no others.
    pub fn is_held_for(&self, uid: &Uid, run: Run) -> bool {
        self.is_held_by(uid) && self.block == run.block()
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
