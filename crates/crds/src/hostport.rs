//! HostPort: one number of the cluster and who has it. Its name is the lock of the number.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Port, ReclaimPolicy, ReuseDelay, Scope};

/// A HostPort is one port number of the cluster and who has it, as a PersistentVolume is for a disk. The
/// controller makes it when it binds a claim; its name is the number, so no number is granted twice.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hostport.io",
    version = "v1alpha1",
    kind = "HostPort",
    plural = "hostports",
    singular = "hostport",
    shortname = "hp",
    category = "hostport",
    derive = "PartialEq",
    doc = "A HostPort is one port number of the cluster and who has it, as a PersistentVolume is for a disk. The controller makes it when it binds a claim; its name is the number, so no number is granted twice.",
    selectable = ".spec.phase",
    selectable = ".spec.class",
    selectable = ".spec.claimRef.namespace",
    selectable = ".spec.port",
    selectable = ".spec.block.first",
    validation = Rule::new("has(self.spec.slot) ? self.metadata.name.split('-').size() == 2 && self.metadata.name.split('-')[0] == string(self.spec.port) && self.metadata.name.split('-')[1] == string(self.spec.slot) : self.metadata.name == string(self.spec.port)").message("the name of a HostPort is its port number: metadata.name must equal spec.port, or in scope Node spec.port, a dash and spec.slot (quote it in YAML)"),
    validation = Rule::new("has(self.spec.slot) == (self.spec.scope == 'Node')").message("a HostPort of scope Node has a slot, one of scope Cluster has none"),
    validation = Rule::new("!has(self.spec.block) || self.spec.scope == 'Cluster'").message("a block is of scope Cluster: in scope Node a claim holds one port"),
    validation = Rule::new("self.spec.port == oldSelf.spec.port && self.spec.class == oldSelf.spec.class && self.spec.scope == oldSelf.spec.scope && has(self.spec.slot) == has(oldSelf.spec.slot) && (!has(self.spec.slot) || self.spec.slot == oldSelf.spec.slot)").message("port and class of a HostPort cannot be changed, nor scope and slot"),
    validation = Rule::new("!has(oldSelf.spec.claimRef) || !has(oldSelf.spec.claimRef.uid) || has(self.spec.claimRef) || oldSelf.spec.phase == 'Released'").message("a claimRef can be cleared only while the HostPort is Released"),
    validation = Rule::new("!has(oldSelf.spec.claimRef) || !has(oldSelf.spec.claimRef.uid) || !has(self.spec.claimRef) || (has(self.spec.claimRef.uid) && self.spec.claimRef.__namespace__ == oldSelf.spec.claimRef.__namespace__)").message("a granted HostPort stays in its namespace: claimRef can be cleared once the HostPort is Released, not given to another namespace"),
    validation = Rule::new("has(self.spec.claimRef) && has(self.spec.claimRef.uid) ? self.spec.phase == (has(self.spec.releasedAt) ? 'Released' : 'Bound') : self.spec.phase != 'Bound'").message("phase says what the other fields say: Bound with the uid of a claim, Released with that and releasedAt, else Available"),
    validation = Rule::new("!has(self.spec.block) || self.spec.block.first + self.spec.block.index == self.spec.port").message("block.first + block.index is the port number"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".spec.phase"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.class"),
    printcolumn(name = "Claim-Namespace", type_ = "string", json_path = ".spec.claimRef.namespace"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.claimRef.name"),
    printcolumn(name = "Reclaim", type_ = "string", json_path = ".spec.reclaimPolicy"),
    printcolumn(name = "Released", type_ = "date", json_path = ".spec.releasedAt"),
    printcolumn(name = "Held-By", type_ = "string", json_path = ".spec.heldBy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Block", type_ = "integer", json_path = ".spec.block.first", priority = 1),
    printcolumn(name = "Index", type_ = "integer", json_path = ".spec.block.index", priority = 1),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope", priority = 1),
    printcolumn(name = "UID", type_ = "string", json_path = ".spec.claimRef.uid", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct HostPortSpec {
    /// The port number, 1 to 65535; equal to the name, in scope Node to what stands before the dash. It covers TCP,
    /// UDP and SCTP.
    pub port: Port,

    /// The HostPortClass that the port belongs to.
    #[schemars(length(min = 1, max = 253))]
    pub class: String,

    /// What of the number this is: Cluster, the number on all nodes; Node, one slot of it, which is good for one node.
    /// Cannot be changed.
    #[serde(default)]
    pub scope: Scope,

    /// Which slot of the number, in scope Node: what stands behind the dash of the name. Which node a pod gets is the
    /// scheduler's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 999_999))]
    pub slot: Option<u32>,

    /// The claim that holds the port, or held it last (phase Released). Without uid: the claim of that name,
    /// once there is one, gets the port; until then it is kept (phase Available). Absent: nobody's, Available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<ClaimRef>,

    /// Of a port that a claim holds as one of several (count): which block it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,

    /// What becomes of the port when its claim is gone. Set from the class when the port is granted.
    #[serde(default = "retain")]
    pub reclaim_policy: ReclaimPolicy,

    /// How long the port rests once it is Released. Copied from the class at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_delay: Option<ReuseDelay>,

    /// When the port became Released, rounded up to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,

    /// Why a Released port was not given back when its time had come: "pod shop/cart-6d9f", "admin (Retain)".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600))]
    pub held_by: Option<String>,

    /// How often a controller took the release of this slot over: it counts up before it gives the slot back, so that
    /// what another one decided before that is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub takeovers: Option<u32>,

    /// Available, Bound or Released: what claimRef and releasedAt say, in one word.
    #[serde(default)]
    pub phase: HostPortPhase,
}

fn retain() -> ReclaimPolicy {
    ReclaimPolicy::Retain
}

/// The claim that holds a port, or that it is kept for. The uid tells it from a later claim of the same name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// Namespace of the claim.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the claim.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the claim; absent while the port is only kept for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub uid: Option<String>,
}

/// Where a number stands in the block of its claim.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first number of the block.
    pub first: Port,
    /// How many numbers of the block lie below this one, 0 to 999.
    #[schemars(range(min = 0, max = 999))]
    pub index: u16,
}

/// What a HostPort's other fields say, in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostPortPhase {
    /// Nobody's; the next claim of its class may have it.
    #[default]
    Available,
    /// A claim holds it.
    Bound,
    /// Its claim is gone; it rests, or waits for an administrator.
    Released,
}

impl HostPortPhase {
    /// The word that stands in the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            HostPortPhase::Available => "Available",
            HostPortPhase::Bound => "Bound",
            HostPortPhase::Released => "Released",
        }
    }
}
