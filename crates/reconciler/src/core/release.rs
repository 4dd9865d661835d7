//! A number after its claim: Released, at rest, free. Nothing is deleted without both checks, and each write
//! hits only the version that it was decided on.

use std::{sync::Arc, time::Duration};

use allocator::Spot;
use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy, ReuseDelay};

use super::{
    AGAIN, Alarm, Asker, Core, REFUSED,
    binding::{is_none, read_other},
    carriers::Curious,
    need::Need,
};
use crate::{
    action::{Action, Deed, HostPortChange, Notice, Outcome, Subject},
    seen::{Claim, HostPort, Key, Pod, Uid, Version},
    text::{self, Trouble},
};

/// A create can be under way for 34 s inside the API server; a pod admitted before its claim was seen to be
/// gone is stored by then, or never.
pub(super) const IN_FLIGHT: Duration = Duration::from_secs(40);
/// The longest time between two looks at a number that rests: the wall clock may jump.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// Between two looks at a slot that waits for other slots of its number.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much `releasedAt`, rounded up, may be ahead of the clock that wrote it, milliseconds.
const ROUNDING: i64 = 1000;
/// What `heldBy` says of a number that waits for an administrator.
const RETAINED: &str = "admin (Retain)";

/// When this process itself saw the claim of a Released HostPort gone; worth nothing at another version (C3, C5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) version: Version,
    pub(super) at: Duration,
    /// N2: this process itself wrote that version, so nobody's write that was decided before can hit it.
    pub(super) own: bool,
    /// When its number is looked at next. Each look before would set an alarm of its own, as its clock has moved.
    alarm: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Is the claim gone, so that the port becomes Released?
    ReadBeforeRelease,
    /// Is the claim of a Released port gone? The rest begins.
    ReadBeforeRest,
    /// Is it still, now that the rest is over?
    ReadBeforeFree,
    /// N3: does the number stand in both forms of its name, so that this one is given up?
    ReadOther,
    /// A member of a block that cannot be completed: the claim gets a new version.
    Void,
    ListPods,
    Release,
    Hold,
    /// N2: another process may have decided on this slot.
    TakeOver,
    Free,
    /// What was known of the HostPort is old: read it, and decide anew.
    Reread,
}

/// What is being done for a number without a living claim.
#[derive(Debug)]
pub(super) struct SpotJob {
    hostport: Box<HostPort>,
    pub(super) step: Step,
}

/// What a live read of the claim says of a HostPort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The claim that holds it is gone.
    Gone,
    /// The claim lives, but holds another number.
    Surplus,
    /// The claim lives and may want it.
    Wanted,
}

fn verdict(uid: &Uid, spot: Spot, claim: Option<&Claim>) -> Verdict {
    match claim.filter(|claim| claim.uid == *uid) {
        None => Verdict::Gone,
        Some(claim) if !claim.is_pending() && !claim.names(spot) => Verdict::Surplus,
        Some(_) => Verdict::Wanted,
    }
}

impl Core {
    pub(super) fn decide_spot(&mut self, spot: Spot) {
        let Some(hostport) = self.known.hostport(spot) else {
            self.sightings.remove(&spot);
            self.resting_spots.remove(&spot);
            return;
        };
        if self.is_busy(spot) {
            return; // The end of that work names the number again.
        }
        if self.resting_spots.get(&spot).is_some_and(|until| *until > self.now.mono) {
            return; // Its alarm names the number again.
        }
        self.resting_spots.remove(&spot);
        let hostport = hostport.clone();
        let Some(holder) = &hostport.holder else {
            if hostport.phase == HostPortPhase::Released {
                // An administrator cleared the claimRef; phase follows.
                self.swap(hostport, HostPortChange::Clear, Step::Release);
            }
            return;
        };
        let claim = self.known.claim(&holder.key);
        let verdict = verdict(&holder.uid, spot, claim);
        let hopeless = claim.is_some_and(|claim| self.is_hopeless(claim, &hostport));
        if verdict == Verdict::Wanted && !hopeless || self.is_for(claim, &hostport) {
            return; // The claim's own affair.
        }
        match hostport.phase {
            HostPortPhase::Bound => self.read_claim(hostport, Step::ReadBeforeRelease),
            HostPortPhase::Released
                if hostport.policy == ReclaimPolicy::Delete || verdict != Verdict::Gone =>
            {
                self.rest(hostport);
            }
            HostPortPhase::Released | HostPortPhase::Available => {}
        }
    }

