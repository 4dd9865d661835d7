//! What a class says about numbers: its pools, what is taken out of them, and whether it may have a wanted
//! number. Never here: who holds a number, or what an older class owns of it; that takes the whole ledger.

use thiserror::Error;

use crate::port::{Port, PortRange, RESERVED};
use crate::set::PortSet;
use crate::spot::Spot;

/// How a class picks among its free numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The lowest free number above the static band.
    #[default]
    Sequential,
    /// Any free number above the static band, all equally likely.
    Random,
}

/// What a claim gets of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The number, on all nodes.
    #[default]
    Cluster,
    /// One of its slots, each good for one node.
    Node {
        /// So many slots of each number are granted; none: no limit.
        most: Option<u32>,
    },
}

impl Scope {
    /// So many slots of a number may be granted.
    pub(super) fn slots(self) -> u32 {
        match self {
            Scope::Cluster => 0,
            Scope::Node { most } => most.unwrap_or(Spot::SLOTS).min(Spot::SLOTS),
        }
    }

    pub(super) fn is_node(self) -> bool {
        self != Scope::Cluster
    }
}

/// What a HostPortClass says about numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSpec {
    /// The numbers it grants. Ranges may overlap.
    pub pools: Vec<PortRange>,
    /// Numbers inside the pools that it does not grant: they are not in the class, so a younger class may own
    /// them.
    pub exclude: Vec<PortRange>,
    /// How it picks.
    pub strategy: Strategy,
    /// What it grants of a number.
    pub scope: Scope,
    /// Whether it grants the [`RESERVED`] numbers too.
    pub allow_reserved: bool,
    /// When the class was created, in seconds of any epoch. Of two classes the older owns the numbers that
    /// both have, ties by name.
    pub created: i64,
}

impl ClassSpec {
    /// Whether the number is in the pools and not excluded.
    pub(super) fn includes(&self, port: Port) -> bool {
        let within = |ranges: &[PortRange]| ranges.iter().any(|range| range.contains(port));
        within(&self.pools) && !within(&self.exclude)
    }

    /// Whether the class leaves the number out because a node needs it.
    pub(super) fn reserves(&self, port: Port) -> bool {
        !self.allow_reserved && RESERVED.iter().any(|range| range.contains(port))
    }

    /// The numbers in the pools that are not excluded.
    pub(super) fn included(&self) -> PortSet {
        let mut ports: PortSet = self.pools.iter().copied().collect();
        for &range in &self.exclude {
            ports.remove_range(range);
        }
        ports
    }
}

/// How many of the lowest numbers of a class automatic picks leave to claims that want a certain number: a 32nd,
/// at least 16, at most 128, none if there are no more than 16. As kube-apiserver does with node ports (KEP-3668).
/// Slots need none: a number that is wanted has another slot.
pub(super) fn static_band(capacity: usize) -> usize {
    const LEAST: usize = 16;
    const MOST: usize = 128;
    const SHARE: usize = 32;
    if capacity <= LEAST { 0 } else { (capacity / SHARE).clamp(LEAST, MOST) }
}

/// How many numbers of a class are in which state. HostPorts are counted with the class they name, also outside
/// its pools (after a shrink) and when it is gone; numbers with the class that owns them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Numbers that the class owns, free or not: in its pools, not excluded, not reserved, not an older class's; times
    /// the slots of each, if these are limited.
    pub capacity: usize,
    /// HostPorts of the class that are bound.
    pub allocated: usize,
    /// HostPorts of the class that are released: in quarantine, or retained.
    pub released: usize,
    /// HostPorts of the class that are available.
    pub available: usize,
    /// Numbers it owns that no HostPort holds and that a pod without a claim, or a Service, uses.
    pub foreign: usize,
    /// Numbers, or slots of them, that it can grant now.
    pub free: usize,
    /// It grants slots without a limit, as long as there is a number: `free` says nothing.
    pub unlimited: bool,
    /// Its pools overlap with those of an older class of the other scope: it grants nothing.
    pub blocked: bool,
    /// Numbers in its pools, not excluded, that it leaves out because they are [`RESERVED`].
    pub reserved: usize,
    /// Numbers in its pools, neither excluded nor reserved, that an older class owns.
    pub conflict: usize,
}

/// Why a class cannot have a wanted number, whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No class of that name is known.
    #[error("there is no such class: create it, or name another")]
    NoSuchClass,
    /// The number is in none of the pools, or it is excluded.
    #[error("the number is outside the pools of the class: want one inside, or extend the class")]
    OutsidePools,
    /// The number is in the pools, but a node needs it.
    #[error("the number is reserved for the node: want another, or set allowReserved on the class")]
    Reserved,
    /// The pools overlap with those of an older class of the other scope.
    #[error("the pools of the class overlap with those of a class of the other scope: separate them")]
    Blocked,
    /// The class grants numbers and this is a slot, or the reverse.
    #[error("the class has the other scope: claim from a class of this one")]
    OtherScope,
    /// The class grants fewer slots of each number.
    #[error("the slot is beyond maxNodes of the class: want a lower one, or raise maxNodes")]
    BeyondMaxNodes,
    /// The number is in the pools, but an older class has it too.
    #[error("the number belongs to the older class {class:?}: want another, or claim it from that class")]
    OwnedByOlderClass {
        /// The class that owns it.
        class: String,
    },
}
