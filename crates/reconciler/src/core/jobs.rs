//! Jobs of claims: begun, told their answers, ended. One at a time for each claim.

use std::time::Duration;

use super::{Alarm, Asker, ClaimJob, Core, REFUSED};
use crate::{
    action::{Action, Outcome},
    seen::{Key, Pod, Uid},
};

impl Core {
    pub(super) fn begin(&mut self, key: &Key, job: ClaimJob, action: Action) {
        self.claim_jobs.insert(key.clone(), job);
        self.ask(Asker::Claim(key.clone()), action);
    }

    /// Goes on with the claim's job.
    pub(super) fn claim_answered(&mut self, key: &Key, action: Action, outcome: Outcome) {
        let Some(job) = self.claim_jobs.remove(key) else { return };
        if let Outcome::Refused(words) = &outcome {
            tracing::warn!(claim = %key, ?action, error = %words, "the API server refused a request");
            return self.end_later(key, job, REFUSED);
        }
        if let (Action::GetClaim(read), Outcome::NotFound) = (&action, &outcome)
            && read == key
        {
            self.known.bury_claim(key, job.uid());
            return self.finish_claim_job(key, job);
        }
        match job {
            ClaimJob::Bind(bind) => self.bind_answered(key, bind, outcome),
            ClaimJob::Restore(restore) => self.restore_answered(key, restore, outcome),
            ClaimJob::Write { uid, notice } => match outcome {
                Outcome::Claim(_) => {
                    notice.into_iter().for_each(|notice| self.tell_later(key, notice));
                    self.claims.push(key.clone());
                }
                _ => self.begin(key, ClaimJob::Refresh { uid }, Action::GetClaim(key.clone())),
            },
            ClaimJob::Refresh { .. } => self.claims.push(key.clone()),
        }
    }

    pub(super) fn claim_sees_pods(&mut self, key: &Key, pods: Result<&[Pod], &Outcome>) {
        match self.claim_jobs.remove(key) {
            Some(ClaimJob::Bind(bind)) => self.bind_sees_pods(key, bind, pods),
            Some(ClaimJob::Restore(restore)) => self.restore_sees_pods(key, restore, pods),
            Some(other) => drop(self.claim_jobs.insert(key.clone(), other)),
            None => {}
        }
    }

    /// Ends a job and looks at the claim again.
    pub(super) fn finish_claim_job(&mut self, key: &Key, job: ClaimJob) {
        self.end_claim_job(job);
        self.claims.push(key.clone());
    }

    /// Ends a job whose time has not come; whatever happens, the claim is looked at again only then.
    pub(super) fn end_later(&mut self, key: &Key, job: ClaimJob, pause: Duration) {
        let until = self.now.mono + pause;
        self.resting.insert(key.clone(), until);
        self.schedule.at(until, Alarm::Claim(key.clone()));
        self.end_claim_job(job);
    }

    pub(super) fn end_claim_job(&mut self, job: ClaimJob) {
        match job {
            ClaimJob::Bind(bind) => {
                self.binds -= 1;
                let lines: Vec<_> = self.queue.lines().cloned().collect();
                lines.into_iter().for_each(|class| self.hungry.push(class));
                bind.run.iter().for_each(|spot| self.unlock(spot));
            }
            ClaimJob::Restore(restore) => self.unlock(restore.spot),
            ClaimJob::Write { .. } | ClaimJob::Refresh { .. } => {}
        }
    }
}

impl ClaimJob {
    fn uid(&self) -> &Uid {
        match self {
            ClaimJob::Bind(bind) => &bind.uid,
            ClaimJob::Restore(restore) => &restore.uid,
            ClaimJob::Write { uid, .. } | ClaimJob::Refresh { uid } => uid,
        }
    }
}
