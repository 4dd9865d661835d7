//! Worlds for tests, in one expression each.

pub(crate) mod cluster;

use std::collections::BTreeMap;

use crds::{ClaimPhase, ClaimRef, Condition, HostPort, HostPortClaim, HostPortPhase, Port};
use serde_json::json;

use crate::{
    annotations::Plan,
    run::Run,
    standing::{Outlook, Standing},
};

pub(crate) fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

/// A claim of namespace `shop` without a port; `ready` is reason and message of its condition.
pub(crate) fn claim(name: &str, ready: Option<(&str, &str)>) -> HostPortClaim {
    let mut claim = HostPortClaim::new(name, crds::HostPortClaimSpec::default());
    claim.metadata.namespace = Some("shop".to_owned());
    claim.metadata.uid = Some(format!("uid-{name}"));
    claim.status = ready.map(|(reason, message)| crds::HostPortClaimStatus {
        conditions: vec![condition(reason, message)],
        ..Default::default()
    });
    claim
}

pub(crate) fn bound_claim(name: &str, number: u16) -> HostPortClaim {
    let mut claim = claim(name, Some(("Bound", "Bound to port.")));
    let status = claim.status.as_mut().unwrap();
    (status.phase, status.port) = (ClaimPhase::Bound, Some(port(number)));
    claim
}

pub(crate) fn terminating(mut claim: HostPortClaim) -> HostPortClaim {
    claim.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    claim
}

/// The HostPort that the claim of namespace `shop` is bound to.
pub(crate) fn grant(claim: &str, number: u16) -> HostPort {
    let mut granted: HostPort = serde_json::from_value(json!({
        "apiVersion": "hostport.io/v1alpha1",
        "kind": "HostPort",
        "metadata": {"name": number.to_string()},
        "spec": {"port": number, "class": "games", "phase": "Bound"},
    }))
    .unwrap();
    granted.spec.phase = HostPortPhase::Bound;
    granted.spec.claim_ref =
        Some(ClaimRef { namespace: "shop".into(), name: claim.into(), uid: Some(format!("uid-{claim}")) });
    granted
}

fn condition(reason: &str, message: &str) -> Condition {
    serde_json::from_value(json!({
        "type": "Ready", "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

pub(crate) fn held(number: u16) -> Standing {
    Standing::Held(Run::one(port(number)))
}

pub(crate) fn unseen() -> Standing {
    Standing::Unbound {
        outlook: Outlook::Soon,
        reason: "WaitingForController".into(),
        message: "The hostport controller has not seen this claim yet.".into(),
    }
}

pub(crate) fn exhausted() -> Standing {
    Standing::Unbound {
        outlook: Outlook::Later,
        reason: "PoolExhausted".into(),
        message: "No free port in class \"games\" (7000-7099). The claim binds by itself when one is freed."
            .into(),
    }
}

pub(crate) fn plan(annotations: &[(&str, &str)]) -> Plan {
    let owned: BTreeMap<_, _> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let pod = json!({ "metadata": { "annotations": owned } });
    Plan::of(&<crate::pod::Pod as serde::Deserialize>::deserialize(&pod).unwrap()).unwrap()
}
