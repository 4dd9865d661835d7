//! A claim whose status names a number that it does not hold: the HostPort was removed by hand, released by
//! mistake, or the status was tampered with. It gets that very number back by an ordinary, checked grant, or
//! is Lost. Its number never changes (I2).

use allocator::Spot;
use crds::ClaimPhase;

use super::{
    AGAIN, Asker, ClaimJob, Core,
    binding::{is_none, read_other},
    carriers::Curious,
};
use crate::{
    action::{Action, Deed, HostPortChange, Notice, Outcome},
    seen::{Claim, HostPort, Key, Pod, Run, Uid, Version},
    text::{self, Trouble},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    ReadPort,
    /// After the HostPort: only then does the claim's uid show that another one in the claimRef is stale (C1).
    ReadClaim,
    ListPods,
    /// N3: is the other form of the name free?
    ReadOther,
    Create,
    Swap,
    WriteStatus,
    /// The status was written on an old version: read the claim, and decide anew.
    Reread,
}

/// The way back of a number to its claim.
#[derive(Debug)]
pub(super) struct Restore {
    pub(super) spot: Spot,
    pub(super) uid: Uid,
    /// The HostPort as read by this job, if there is one.
    hostport: Option<Box<HostPort>>,
    /// The claim as read by this job.
    claim: Option<Box<Claim>>,
    /// What to tell once the status is written.
    notice: Option<Notice>,
    /// The HostPort that is to be taken.
    swap: Option<(Uid, Version)>,
    step: Step,
}

impl Restore {
    /// Begins with a read of the HostPort.
    pub(super) fn begin(claim: &Claim, spot: Spot) -> (Self, Action) {
        let uid = claim.uid.clone();
        let job =
            Self { spot, uid, hostport: None, claim: None, notice: None, swap: None, step: Step::ReadPort };
        (job, Action::GetHostPort(spot))
    }
}

impl Core {
    pub(super) fn restore_answered(&mut self, key: &Key, mut job: Restore, outcome: Outcome) {
        match (job.step, outcome) {
            (Step::ReadPort, outcome @ (Outcome::HostPort(_) | Outcome::NotFound)) => {
                job.hostport = if let Outcome::HostPort(hostport) = outcome { Some(hostport) } else { None };
                self.restore_ask(key, job, Step::ReadClaim, |_| Action::GetClaim(key.clone()));
            }
            (Step::ReadClaim, Outcome::Claim(claim)) => {
                // A stale cache must not make a dead claim's HostPort again.
                if claim.uid != job.uid || !claim.names(job.spot) || claim.deleting {
                    return self.finish_claim_job(key, ClaimJob::Restore(job));
                }
                job.claim = Some(claim);
                match job.hostport.clone() {
                    Some(hostport) => self.restore_meets(key, job, &hostport),
                    None => self.restore_makes(key, job),
                }
            }
            (Step::ReadOther, outcome) if is_none(&outcome) => self.restore_creates(key, job),
            (Step::ReadOther, _) => {
                let trouble = Trouble::lost(job.spot.port());
                self.write_lost(key, job, trouble);
            }
            (Step::Create | Step::Swap, Outcome::HostPort(hostport)) if hostport.is_held_by(&job.uid) => {
                self.audit(Deed::Grant, &hostport);
                self.restored(key, job, &hostport);
            }
            (Step::Create, Outcome::Exists) | (Step::Swap, Outcome::Conflict | Outcome::NotFound) => {
                self.restore_ask(key, job, Step::ReadPort, |job| Action::GetHostPort(job.spot));
            }
            (Step::WriteStatus, Outcome::Claim(_)) => {
                job.notice.take().into_iter().for_each(|notice| self.say(Action::Tell(notice)));
                self.finish_claim_job(key, ClaimJob::Restore(job));
            }
            (Step::WriteStatus, _) => {
                let key = key.clone();
                self.restore_ask(&key.clone(), job, Step::Reread, |_| Action::GetClaim(key));
            }
            _ => self.finish_claim_job(key, ClaimJob::Restore(job)),
        }
    }

    /// No HostPort stands: it is made again, if the class still hands the number out.
    fn restore_makes(&mut self, key: &Key, job: Restore) {
        let Some(claim) = &job.claim else { return self.finish_claim_job(key, ClaimJob::Restore(job)) };
        match self.class_again(claim, job.spot) {
            Err(trouble) => self.write_lost(key, job, trouble.as_lost()),
            Ok(_) if self.known.may_have_other_form(job.spot) => {
                self.restore_ask(key, job, Step::ReadOther, |job| read_other(job.spot));
            }
            Ok(_) => self.restore_creates(key, job),
        }
    }