    /// A later claim of the same name takes the number over by itself.
    fn is_for(&self, claim: Option<&Claim>, hostport: &HostPort) -> bool {
        let Some(claim) = claim.filter(|claim| !claim.deleting && !hostport.belongs_to(&claim.uid)) else {
            return false;
        };
        match claim.is_pending() {
            false => {
                let restored = claim.phase == ClaimPhase::Bound || self.may_come_back(claim);
                restored && claim.names(hostport.spot) && self.may_take(claim, hostport)
            }
            true => self.rebinds(claim, hostport),
        }
    }

    /// Released: begins, continues or ends the rest.
    fn rest(&mut self, hostport: HostPort) {
        let spot = hostport.spot;
        let seen = self.sightings.get(&spot).filter(|seen| seen.version == hostport.version).copied();
        let Some(seen) = seen else { return self.read_claim(hostport, Step::ReadBeforeRest) };
        let delay = hostport.reuse_delay.unwrap_or(ReuseDelay::DEFAULT.get());
        let by_own_clock = |rest: Duration| (seen.at + rest).saturating_sub(self.now.mono);
        let released_at = hostport.released_at.unwrap_or_default();
        let until = released_at.saturating_add(delay.as_millis() as i64);
        let by_wall_clock = Duration::from_millis(until.saturating_sub(self.now.wall).max(0) as u64);
        // A releasedAt of a clock that was ahead holds nothing up for longer than the rest itself.
        let ahead = released_at > self.now.wall.saturating_add(ROUNDING);
        let by_wall_clock = if ahead { by_wall_clock.min(by_own_clock(delay)) } else { by_wall_clock };
        let left = by_wall_clock.max(by_own_clock(delay.min(IN_FLIGHT)));
        if !left.is_zero() {
            return self.look_again(spot, self.now.mono + left.min(LONGEST_REST));
        }
        let known_user = hostport.holder.as_ref().and_then(|it| self.known.user_of(spot, &it.key));
        let known_user = known_user.cloned().or_else(|| self.known_holder_back(&hostport));
        if known_user.is_some_and(|pod| hostport.held_by.as_deref() == Some(&*used_by(&pod))) {
            return; // Said already; the pod's end names the number again.
        }
        self.read_claim(hostport, Step::ReadBeforeFree);
    }

    fn look_again(&mut self, spot: Spot, at: Duration) {
        let Some(seen) = self.sightings.get_mut(&spot) else { return };
        if seen.alarm.is_none_or(|set| set <= self.now.mono || set > at) {
            seen.alarm = Some(at);
            self.schedule.at(at, Alarm::Spot(spot));
        }
    }

    fn read_claim(&mut self, hostport: HostPort, step: Step) {
        let Some(key) = hostport.holder.as_ref().map(|holder| holder.key.clone()) else { return };
        self.spot_ask(hostport, step, Action::GetClaim(key));
    }

    fn swap(&mut self, hostport: HostPort, change: HostPortChange, step: Step) {
        let (spot, uid, version) = (hostport.spot, hostport.uid.clone(), hostport.version);
        self.spot_ask(hostport, step, Action::PatchHostPort { spot, uid, version, change });
    }

    fn spot_ask(&mut self, hostport: HostPort, step: Step, action: Action) {
        let spot = hostport.spot;
        self.spot_jobs.insert(spot, SpotJob { hostport: Box::new(hostport), step });
        self.ask(Asker::Spot(spot), action);
    }

