//! The steps of a grant. The HostPort's name or its version locks the number, the claim's version locks the
//! claim: the status is written on a version that was read before every HostPort was known to be ours.
//!
//! A claim with a count gets its numbers in ascending order, each by the same steps; nothing is visible before
//! the last one is its own (C6).

use std::sync::Arc;

use allocator::Spot;

use super::{AGAIN, Asker, ClaimJob, Core, carriers::Curious, known::labelled, members::Member};
use crate::{
    action::{Action, Deed, HostPortChange, NewHostPort, Outcome},
    seen::{Claim, Holder, HostPort, Key, Pod, Run, Uid, Version},
};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// N3: is the other form of the name free, `9000` for `9000-3` and the reverse?
    ReadOther,
    Create,
    /// The create met a HostPort of that name: whose?
    ReadTaken,
    /// Is the claim the one we bind to, is it Pending still?
    ReadClaim,
    /// Is the HostPort ours still?
    Confirm,
    /// Is the claim that the number is taken over from gone, or being deleted?
    ReadFormer(Holder),
    ListPods,
    Swap,
    /// What was known of the HostPort is old: read it, and decide anew.
    Reread,
    WriteStatus,
}

/// A grant under way.
#[derive(Debug)]
pub(super) struct Bind {
    pub(super) run: Run,
    pub(super) uid: Uid,
    /// A version at which the claim was seen Pending.
    version: Version,
    class: Arc<str>,
    /// So many of the numbers, from the first, are known to be ours since that version was read.
    ours: u16,
    /// Of the HostPorts that stood when this job asked for the claim: only these may be taken (C1).
    before: Vec<Option<Version>>,
    /// This job has seen that no pod outside the namespace carries one of the numbers.
    pods_seen: bool,
    /// N3: the other form of the number at hand was read, and does not stand.
    alone: Option<Spot>,
    /// N3: of so many of the numbers, from the first, that was read again since they are ours.
    checked: u16,
    /// The claim that the number at hand is taken over from was read: it is gone, or being deleted.
    former_left: Option<Uid>,
    step: Step,
}

impl Bind {
    pub(super) fn of(claim: &Claim, run: Run, class: Arc<str>) -> Self {
        debug_assert!(claim.is_pending());
        Self {
            run,
            uid: claim.uid.clone(),
            version: claim.version,
            class,
            ours: 0,
            before: Vec::new(),
            pods_seen: false,
            alone: None,
            checked: 0,
            former_left: None,
            step: Step::Create,
        }
    }

    /// C6: held by the claim, as a member of this block.
    fn has(&self, hostport: &HostPort) -> bool {
        hostport.is_held_by(&self.uid) && hostport.first() == self.run.first
    }
}

impl Core {
    pub(super) fn new_hostport(
        &self,
        spot: Spot,
        class: &Arc<str>,
        key: &Key,
        uid: &Uid,
        block: Option<allocator::Port>,
    ) -> NewHostPort {
        let policy = self.known.class(class).map(|class| class.policy).unwrap_or_default();
        NewHostPort { spot, class: class.clone(), key: key.clone(), uid: uid.clone(), policy, block }
    }

