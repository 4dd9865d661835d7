//! API objects with only the fields that the core uses: what is not named here is never kept, and mostly not
//! even parsed.

use std::collections::BTreeMap;

use crds::{
    Block, ClaimPhase, ClaimRef, HostPort, HostPortClaim, HostPortPhase, ReclaimPolicy,
    names::{
        ANNOTATION_ENABLED_OWN, ANNOTATION_OWN, ANNOTATION_PREFERRED_PORT, ANNOTATION_SCALED_WITH, LABEL_MADE,
    },
};
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Namespace, Pod, ResourceQuota, Service},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::Resource;
use serde::{Deserialize, Deserializer, Serialize};

/// Annotations that are kept.
const NOTED: [&str; 3] = [ANNOTATION_ENABLED_OWN, ANNOTATION_PREFERRED_PORT, ANNOTATION_SCALED_WITH];

/// A claim as watched.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = HostPortClaim)]
pub(super) struct SlimHostPortClaim {
    #[serde(deserialize_with = "slim")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: ClaimSpec,
    #[serde(default)]
    pub(super) status: ClaimStatus,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimSpec {
    pub(super) host_port_class_name: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) count: Option<u16>,
    pub(super) host_port_name: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClaimStatus {
    pub(super) observed_generation: i64,
    pub(super) phase: ClaimPhase,
    pub(super) host_port_class_name: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) host_port_name: Option<String>,
    pub(super) count: Option<u16>,
    pub(super) conditions: Vec<Condition>,
}

/// A condition as stored.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) last_transition_time: Time,
}

/// A HostPort as watched.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = HostPort)]
pub(super) struct SlimHostPort {
    #[serde(deserialize_with = "slim")]
    pub(super) metadata: ObjectMeta,
    pub(super) spec: PortSpec,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortSpec {
    pub(super) port: i64,
    pub(super) class: String,
    pub(super) slot: Option<u32>,
    pub(super) takeovers: Option<u32>,
    pub(super) claim_ref: Option<ClaimRef>,
    pub(super) block: Option<Block>,
    #[serde(default)]
    pub(super) reclaim_policy: ReclaimPolicy,
    pub(super) reuse_delay: Option<crds::ReuseDelay>,
    pub(super) released_at: Option<Time>,
    pub(super) held_by: Option<String>,
    #[serde(default)]
    pub(super) phase: HostPortPhase,
}

/// A pod as watched: its host ports.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = Pod)]
pub(super) struct SlimPod {
    #[serde(deserialize_with = "slim")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: PodSpec,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) host_network: bool,
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Vec<Container>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) ports: Vec<ContainerPort>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    pub(super) container_port: i64,
    pub(super) host_port: i64,
}

/// A StatefulSet as read: how many pods it is to have, and from which ordinal on.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = StatefulSet)]
pub(super) struct SlimStatefulSet {
    #[serde(deserialize_with = "slim")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: SetSpec,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub(super) struct SetSpec {
    pub(super) replicas: Option<i64>,
    pub(super) ordinals: Option<Ordinals>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub(super) struct Ordinals {
    pub(super) start: i64,
}

/// A Service as watched: its node ports.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = Service)]
pub(super) struct SlimService {
    #[serde(deserialize_with = "slim")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: ServiceSpec,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    pub(super) ports: Vec<ServicePort>,
    pub(super) health_check_node_port: i64,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    pub(super) node_port: i64,
}

/// A namespace as watched: its labels.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = Namespace)]
pub(super) struct SlimNamespace {
    #[serde(deserialize_with = "with_labels")]
    pub(super) metadata: ObjectMeta,
}

/// A quota as watched: its hard limits.
#[derive(Resource, Serialize, Deserialize, Clone, Debug)]
#[resource(inherit = ResourceQuota)]
pub(super) struct SlimResourceQuota {
    #[serde(deserialize_with = "slim")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: QuotaSpec,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub(super) struct QuotaSpec {
    pub(super) hard: BTreeMap<String, Limit>,
}

/// A quantity as stored: a number, with a suffix of thousands where it is whole in them.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(transparent)]
pub(super) struct Limit(String);

impl Limit {
    /// The whole number; one that is none limits to nothing. Source of the suffixes: the API's Quantity.
    pub(super) fn whole(&self) -> usize {
        let end = self.0.find(|it: char| !it.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, suffix) = self.0.split_at(end);
        let power = |base: usize, suffixes: [&str; 4]| {
            let place = suffixes.iter().position(|it| *it == suffix)?;
            base.checked_pow(u32::try_from(place).ok()? + 1)
        };
        let factor = match suffix {
            "" => Some(1),
            _ => power(1000, ["k", "M", "G", "T"]).or_else(|| power(1024, ["Ki", "Mi", "Gi", "Ti"])),
        };
        digits.parse().unwrap_or(0usize).saturating_mul(factor.unwrap_or(0))
    }
}

/// Reads name, version and all labels.
fn with_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        name: Option<String>,
        resource_version: Option<String>,
        labels: Option<BTreeMap<String, String>>,
    }
    let Meta { name, resource_version, labels } = Meta::deserialize(deserializer)?;
    Ok(ObjectMeta { name, resource_version, labels, ..ObjectMeta::default() })
}

/// Reads what is used of an object's metadata.
fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let meta = Meta::deserialize(deserializer)?;
    let ours = |(key, _): &(String, String)| key.starts_with("hostport.io/");
    let labels: BTreeMap<_, _> = meta.labels.into_iter().filter(ours).collect();
    // Of a claim what admission noted on it, of a pod which claims were made for it.
    let noted =
        |(key, _): &(String, String)| NOTED.contains(&key.as_str()) || key.starts_with(ANNOTATION_OWN);
    let annotations: BTreeMap<_, _> = meta.annotations.into_iter().filter(noted).collect();
    let made = labels.contains_key(LABEL_MADE);
    Ok(ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        generation: meta.generation,
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        finalizers: meta.finalizers,
        labels: (!labels.is_empty()).then_some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: meta.owner_references.filter(|_| made),
        ..ObjectMeta::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_the_api_server_stores_it() {
        let whole = |stored: &str| Limit(stored.to_owned()).whole();

        assert_eq!([whole("12"), whole("2k"), whole("1M"), whole("3Ki")], [12, 2000, 1_000_000, 3072]);
        assert_eq!([whole("500m"), whole("-1"), whole("")], [0, 0, 0]);
    }
}