    pub(super) fn spot_answered(&mut self, spot: Spot, action: Action, outcome: Outcome) {
        let Some(SpotJob { hostport, step }) = self.spot_jobs.remove(&spot) else { return };
        if let Outcome::Refused(words) = &outcome {
            tracing::warn!(%spot, ?action, error = %words, "the API server refused a request");
            return self.finish_refused(spot);
        }
        match (step, outcome) {
            (
                Step::ReadBeforeRelease | Step::ReadBeforeRest | Step::ReadBeforeFree,
                Outcome::Claim(claim),
            ) => {
                self.claim_was_read(*hostport, step, Some(&claim));
            }
            (Step::ReadBeforeRelease | Step::ReadBeforeRest | Step::ReadBeforeFree, Outcome::NotFound) => {
                self.claim_was_read(*hostport, step, None);
            }
            (Step::ReadOther, outcome) if is_none(&outcome) => {
                self.finish_later(spot, AGAIN); // The watch is behind this read, and will name the number.
            }
            (Step::ReadOther, Outcome::HostPort(_) | Outcome::HostPorts(_)) => {
                let change = self.release_of(&hostport, Verdict::Wanted);
                self.swap(*hostport, change, Step::Release);
            }
            (Step::Void, Outcome::Claim(_)) => {
                if let Some(holder) = hostport.holder.clone() {
                    self.list_pods(*hostport, holder.key.namespace);
                }
            }
            (Step::Release | Step::Hold, Outcome::HostPort(after)) => {
                if after.phase == HostPortPhase::Released {
                    // This process has just seen the claim gone.
                    let seen = Sighting { version: after.version, at: self.now.mono, own: true, alarm: None };
                    self.sightings.insert(spot, seen);
                }
                let released = step == Step::Release && after.phase == HostPortPhase::Released;
                match released {
                    true => self.audit(Deed::Release, &after),
                    false if step == Step::Release => self.audit(Deed::Free, &hostport),
                    false => self.tell_held(&after),
                }
                self.finish_spot(spot);
            }
            (Step::TakeOver, Outcome::HostPort(after)) => {
                // It was seen gone at the very version that this replaced.
                if let Some(seen) = self.sightings.get(&spot).filter(|it| it.version == hostport.version) {
                    let sighting = Sighting { version: after.version, own: true, ..*seen };
                    self.sightings.insert(spot, sighting);
                }
                self.finish_spot(spot);
            }
            (Step::Free, Outcome::Done | Outcome::NotFound) => {
                self.known.bury_hostport(spot, &hostport.uid);
                self.audit(Deed::Free, &hostport);
                self.finish_spot(spot);
            }
            (Step::Free, Outcome::HostPort(_)) => {
                self.audit(Deed::Free, &hostport);
                self.finish_spot(spot);
            }
            (Step::Reread, _) => self.finish_spot(spot),
            _ => self.spot_ask(*hostport, Step::Reread, Action::GetHostPort(spot)),
        }
    }

    fn claim_was_read(&mut self, hostport: HostPort, step: Step, claim: Option<&Claim>) {
        let spot = hostport.spot;
        let Some(holder) = hostport.holder.clone() else { return self.finish_spot(spot) };
        let verdict = verdict(&holder.uid, spot, claim);
        if verdict == Verdict::Gone {
            self.known.bury_claim(&holder.key, &holder.uid);
        }
        let hopeless = claim.filter(|claim| self.is_hopeless(claim, &hostport));
        if verdict == Verdict::Wanted && hopeless.is_none() || self.is_for(claim, &hostport) {
            return self.finish_spot(spot);
        }
        match step {
            // C6: a status under way that names the block is void once the claim has another version.
            Step::ReadBeforeFree if let Some(claim) = hopeless => self.void_status(hostport, claim),
            Step::ReadBeforeRelease if hopeless.is_some_and(|claim| claim.count == 1) => {
                let action = read_other(spot);
                self.spot_ask(hostport, Step::ReadOther, action);
            }
            Step::ReadBeforeRelease => {
                let change = self.release_of(&hostport, verdict);
                self.swap(hostport, change, Step::Release);
            }
            Step::ReadBeforeFree => {
                self.list_pods(hostport, holder.key.namespace);
            }
            _ => {
                let sighting =
                    Sighting { version: hostport.version, at: self.now.mono, own: false, alarm: None };
                self.sightings.insert(spot, sighting);
                self.finish_spot(spot);
            }
        }
    }

    /// Writes the claim's status anew, at the version that was read, so that no status that was decided on earlier
    /// can be written any more.
    fn void_status(&mut self, hostport: HostPort, claim: &Claim) {
        let pools = self.known.ledger.pools(&hostport.class).unwrap_or_default();
        let trouble = Trouble::pool_exhausted(&hostport.class, pools, claim.count);
        let class = Some(hostport.class.clone());
        let mut status = self.status(claim, ClaimPhase::Pending, class, None, text::troubled(&trouble));
        // The API server stores nothing, and gives no new version, if nothing differs.
        status.ready_since = self.now.wall.div_euclid(1000);
        let (key, version, status) = (claim.key.clone(), claim.version, Box::new(status));
        self.spot_ask(hostport, Step::Void, Action::PutClaimStatus { key, version, status });
    }