    fn restore_creates(&mut self, key: &Key, job: Restore) {
        let Some(claim) = &job.claim else { return self.finish_claim_job(key, ClaimJob::Restore(job)) };
        match self.class_again(claim, job.spot) {
            Err(trouble) => self.write_lost(key, job, trouble.as_lost()),
            Ok(class) => {
                let block = claim.run().and_then(Run::block);
                let new = self.new_hostport(job.spot, &class, key, &job.uid, block);
                self.restore_ask(key, job, Step::Create, |_| Action::CreateHostPort(new));
            }
        }
    }

    /// The HostPort stands: is it ours, may we take it, or is the number lost?
    fn restore_meets(&mut self, key: &Key, mut job: Restore, hostport: &HostPort) {
        let Some(claim) = job.claim.clone() else {
            return self.finish_claim_job(key, ClaimJob::Restore(job));
        };
        if claim.run().is_some_and(|run| hostport.is_held_for(&job.uid, run)) {
            return self.restored(key, job, hostport);
        }
        if !self.may_take(&claim, hostport) {
            let trouble = Trouble::lost(job.spot.port());
            return self.write_lost(key, job, trouble);
        }
        job.swap = Some((hostport.uid.clone(), hostport.version));
        // Whatever its phase: it follows later (C8).
        if hostport.holder.is_none() {
            job.step = Step::ListPods;
            self.lists.want(None, Curious::Claim(key.clone()));
            self.claim_jobs.insert(key.clone(), ClaimJob::Restore(job));
        } else {
            self.restore_swap(key, job);
        }
    }

    pub(super) fn restore_sees_pods(&mut self, key: &Key, job: Restore, pods: Result<&[Pod], &Outcome>) {
        if pods.is_ok_and(|pods| !self.is_carried_outside(pods, &[job.spot], key)) {
            self.restore_swap(key, job);
        } else {
            self.end_later(key, ClaimJob::Restore(job), AGAIN);
        }
    }

    fn restore_swap(&mut self, key: &Key, job: Restore) {
        let Some((uid, version)) = job.swap.clone() else {
            return self.finish_claim_job(key, ClaimJob::Restore(job));
        };
        let block = job.claim.as_ref().and_then(|claim| claim.run()).and_then(Run::block);
        let change = HostPortChange::Bind { key: key.clone(), uid: job.uid.clone(), block };
        let action = Action::PatchHostPort { spot: job.spot, uid, version, change };
        self.restore_ask(key, job, Step::Swap, |_| action);
    }

    /// The number is back. A Bound claim says so already; a Lost one is told, once it has all of its numbers.
    fn restored(&mut self, key: &Key, mut job: Restore, hostport: &HostPort) {
        let claim = job.claim.as_deref().filter(|claim| claim.phase == ClaimPhase::Lost);
        let whole = claim.and_then(|claim| Some((claim, claim.run()?)));
        let Some((claim, run)) = whole.filter(|(claim, run)| self.missing(claim, *run).is_none()) else {
            return self.finish_claim_job(key, ClaimJob::Restore(job));
        };
        let status = Box::new(self.bound_status(claim, run, &hostport.class));
        let notice = status.conditions.first().map(|bound| Self::good_news(claim, bound));
        let action = Action::PutClaimStatus { key: key.clone(), version: claim.version, status };
        job.notice = notice;
        self.restore_ask(key, job, Step::WriteStatus, |_| action);
    }

    /// C2: only after a live read of the HostPort, or of its absence, has shown that the number cannot be had.
    fn write_lost(&mut self, key: &Key, mut job: Restore, trouble: Trouble) {
        let Some(claim) = job.claim.as_deref() else {
            return self.finish_claim_job(key, ClaimJob::Restore(job));
        };
        let class = claim.used_class.clone().or_else(|| claim.class.clone());
        let conditions = text::troubled(&trouble);
        let status = self.status(claim, ClaimPhase::Lost, class, claim.run(), conditions);
        if status.digest() == claim.status_digest {
            return self.finish_claim_job(key, ClaimJob::Restore(job));
        }
        job.notice = self.notice(claim, &trouble);
        let status = Box::new(status);
        let action = Action::PutClaimStatus { key: key.clone(), version: claim.version, status };
        self.restore_ask(key, job, Step::WriteStatus, |_| action);
    }

    fn restore_ask(
        &mut self,
        key: &Key,
        mut job: Restore,
        step: Step,
        action: impl FnOnce(&Restore) -> Action,
    ) {
        job.step = step;
        let action = action(&job);
        self.claim_jobs.insert(key.clone(), ClaimJob::Restore(job));
        self.ask(Asker::Claim(key.clone()), action);
    }
}
