//! Classes, and which namespaces they admit.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use allocator::{PortRange, Scope};
use crds::{ReclaimPolicy, Strategy};
use kube::core::{Selector, SelectorExt};

use super::{Ready, Uid, Version};

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
