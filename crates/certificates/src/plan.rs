//! What is to be done next, from what is stored, what the API server has been told, and what time it is. Each step is
//! one write; whoever comes after a crash reads what is stored and goes on from there.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::stored::Stored;

/// How long CAs and serving certificates live. Either is renewed when two thirds are over.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of a CA.
    pub ca: Duration,
    /// Of a serving certificate; it ends with its CA at the latest.
    pub certificate: Duration,
}

impl Lifetimes {
    /// How long API servers have to hear of a CA before something that it signed is served.
    pub(crate) fn settling(self) -> Duration {
        (self.certificate.min(self.ca) / 12).min(Duration::from_secs(10))
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a CA: there is none that could sign.
    Begin,
    /// Make the CA that will be next.
    Prepare,
    /// Leave only what is to be trusted in the bundle: a CA has ended, or somebody has changed the Secret.
    Tidy,
    /// Tell the API server whom to trust.
    Inject,
    /// Make a serving certificate by the CA that signs.
    Issue,
    /// The next CA signs from now on, first of all a serving certificate.
    Switch,
    /// Nothing before this time.
    Rest(Timestamp),
}

/// The next step. `told_for` is how long this process has seen the bundle in every webhook configuration, `None` if it
/// is not there.
pub(crate) fn next(
    stored: &Stored,
    hosts: &BTreeSet<String>,
    told_for: Option<Duration>,
    now: Timestamp,
    lifetimes: Lifetimes,
) -> Step {
    let Some(signing) = stored.signing.as_ref().filter(|it| it.term.holds(now)) else {
        return Step::Begin;
    };
    let next_ca = stored.next.as_ref().filter(|it| it.term.holds(now));
    if next_ca.is_none() && now >= signing.term.renewal() {
        return Step::Prepare;
    }
    if stored.trusted != stored.to_be_trusted(now) {
        return Step::Tidy;
    }
    let Some(told_for) = told_for else { return Step::Inject };

    let Some(serving) = stored.serving.as_ref().filter(|it| it.term.holds(now)) else {
        return Step::Issue; // Nothing can be served, so nothing can be spoilt.
    };
    let wanted = match next_ca {
        None if serving.by == signing.name && serving.hosts == *hosts => serving.term.renewal(),
        _ => now,
    };
    let settled = now.saturating_add(lifetimes.settling().saturating_sub(told_for)).unwrap_or(now);
    let due = wanted.max(settled);
    if due <= now {
        return if next_ca.is_some() { Step::Switch } else { Step::Issue };
    }
    let renewal = next_ca.is_none().then(|| signing.term.renewal());
    let ends = stored.trusted.iter().map(|ca| ca.ends);
    Step::Rest(ends.chain(renewal).fold(due, Timestamp::min))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
