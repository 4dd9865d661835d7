//! HostPortClass: which numbers an administrator hands out, and how.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Port, ReuseDelay};

/// A HostPortClass describes a pool of ports that an administrator hands out, as a StorageClass does for
/// volumes. Claims name a class; the controller binds each of them to one port of its pools.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "hostport.io",
    version = "v1alpha1",
    kind = "HostPortClass",
    plural = "hostportclasses",
    singular = "hostportclass",
    shortname = "hpclass",
    shortname = "hpcl",
    category = "hostport",
    status = "HostPortClassStatus",
    derive = "PartialEq",
    doc = "A HostPortClass describes a pool of ports that an administrator hands out, as a StorageClass does for volumes. Claims name a class; the controller binds each of them to one port of its pools.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of a class has at most 63 characters: it stands in a label of each of its HostPorts. Choose a shorter one"),
    validation = Rule::new("self.spec.scope == oldSelf.spec.scope").message("scope cannot be changed: what is granted stays what it is. Create a class with another name, or delete this one and create it again"),
    validation = Rule::new("!has(self.spec.maxNodes) || self.spec.scope == 'Node'").message("maxNodes is for scope Node: in scope Cluster a number is granted once. Leave it out, or create a class with scope: Node"),
    printcolumn(name = "Pools", type_ = "string", json_path = ".status.pools"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(name = "Free", type_ = "string", json_path = ".status.room"),
    printcolumn(name = "Bound", type_ = "integer", json_path = ".status.allocated"),
    printcolumn(name = "Released", type_ = "integer", json_path = ".status.released"),
    printcolumn(name = "Foreign", type_ = "integer", json_path = ".status.foreign"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reserved", type_ = "integer", json_path = ".status.reserved", priority = 1),
    printcolumn(name = "Strategy", type_ = "string", json_path = ".spec.strategy", priority = 1),
    printcolumn(name = "Reclaim", type_ = "string", json_path = ".spec.reclaimPolicy", priority = 1),
    printcolumn(name = "Reuse-Delay", type_ = "string", json_path = ".spec.reuseDelay", priority = 1),
    printcolumn(name = "Max-Per-NS", type_ = "integer", json_path = ".spec.maxPerNamespace", priority = 1),
    printcolumn(name = "Static-Band", type_ = "string", json_path = ".status.staticBand", priority = 1),
    printcolumn(
        name = "Default",
        type_ = "string",
        json_path = r".metadata.annotations.hostportclass\.hostport\.io/is-default-class",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct HostPortClassSpec {
    /// Ranges of port numbers that this class hands out. They may grow and shrink at any time; shrinking
    /// takes no port away from a claim that holds it.
    #[schemars(length(min = 1, max = 64))]
    pub pools: Vec<Pool>,

    /// Numbers inside the pools that are never handed out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub exclude: Vec<Exclusion>,

    /// How a free port is picked: Sequential takes the lowest free number, Random any. The lowest numbers of a
    /// class (status.staticBand) come last either way: they are left to claims that want a certain port.
    /// Default: Sequential.
    #[serde(default)]
    pub strategy: Strategy,

    /// What a claim gets: Cluster, the number on all nodes; Node, the number on one node: the same number is granted
    /// many times, once for each node, to claims of one pod each. Cannot be changed. Default: Cluster.
    #[serde(default)]
    pub scope: Scope,

    /// How often each number is granted in scope Node, 1 to 1000000: the number of nodes that the pods can use.
    /// Unset: no limit; a pod for which there is no node stays Pending, where autoscalers see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_nodes: Option<u32>,

    /// What becomes of a port when its claim is gone: Delete gives it back to the pool after reuseDelay,
    /// Retain keeps it until an administrator deletes the HostPort or clears its claimRef. Default: Delete.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,

    /// How long a freed port rests before another claim may have it, so that late packets meant for its last
    /// user reach nobody. Below 40s a pod whose creation was still in flight when its claim was deleted may
    /// be stored on a port that meanwhile belongs to someone else. Default: 60s.
    #[serde(default = "default_reuse_delay")]
    pub reuse_delay: ReuseDelay,

    /// Which namespaces may claim from this class, by their labels. Unset or {}: all. A change takes nothing
    /// away from a claim that holds a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// How many ports the claims of one namespace may hold of this class. Unset: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_per_namespace: Option<u16>,

    /// The largest block that one claim may ask for (its count), 1 to 1000. Default: 64.
    #[serde(default = "default_max_count")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_count: u16,

    /// Also hand out the numbers that Kubernetes itself listens on (2379-2380, 6443, 10248-10259).
    /// Default: false.
    #[serde(default)]
    pub allow_reserved: bool,
}

fn default_reuse_delay() -> ReuseDelay {
    ReuseDelay::DEFAULT
}

fn default_max_count() -> u16 {
    64
}

/// An inclusive range of port numbers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("self.start <= self.end").message("start must not be above end"))]
pub struct Pool {
    /// First port number of the range, 1 to 65535.
    pub start: Port,
    /// Last port number of the range, itself included, 1 to 65535.
    pub end: Port,
}

/// One number, or an inclusive range of numbers, that is left out.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.end) || self.start <= self.end").message("start must not be above end"))]
pub struct Exclusion {
    /// First port number that is left out, 1 to 65535.
    pub start: Port,
    /// Last port number that is left out, 1 to 65535; unset: only start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Port>,
}

/// How a free port is picked.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The lowest free number.
    #[default]
    Sequential,
    /// Any free number.
    Random,
}

/// What a claim gets of a number.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The number, on all nodes.
    #[default]
    Cluster,
    /// The number, on one node.
    Node,
}

/// What becomes of a port when its claim is gone.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReclaimPolicy {
    /// It goes back to the pool after `reuseDelay`.
    #[default]
    Delete,
    /// It stays until an administrator acts.
    Retain,
}

/// What the controller sees of a class. It never names a namespace: classes are readable by all.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostPortClassStatus {
    /// The generation of the class that this status describes.
    #[serde(default)]
    pub observed_generation: i64,
    /// The pools in one line, as "5060-5065,20000-20599".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pools: String,
    /// How many ports the class can hand out in all: pools without excluded and reserved numbers and without
    /// those that belong to an older class; in scope Node times maxNodes, if that is set.
    #[serde(default)]
    pub capacity: i64,
    /// How many ports of the class claims hold.
    #[serde(default)]
    pub allocated: i64,
    /// How many ports of the class rest after their claim, or wait for an administrator (Retain).
    #[serde(default)]
    pub released: i64,
    /// How many numbers of the class are in use by pods or Services without a claim; they are skipped.
    #[serde(default)]
    pub foreign: i64,
    /// How many ports the class can hand out at this moment. Unset: there is no limit (scope Node without maxNodes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<i64>,
    /// The same as text, for the table: "1851", or "-" if there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// How many numbers in the pools are left out because Kubernetes itself listens on them.
    #[serde(default)]
    pub reserved: i64,
    /// The lowest numbers of the class, as "9000-9015": claims without a wanted port get them only when the
    /// others are taken. A 32nd of the class, 16 to 128 numbers; none in a class of 16 or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_band: Option<String>,
    /// How many claims wait for a port of the class.
    #[serde(default)]
    pub waiting: i64,
    /// Ready says whether the class hands out ports; PoolConflict and RiskyRange warn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