    fn release_of(&self, hostport: &HostPort, verdict: Verdict) -> HostPortChange {
        let delay =
            self.known.class(&hostport.class).map_or(ReuseDelay::DEFAULT.get(), |class| class.reuse_delay);
        let retained = hostport.policy == ReclaimPolicy::Retain && verdict == Verdict::Gone;
        HostPortChange::Release {
            // Rounded up: I4 must hold for those who read whole seconds.
            released_at: self.now.wall.div_euclid(1000).saturating_add(1).saturating_mul(1000),
            reuse_delay: delay.as_millis() as u64,
            held_by: retained.then(|| RETAINED.into()),
        }
    }

    fn list_pods(&mut self, hostport: HostPort, namespace: Arc<str>) {
        let spot = hostport.spot;
        self.spot_jobs.insert(spot, SpotJob { hostport: Box::new(hostport), step: Step::ListPods });
        self.lists.want(Some(namespace), Curious::Spot(spot));
    }

    /// The second check: the claim is gone still, and no live pod of its namespace carries the number.
    pub(super) fn spot_sees_pods(&mut self, spot: Spot, pods: Result<&[Pod], &Outcome>) {
        let Some(SpotJob { hostport, .. }) = self.spot_jobs.remove(&spot) else { return };
        let Some(holder) = hostport.holder.clone() else { return self.finish_spot(spot) };
        let Ok(pods) = pods else { return self.finish_refused(spot) };
        let carriers = pods.iter().filter(|pod| pod.key.namespace == holder.key.namespace);
        let mut carriers = carriers.filter(|pod| pod.ports.contains(&spot.port()));
        let user = match spot.is_whole() {
            true => carriers.map(|pod| &pod.key).min(),
            false => match self.who_needs(&hostport, &holder.key, &mut carriers) {
                Need::Nobody => None,
                Need::Pod(pod) => Some(pod),
                Need::TakeOver(next) if next == spot => return self.take_over(*hostport),
                Need::TakeOver(next) => {
                    // Maybe one that a pod holds back, so that nothing else would name it.
                    let next = self.known.hostport(next).filter(|_| !self.is_busy(next)).cloned();
                    self.finish_later(spot, AGAIN);
                    return next.into_iter().for_each(|next| self.take_over(next));
                }
                Need::Later => return self.finish_later(spot, PATIENCE),
            },
        };
        match user {
            None if hostport.policy == ReclaimPolicy::Retain => {
                self.swap(*hostport, HostPortChange::Clear, Step::Free);
            }
            None => {
                let (uid, version) = (hostport.uid.clone(), hostport.version);
                self.spot_ask(*hostport, Step::Free, Action::DeleteHostPort { spot, uid, version });
            }
            Some(pod) if hostport.held_by.as_deref() != Some(&*used_by(pod)) => {
                self.swap(*hostport, HostPortChange::Hold { by: used_by(pod) }, Step::Hold);
            }
            Some(_) => self.finish_later(spot, AGAIN), // The pod watch is behind the LIST.
        }
    }

    fn take_over(&mut self, hostport: HostPort) {
        let count = hostport.takeovers.saturating_add(1);
        self.swap(hostport, HostPortChange::TakeOver { count }, Step::TakeOver);
    }

    fn tell_held(&mut self, hostport: &HostPort) {
        let by = hostport.held_by.clone().unwrap_or_default();
        self.say(Action::Tell(Notice {
            subject: Subject::HostPort { spot: hostport.spot, uid: hostport.uid.clone() },
            warns: true,
            reason: "ReleaseHeld",
            note: format!("Port {} stays Released: {by} still carries it.", hostport.spot),
        }));
    }

    /// Looks at the number again, and lets its claim and its class do so.
    fn finish_spot(&mut self, spot: Spot) {
        self.spread_spot(spot);
    }

    /// The API server refused: whatever happens, the number is looked at again only after a pause.
    fn finish_refused(&mut self, spot: Spot) {
        self.resting_spots.insert(spot, self.now.mono + REFUSED);
        self.finish_later(spot, REFUSED);
    }

    /// Looks at the number again after a pause; its claim may do so at once.
    fn finish_later(&mut self, spot: Spot, pause: Duration) {
        self.schedule.at(self.now.mono + pause, Alarm::Spot(spot));
        self.spread_to_claims(spot);
    }
}

fn used_by(pod: &Key) -> Arc<str> {
    format!("pod {pod}").into()
}
