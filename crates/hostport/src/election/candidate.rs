//! Who leads, decided from the Lease as it was seen and from when it was seen. No clock of another machine counts: a
//! holder is gone when its Lease has not changed for as long as it promised, by our own clock. Every write is made on
//! the version that was seen, so of two that try one gets a conflict.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};

/// Whatever a Lease says, its holder is not waited for longer than this.
const LONGEST: Duration = Duration::from_secs(600);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read the Lease.
    Read,
    /// Write it with us as its holder, on the version that was seen.
    Write,
    /// Nothing before this time, unless the Lease changes.
    Wait(Duration),
    /// We led, and may not any more.
    Lose,
}

/// One that leads or wants to. Times are those of one monotonic clock.
#[derive(Debug)]
pub(crate) struct Candidate {
    identity: String,
    duration: Duration,
    /// The Lease, `None` if there is none, and since when we have seen it like that.
    seen: Option<(Option<Lease>, Duration)>,
    /// We lead; when the last renewal was begun.
    renewed: Option<Duration>,
    /// No request is made before.
    rests_until: Duration,
}

impl Candidate {
    /// One that has seen nothing yet. The identity is of this process alone.
    pub(crate) fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, seen: None, renewed: None, rests_until: Duration::ZERO }
    }

    pub(crate) fn leads(&self) -> bool {
        self.renewed.is_some()
    }

    /// Who holds the Lease, as far as is known.
    pub(crate) fn holder(&self) -> Option<&str> {
        holder(self.lease()?)
    }

    /// How long a request may take, and how long to wait after one that failed.
    pub(crate) fn patience(&self, now: Duration) -> Duration {
        let third = self.duration / 3;
        // Who leads must hear in time that it does not any more.
        self.end().map_or(third, |end| third.min(end.saturating_sub(now)))
    }

    /// When we lead no more, unless the Lease is renewed. Others count from when they saw the renewal, which is later than
    /// when it was begun.
    fn end(&self) -> Option<Duration> {
        self.renewed.map(|renewed| renewed + self.duration - self.duration / 6)
    }

    pub(crate) fn step(&self, now: Duration) -> Step {
        let due = |time: Duration, step| match now >= time {
            true => step,
            false => Step::Wait(time),
        };
        if let (Some(renewed), Some(end)) = (self.renewed, self.end()) {
            if now >= end {
                return Step::Lose;
            }
            let next = (renewed + self.duration / 3).max(self.rests_until).min(end);
            let step = if self.seen.is_some() { Step::Write } else { Step::Read };
            return due(next, step);
        }
        match &self.seen {
            None => due(self.rests_until, Step::Read),
            Some((Some(lease), since)) if holder(lease).is_some_and(|holder| holder != self.identity) => {
                due((*since + promised(lease).unwrap_or(self.duration)).max(self.rests_until), Step::Write)
            }
            Some(_) => due(self.rests_until, Step::Write),
        }
    }

    /// The Lease as a watch or a read showed it.
    pub(crate) fn saw(&mut self, lease: Option<Lease>, now: Duration) {
        if let (Some(known), Some(told)) = (self.lease(), &lease)
            && known.metadata.uid == told.metadata.uid
            && version(known) >= version(told)
        {
            return; // A watch tells late of what we know.
        }
        let ours = lease.as_ref().and_then(holder) == Some(&self.identity);
        if !ours {
            self.renewed = None;
        }
        self.seen = Some((lease, now));
    }

    /// Our write, begun at this time, is stored.
    pub(crate) fn wrote(&mut self, lease: Lease, begun: Duration, now: Duration) {
        self.renewed = Some(begun);
        self.seen = Some((Some(lease), now));
    }

    /// Our write met another version than the one that we had seen.
    pub(crate) fn met_another(&mut self) {
        self.seen = None;
    }

    /// A request failed, and whether it was carried out nobody knows.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.rests_until = now + self.duration / 6;
    }

    /// We do not lead any more.
    pub(crate) fn lose(&mut self) {
        self.renewed = None;
    }

    /// The Lease with us as its holder.
    pub(crate) fn taken(&self, name: &str, now: Timestamp) -> Lease {
        let mut lease = self.lease().cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        let ours = holder(&lease) == Some(&self.identity);
        let mut spec = lease.spec.take().unwrap_or_default();
        if !ours {
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |all| all.saturating_add(1)));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(seconds(self.duration));
        spec.renew_time = Some(MicroTime(now));
        lease.spec = Some(spec);
        lease
    }

    /// The Lease as we leave it behind: nobody's. Nothing if it is not ours.
    pub(crate) fn left(&self) -> Option<Lease> {
        let mut lease = self.lease().filter(|_| self.leads())?.clone();
        let spec = lease.spec.take().unwrap_or_default();
        lease.spec = Some(LeaseSpec { holder_identity: None, renew_time: None, acquire_time: None, ..spec });
        Some(lease)
    }

    fn lease(&self) -> Option<&Lease> {
        self.seen.as_ref()?.0.as_ref()
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// For how long the holder has promised to be heard of again.
fn promised(lease: &Lease) -> Option<Duration> {
    let seconds = u64::try_from(lease.spec.as_ref()?.lease_duration_seconds?).ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

fn version(lease: &Lease) -> Option<u64> {
    lease.metadata.resource_version.as_ref()?.parse().ok()
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs_f64().ceil() as i64).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
