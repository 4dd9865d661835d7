//! From the core's changes to the objects and patches that are sent.

use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};

use allocator::Spot;
use crds::{
    Block, ClaimRef, HostPort as ApiHostPort, HostPortClaim, HostPortClaimSpec, HostPortClaimStatus,
    HostPortPhase, HostPortSpec, ReuseDelay,
    names::{LABEL_CLAIM_NAMESPACE, LABEL_CLASS, LABEL_FOR_OWNER},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::{
    action::{HostPortChange, NewHostPort},
    seen::{Key, Owner, Uid, Version},
    text::{ClaimStatus, ClassStatus, Condition},
};

/// The HostPort that is created for a claim.
pub(super) fn hostport_of(new: &NewHostPort) -> ApiHostPort {
    let spec = HostPortSpec {
        port: crds::Port::from(NonZeroU16::from(new.spot.port())),
        class: new.class.to_string(),
        claim_ref: Some(ClaimRef {
            namespace: new.key.namespace.to_string(),
            name: new.key.name.to_string(),
            uid: Some(new.uid.to_string()),
        }),
        block: new.block.map(|first| Block {
            first: crds::Port::from(NonZeroU16::from(first)),
            index: new.spot.port().get() - first.get(),
        }),
        scope: if new.spot.is_whole() { crds::Scope::Cluster } else { crds::Scope::Node },
        slot: new.spot.slot(),
        reclaim_policy: new.policy,
        reuse_delay: None,
        released_at: None,
        held_by: None,
        takeovers: None,
        phase: HostPortPhase::Bound,
    };
    let mut hostport = ApiHostPort::new(&new.spot.to_string(), spec);
    hostport.metadata.labels = Some(labels_of(&new.class, &new.key.namespace));
    hostport
}

/// The labels of a HostPort that a claim holds.
fn labels_of(class: &str, namespace: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_CLASS.to_owned(), class.to_owned()),
        (LABEL_CLAIM_NAMESPACE.to_owned(), namespace.to_owned()),
    ])
}

/// The merge patch of a compare-and-swap: it hits this version only.
pub(super) fn merge_patch_of(spot: Spot, version: Version, change: &HostPortChange) -> Value {
    let phase = change.phase().as_str();
    let (spec, namespace) = match change {
        HostPortChange::Bind { key, uid, block } => (
            json!({
                "claimRef": { "namespace": &*key.namespace, "name": &*key.name, "uid": &**uid },
                "block": block.map(|first| json!({ "first": first.get(), "index": spot.port().get() - first.get() })),
                "phase": phase, "releasedAt": null, "reuseDelay": null, "heldBy": null,
            }),
            Some(Some(&*key.namespace)),
        ),
        HostPortChange::Release { released_at, reuse_delay, held_by } => (
            json!({
                "phase": phase,
                "releasedAt": Timestamp::from_millisecond(*released_at).unwrap_or_default(),
                "reuseDelay": ReuseDelay::new(Duration::from_millis(*reuse_delay)),
                "heldBy": held_by.as_deref(),
            }),
            None,
        ),
        HostPortChange::Hold { by } => (json!({ "heldBy": &**by }), None),
        HostPortChange::TakeOver { count } => (json!({ "takeovers": count }), None),
        HostPortChange::Clear => (
            json!({ "claimRef": null, "block": null, "phase": phase, "releasedAt": null, "reuseDelay": null, "heldBy": null }),
            Some(None),
        ),
    };
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if let Some(namespace) = namespace {
        metadata["labels"] = json!({ LABEL_CLAIM_NAMESPACE: namespace });
    }
    json!({ "metadata": metadata, "spec": spec })
}

/// The merge patch by which pods adopt a claim that was made for one of them: nobody else is to have it any more.
pub(super) fn adoption_patch(uid: &Uid, version: Version, owners: &[Owner]) -> Value {
    let owner = |it: &Owner| {
        json!({ "apiVersion": "v1", "kind": "Pod", "name": &*it.name, "uid": &*it.uid, "controller": false,
            "blockOwnerDeletion": false })
    };
    json!({ "metadata": {
        "uid": &**uid,
        "resourceVersion": version.to_string(),
        "ownerReferences": owners.iter().map(owner).collect::<Vec<_>>(),
        "labels": { LABEL_FOR_OWNER: null },
    } })
}

/// A claim with this status, on this version only. To be put, not patched: the whole status is the controller's, and the
/// API server has less to do. It takes nothing but the status of it.
pub(super) fn claim_with_status(key: &Key, version: Version, status: &ClaimStatus) -> HostPortClaim {
    let mut claim = HostPortClaim::new(&key.name, HostPortClaimSpec::default());
    claim.metadata.namespace = Some(key.namespace.to_string());
    claim.metadata.resource_version = Some(version.to_string());
    claim.status = Some(HostPortClaimStatus {
        observed_generation: status.generation,
        phase: status.phase,
        host_port_class_name: status.class.as_deref().map(str::to_owned),
        port: status.run.map(|run| crds::Port::from(NonZeroU16::from(run.first))),
        host_port_name: status
            .run
            .filter(|run| run.slot.is_some())
            .and_then(|run| run.member(0))
            .map(|spot| spot.to_string()),
        count: status.run.map(|run| run.count),
        ports: status.run.map(|run| run.to_string()),
        conditions: conditions(&status.conditions, status.generation, |_| status.ready_since),
    });
    claim
}

/// The merge patch of a class's status.
pub(super) fn class_status_patch(status: &ClassStatus) -> Value {
    let since = |index: usize| status.since.get(index).copied().unwrap_or_default();
    json!({
        "status": {
            "observedGeneration": status.generation,
            "pools": status.pools,
            "staticBand": status.static_band,
            "capacity": status.counts.capacity,
            "allocated": status.counts.allocated,
            "released": status.counts.released,
            "foreign": status.counts.foreign,
            "free": status.free(),
            "room": status.room(),
            "reserved": status.counts.reserved,
            "waiting": status.waiting,
            "conditions": conditions(&status.conditions, status.generation, since),
        }
    })
}

fn conditions(all: &[Condition], generation: i64, since: impl Fn(usize) -> i64) -> Vec<crds::Condition> {
    let one = |(index, it): (usize, &Condition)| crds::Condition {
        type_: it.kind.to_owned(),
        status: it.status.as_str().to_owned(),
        reason: it.reason.to_owned(),
        message: it.message.clone(),
        observed_generation: Some(generation),
        last_transition_time: Time(Timestamp::from_second(since(index)).unwrap_or_default()),
    };
    all.iter().enumerate().map(one).collect()
}
