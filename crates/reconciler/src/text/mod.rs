//! What people read: statuses, reasons and sentences. No sentence carries a number that moves by itself (I9).

mod trouble;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use allocator::{Counts, Port};
use crds::{ClaimPhase, Reason};

pub use trouble::Trouble;

use crate::seen::{Ready, Run, Truth};

/// A condition without its bookkeeping fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// `type`
    pub kind: &'static str,
    /// `status`
    pub status: Truth,
    /// `reason`
    pub reason: &'static str,
    /// `message`
    pub message: String,
}

/// The whole status of a claim, as we write it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimStatus {
    /// `observedGeneration`
    pub generation: i64,
    /// `phase`
    pub phase: ClaimPhase,
    /// `hostPortClassName`
    pub class: Option<Arc<str>>,
    /// `port`, `count` and `ports`
    pub run: Option<Run>,
    /// `Ready` first; `Stalled` where nothing but an edit helps.
    pub conditions: Vec<Condition>,
    /// When `Ready` last changed its status, seconds since the epoch.
    pub ready_since: i64,
}

impl ClaimStatus {
    /// Equal for statuses that read the same, whenever they were written.
    pub fn digest(&self) -> u64 {
        let conditions = self.conditions.iter().map(|condition| {
            (condition.kind, condition.status.as_str(), condition.reason, condition.message.as_str())
        });
        claim_digest(self.generation, self.phase, self.class.as_deref(), self.run, conditions)
    }
}

/// The fingerprint behind [`ClaimStatus::digest`], also taken of what is stored.
pub fn claim_digest<'a>(
    generation: i64,
    phase: ClaimPhase,
    class: Option<&str>,
    run: Option<Run>,
    conditions: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    let run = run.map(|run| (run.first.get(), run.count, run.slot));
    (generation, phase as u8, class, run).hash(&mut hasher);
    conditions.for_each(|condition| condition.hash(&mut hasher));
    hasher.finish()
}

/// The whole status of a class, as we write it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassStatus {
    /// `observedGeneration`
    pub generation: i64,
    /// `pools`
    pub pools: String,
    /// `staticBand`
    pub static_band: Option<String>,
    /// The counts.
    pub counts: Counts,
    /// `waiting`
    pub waiting: usize,
    /// `Ready`, and warnings.
    pub conditions: Vec<Condition>,
    /// When each condition last changed its status, seconds since the epoch.
    pub since: Vec<i64>,
}

/// What stands in a class's fingerprint for a number of free ports that has no limit.
pub const UNLIMITED: i64 = -1;

impl ClassStatus {
    /// `free`; none if there is no limit.
    pub fn free(&self) -> Option<i64> {
        (!self.counts.unlimited).then_some(self.counts.free as i64)
    }

    /// `room`: the same for the table.
    pub fn room(&self) -> String {
        self.free().map_or("-".to_owned(), |free| free.to_string())
    }

    /// Equal for statuses that read the same, whenever they were written.
    pub fn digest(&self) -> u64 {
        let counts = &self.counts;
        let numbers = [
            counts.capacity,
            counts.allocated,
            counts.released,
            counts.foreign,
            counts.free,
            counts.reserved,
            self.waiting,
        ];
        let mut numbers = numbers.map(|count| count as i64);
        numbers[4] = self.free().unwrap_or(UNLIMITED);
        let conditions = self.conditions.iter().map(|condition| {
            (condition.kind, condition.status.as_str(), condition.reason, condition.message.as_str())
        });
        let band = self.static_band.as_deref();
        class_digest(self.generation, (&self.pools, band), numbers, conditions)
    }
}

/// The fingerprint behind [`ClassStatus::digest`], also taken of what is stored.
pub fn class_digest<'a>(
    generation: i64,
    pools: (&str, Option<&str>),
    numbers: [i64; 7],
    conditions: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    (generation, pools, numbers).hash(&mut hasher);
    conditions.for_each(|condition| condition.hash(&mut hasher));
    hasher.finish()
}

/// `Ready: True` of a Bound claim.
pub fn bound(run: Run, class: &str) -> Condition {
    let ports = if run.count == 1 { "port" } else { "ports" };
    Condition {
        kind: "Ready",
        status: Truth::True,
        reason: Reason::Bound.as_str(),
        message: format!("Holds {ports} {run} of class \"{class}\"."),
    }
}

/// `Ready: False` of a claim that is being deleted while a pod uses it.
pub fn in_use(port: Port, pod: &str) -> Condition {
    Condition {
        kind: "Ready",
        status: Truth::False,
        reason: Reason::InUse.as_str(),
        message: format!(
            "Port {port} is in use by pod {pod}. The claim goes when its pods have ended; new pods on it are \
             refused. To keep the port for a new claim, create it with port: {port} in this namespace."
        ),
    }
}

/// The conditions of a claim in trouble.
pub fn troubled(trouble: &Trouble) -> Vec<Condition> {
    let ready = Condition {
        kind: "Ready",
        status: Truth::False,
        reason: trouble.reason.as_str(),
        message: trouble.message.clone(),
    };
    let stalled =
        trouble.stalled.then(|| Condition { kind: "Stalled", status: Truth::True, ..ready.clone() });
    std::iter::once(ready).chain(stalled).collect()
}

/// When a condition last changed: what is stored, unless its status changes now.
pub fn since(stored: Option<&Ready>, status: Truth, now: i64) -> i64 {
    match stored {
        Some(ready) if ready.status == status => ready.since,
        _ => now.div_euclid(1000),
    }
}
