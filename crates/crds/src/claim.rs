//! HostPortClaim: a tenant's wish for a port, and what came of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Port;

/// A HostPortClaim asks for a port from a HostPortClass, as a PersistentVolumeClaim asks for a volume. Once
/// Bound it keeps its number for life; a pod uses it by the annotation claim.hostport.io/<port-name>.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "hostport.io",
    version = "v1alpha1",
    kind = "HostPortClaim",
    namespaced,
    plural = "hostportclaims",
    singular = "hostportclaim",
    shortname = "hpc",
    category = "hostport",
    status = "HostPortClaimStatus",
    derive = "PartialEq",
    doc = "A HostPortClaim asks for a port from a HostPortClass, as a PersistentVolumeClaim asks for a volume. Once Bound it keeps its number for life; a pod uses it by the annotation claim.hostport.io/<port-name>.",
    selectable = ".status.phase",
    selectable = ".spec.hostPortClassName",
    validation = Rule::new("self.spec == oldSelf.spec").message("spec cannot be changed: a claim keeps its port for life. Create a claim with another name; with the same port it takes the number over once this one is being deleted."),
    validation = Rule::new("!has(self.spec.hostPortName) || self.spec.hostPortName.matches('^[1-9][0-9]{0,4}(-(0|[1-9][0-9]{0,5}))?$') && int(self.spec.hostPortName.split('-')[0]) <= 65535").message("hostPortName is the name of a HostPort: its number, as \"9855\", or number and slot, as \"9870-1\""),
    validation = Rule::new("!has(self.spec.hostPortName) || self.spec.count == 1").message("hostPortName names a single HostPort: leave count out, or name the first number by port"),
    validation = Rule::new("!has(self.spec.hostPortName) || !has(self.spec.port) || self.spec.hostPortName.split('-')[0] == string(self.spec.port)").message("hostPortName and port name different numbers: leave one of them out"),
    validation = Rule::new("!has(self.spec.port) || self.spec.port + self.spec.count <= 65536").message("the block ends above 65535: claim a lower port, or a smaller count"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ports", type_ = "string", json_path = ".status.ports"),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.hostPortClassName"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".spec.port", priority = 1),
    printcolumn(name = "Count", type_ = "integer", json_path = ".spec.count", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct HostPortClaimSpec {
    /// Name of the HostPortClass. Unset: the default class, also when one appears later. "": no class, the
    /// claim is not bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host_port_class_name: Option<String>,

    /// The very port number that is wanted, 1 to 65535; it must be in the class. With count it is the first
    /// number of the block. Unset: any free port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,

    /// How many consecutive numbers the claim holds, 1 to 1000; the class may allow fewer (maxCount).
    /// Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: u16,

    /// Name of a HostPort that stands already and is to be this claim's: one that an administrator made, or
    /// that was retained. It must be Available, or held by a claim of this namespace that is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12))]
    pub host_port_name: Option<String>,
}

impl Default for HostPortClaimSpec {
    fn default() -> Self {
        Self { host_port_class_name: None, port: None, count: one(), host_port_name: None }
    }
}

fn one() -> u16 {
    1
}

/// Where a claim is in its life.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimPhase {
    /// The claim holds no port yet; the Ready condition says why.
    #[default]
    Pending,
    /// The claim holds its port.
    Bound,
    /// The claim's port was removed by hand and cannot be given back to it.
    Lost,
}

/// What the controller made of a claim.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostPortClaimStatus {
    /// The generation of the claim that this status describes; -1 until the controller has looked at it.
    #[serde(default)]
    pub observed_generation: i64,
    /// Pending, Bound or Lost.
    #[serde(default)]
    pub phase: ClaimPhase,
    /// The class that the port comes from, or is awaited from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port_class_name: Option<String>,
    /// The port number, once Bound; of a block the first. It never changes while the claim lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Name of the HostPort that holds it, once Bound in a class of scope Node: "9000-3". In scope Cluster it is the
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    pub host_port_name: Option<String>,
    /// How many consecutive numbers the claim holds, once Bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: Option<u16>,
    /// The numbers as text, for the table: "9000", or "20000-20099".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// Ready says whether the claim holds its port, and if not why and what to do. Stalled stands where
    /// nothing but an edit helps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl HostPortClaim {
    /// The reason of the `Ready` condition, as stored.
    pub fn ready_reason(&self) -> Option<&str> {
        let conditions = &self.status.as_ref()?.conditions;
        conditions.iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.reason.as_str())
    }

    /// The message of the `Ready` condition, as stored.
    pub fn ready_message(&self) -> Option<&str> {
        let conditions = &self.status.as_ref()?.conditions;
        conditions.iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.message.as_str())
    }
}
