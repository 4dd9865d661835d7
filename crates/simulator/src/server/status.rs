//! Statuses as they are stored: the schema's default, and what a write makes of a claim.

use crds::ClaimPhase;
use reconciler::{
    seen::{Claim, Ready, Truth},
    text::{ClaimStatus, Condition},
};

/// The claim with this status stored.
pub fn with_status(claim: Claim, status: &ClaimStatus) -> Claim {
    let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
    Claim {
        phase: status.phase,
        port: status.run.map(|run| run.first),
        slot: status.run.and_then(|run| run.slot),
        used_class: status.class.clone(),
        ready: ready.map(|ready| Ready { status: ready.status, since: status.ready_since }),
        status_digest: status.digest(),
        ..claim
    }
}

/// The status that the schema's default gives a claim that nobody has looked at.
pub fn first_status() -> ClaimStatus {
    let waiting = Condition {
        kind: "Ready",
        status: Truth::Unknown,
        reason: "WaitingForController",
        message: "The hostport controller has not seen this claim yet.".to_owned(),
    };
    ClaimStatus {
        generation: -1,
        phase: ClaimPhase::Pending,
        class: None,
        run: None,
        conditions: vec![waiting],
        ready_since: 0,
    }
}
