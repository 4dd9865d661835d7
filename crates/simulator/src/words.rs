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
        Action::GetHostPort(port) => format!("GET {port}"),
        Action::ListPods(namespace) => {
            format!("LIST pods of {}", namespace.as_ref().map_or("all", Arc::as_ref))
        }
        Action::CreateHostPort(new) => format!("create {} for {}={}", new.port, new.key, new.uid),
        Action::PatchHostPort { port, version, change, .. } => format!("CAS {port}@{version} {change:?}"),
        Action::DeleteHostPort { port, version, .. } => format!("DELETE {port}@{version}"),
        Action::PatchClaimStatus { key, version, status } => {
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
    run.map_or("-".to_owned(), |run| run.to_string())
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
            format!("HostPort {}@{} {:?} of {holder}", it.port, it.version, it.phase)
        }
        Outcome::Class(it) => format!("class {}@{}", it.name, it.version),
        Outcome::Pods(pods) => format!("{} pods", pods.len()),
        other => format!("{other:?}"),
    }
}
