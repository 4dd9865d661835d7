//! Requests and their outcomes in a few words, for traces.

use std::sync::Arc;

use allocator::Port;
use reconciler::{
    action::{Action, Outcome},
    seen::Run,
};

/// A request in a few words.
pub fn words(action: &Action) -> String {
    match action {
        Action::GetClaim(key) => format!("GET claim {key}"),
        Action::GetHostPort(spot) => format!("GET {spot}"),
        Action::ListSlots(port) => format!("LIST slots of {port}"),
        Action::ListPods(namespace) => {
            format!("LIST pods of {}", namespace.as_ref().map_or("all", Arc::as_ref))
        }
        Action::CreateHostPort(new) => format!("create {} for {}={}", new.spot, new.key, new.uid),
        Action::PatchHostPort { spot, version, change, .. } => format!("CAS {spot}@{version} {change:?}"),
        Action::DeleteHostPort { spot, version, .. } => format!("DELETE {spot}@{version}"),
        Action::PutClaimStatus { key, version, status } => {
            let (phase, reason) = (status.phase, status.conditions[0].reason);
            format!("status {key}@{version} {phase:?} {} {reason}", run(status.run))
        }
        Action::PatchFinalizers { key, version, finalizers, .. } => {
            format!("finalizers {key}@{version} {finalizers:?}")
        }
        Action::PatchClassStatus { name, status } => {
            let (counts, waiting) = (&status.counts, status.waiting);
            let (allocated, released, free) = (counts.allocated, counts.released, counts.free);
            format!(
                "status of class {name}: {allocated} allocated, {released} released, {free} free, {waiting} waiting"
            )
        }
        Action::AdoptClaim { key, .. } => format!("adopt {key}"),
        Action::DeleteClaim { key, .. } => format!("DELETE claim {key}"),
        Action::GetStatefulSet(key) => format!("GET StatefulSet {key}"),
        Action::Tell(_) | Action::Audit(_) => String::new(),
    }
}

fn run(run: Option<Run>) -> String {
    let slot = run.filter(|run| run.slot.is_some()).and_then(|run| run.member(0));
    let slot = slot.map(|spot| spot.to_string());
    slot.or(run.map(|run| run.to_string())).unwrap_or("-".to_owned())
}

fn number(port: Option<Port>) -> String {
    port.map_or("-".to_owned(), |port| port.to_string())
}

/// An outcome in a few words.
pub fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Claim(it) => {
            format!("claim {}={}@{} {:?} {}", it.key, it.uid, it.version, it.phase, number(it.port))
        }
        Outcome::HostPort(it) => {
            let holder = it.holder.as_ref().map_or("nobody".into(), |holder| holder.uid.clone());
            format!("HostPort {}@{} {:?} of {holder}", it.spot, it.version, it.phase)
        }
        Outcome::Class(it) => format!("class {}@{}", it.name, it.version),
        Outcome::HostPorts(found) => format!("{} HostPorts", found.len()),
        Outcome::Pods(pods) => format!("{} pods", pods.len()),
        other => format!("{other:?}"),
    }
}