    /// The next number, or the status once all of them are ours.
    pub(super) fn bind_next(&mut self, key: &Key, bind: Bind) {
        let Some(spot) = bind.run.member(bind.ours) else {
            let unchecked = bind.run.member(bind.checked);
            let step = match unchecked.filter(|spot| self.known.may_have_other_form(*spot)) {
                Some(_) => Step::ReadOther,
                None => Step::WriteStatus,
            };
            return self.bind_step(key, bind, step);
        };
        let Some(claim) = self.known.claim(key).filter(|claim| claim.uid == bind.uid) else {
            return self.finish_claim_job(key, ClaimJob::Bind(bind));
        };
        let version = self.known.hostport(spot).map(|hostport| hostport.version);
        let step = match self.member(claim, &bind.class, spot, bind.run) {
            // N3: what stands there would be undone again. That it does not is certain only before the status.
            Member::Free
                if bind.alone != Some(spot)
                    && self.known.may_have_other_form(spot)
                    && !self.known.is_beside_held_slot(spot) =>
            {
                Step::ReadOther
            }
            Member::Free => Step::Create,
            // Whoever picked it knew something else; to pick again at once would come to the same.
            Member::Taken(_) if bind.ours == 0 && bind.before.is_empty() => {
                return self.end_later(key, ClaimJob::Bind(bind), AGAIN);
            }
            Member::Taken(_) => return self.finish_claim_job(key, ClaimJob::Bind(bind)),
            // C1: that another uid is stale shows only if the claim that we bind to is read after it.
            _ if bind.before.get(usize::from(bind.ours)) != Some(&version) => Step::ReadClaim,
            Member::Ours => Step::Confirm,
            Member::Handed(former) if bind.former_left.as_ref() != Some(&former.uid) => {
                Step::ReadFormer(former)
            }
            Member::Nobodys | Member::Handed(_) if !bind.pods_seen => Step::ListPods,
            Member::Nobodys | Member::Handed(_) | Member::Again => Step::Swap,
        };
        self.bind_step(key, bind, step);
    }

    pub(super) fn bind_answered(&mut self, key: &Key, mut bind: Bind, outcome: Outcome) {
        match (bind.step.clone(), outcome) {
            (Step::Create | Step::Swap | Step::ReadTaken | Step::Confirm, Outcome::HostPort(hostport))
                if bind.has(&hostport) =>
            {
                if bind.step == Step::Create {
                    bind.checked = 0;
                }
                bind.ours += 1;
                self.bind_next(key, bind);
            }
            (Step::ReadOther, outcome) if is_none(&outcome) => {
                match bind.run.member(bind.ours) {
                    None => bind.checked += 1,
                    spot => bind.alone = spot,
                }
                self.bind_next(key, bind);
            }
            // Maybe our own, whose reply was lost.
            (Step::Create, Outcome::Exists) => self.bind_step(key, bind, Step::ReadTaken),
            (Step::ReadClaim, Outcome::Claim(claim)) => {
                if claim.uid != bind.uid || !claim.is_pending() || claim.deleting {
                    return self.finish_claim_job(key, ClaimJob::Bind(bind));
                }
                // What was ours before this version must be shown to be so again.
                (bind.version, bind.ours) = (claim.version, 0);
                self.bind_next(key, bind);
            }
            (Step::ReadFormer(former), Outcome::Claim(claim))
                if claim.uid == former.uid && !claim.deleting =>
            {
                self.finish_claim_job(key, ClaimJob::Bind(bind));
            }
            (Step::ReadFormer(former), outcome @ (Outcome::Claim(_) | Outcome::NotFound)) => {
                if matches!(outcome, Outcome::NotFound) {
                    self.known.bury_claim(&former.key, &former.uid);
                }
                bind.former_left = Some(former.uid);
                self.bind_next(key, bind);
            }
            (Step::Swap, _) => self.bind_step(key, bind, Step::Reread),
            (Step::WriteStatus, Outcome::Claim(_)) => {
                for spot in bind.run.iter() {
                    if let Some(hostport) = self.known.hostport(spot).cloned() {
                        self.audit(Deed::Grant, &hostport);
                    }
                }
                self.finish_claim_job(key, ClaimJob::Bind(bind));
            }
            (Step::WriteStatus, _) => self.bind_step(key, bind, Step::ReadClaim),
            _ => self.finish_claim_job(key, ClaimJob::Bind(bind)),
        }
    }

    /// C8: a HostPort that was not this claim's goes to it only if no pod of others carries the number.
    pub(super) fn bind_sees_pods(&mut self, key: &Key, mut bind: Bind, pods: Result<&[Pod], &Outcome>) {
        let Some(claim) = self.known.claim(key).filter(|claim| claim.uid == bind.uid) else {
            return self.finish_claim_job(key, ClaimJob::Bind(bind));
        };
        let changes_hands = |spot: &Spot| {
            let member = self.member(claim, &bind.class, *spot, bind.run);
            matches!(member, Member::Nobodys | Member::Handed(_))
        };
        let spots: Vec<Spot> = bind.run.iter().filter(changes_hands).collect();
        if pods.is_ok_and(|pods| !self.is_carried_outside(pods, &spots, key)) {
            bind.pods_seen = true;
            self.bind_next(key, bind);
        } else {
            self.end_later(key, ClaimJob::Bind(bind), AGAIN);
        }
    }

    fn bind_step(&mut self, key: &Key, mut bind: Bind, step: Step) {
        let (run, uid) = (bind.run, bind.uid.clone());
        let spot = run.member(bind.ours).unwrap_or(run.first.into());
        let action = match &step {
            Step::Create => {
                Action::CreateHostPort(self.new_hostport(spot, &bind.class, key, &uid, run.block()))
            }
            Step::ReadOther => {
                // Before the create the number at hand, before the status each of them.
                let spot = run.member(bind.ours).or(run.member(bind.checked)).unwrap_or(spot);
                read_other(spot)
            }
            Step::ReadTaken | Step::Confirm | Step::Reread => Action::GetHostPort(spot),
            Step::ReadClaim => Action::GetClaim(key.clone()),
            Step::ReadFormer(former) => Action::GetClaim(former.key.clone()),
            Step::ListPods => {
                self.lists.want(None, Curious::Claim(key.clone()));
                bind.step = step;
                self.claim_jobs.insert(key.clone(), ClaimJob::Bind(bind));
                return;
            }
            Step::Swap => {
                let Some(hostport) = self.known.hostport(spot) else {
                    return self.finish_claim_job(key, ClaimJob::Bind(bind));
                };
                let change = HostPortChange::Bind { key: key.clone(), uid, block: run.block() };
                Action::PatchHostPort { spot, uid: hostport.uid.clone(), version: hostport.version, change }
            }
            Step::WriteStatus => {
                let Some(claim) = self.known.claim(key).filter(|claim| claim.uid == uid) else {
                    return self.finish_claim_job(key, ClaimJob::Bind(bind));
                };
                let status = Box::new(self.bound_status(claim, run, &bind.class));
                Action::PutClaimStatus { key: key.clone(), version: bind.version, status }
            }
        };
        if step == Step::ReadClaim {
            let version = |spot| self.known.hostport(spot).map(|hostport| hostport.version);
            bind.before = run.iter().map(version).collect();
            (bind.pods_seen, bind.former_left, bind.alone) = (false, None, None);
        }
        bind.step = step;
        self.claim_jobs.insert(key.clone(), ClaimJob::Bind(bind));
        self.ask(Asker::Claim(key.clone()), action);
    }
}

impl Core {
    /// C8: a pod carries one of these that is not of the claim's namespace. Of a slot: a pod that no slot of the number
    /// stands for, nor would this one if the claim had it.
    pub(super) fn is_carried_outside(&self, pods: &[Pod], spots: &[Spot], claim: &Key) -> bool {
        let own = labelled(claim);
        let carries = |pod: &Pod, spot: &Spot| match pod.ports.contains(&spot.port()) {
            false => false,
            true if spot.is_whole() => pod.key.namespace != claim.namespace,
            true if pod.key.namespace == own.namespace && pod.serves(spot.port()) == Some(&own.name) => false,
            true => !self.known.is_accounted_for(pod, spot.port()),
        };
        pods.iter().any(|pod| spots.iter().any(|spot| carries(pod, spot)))
    }
}

/// N3: reads what the other form of the name holds.
pub(super) fn read_other(spot: Spot) -> Action {
    match spot.is_whole() {
        true => Action::ListSlots(spot.port()),
        false => Action::GetHostPort(spot.port().into()),
    }
}

/// N3: nothing stands under the other form of the name.
pub(super) fn is_none(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::NotFound => true,
        Outcome::HostPorts(found) => found.is_empty(),
        _ => false,
    }
}
