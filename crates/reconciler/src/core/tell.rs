//! Statuses and finalizers of claims: what is written of a decision, and only if it reads differently (I9).

use std::sync::Arc;

use crds::ClaimPhase;

use super::{Alarm, ClaimJob, Core, LASTING};
use crate::{
    action::{Action, Notice, Subject},
    seen::{Claim, Key, Run, Truth},
    text::{self, ClaimStatus, Condition, Trouble},
};

impl Core {
    /// Writes why the claim has no port, unless it says so already.
    pub(super) fn tell(&mut self, claim: &Claim, class: Option<Arc<str>>, trouble: Trouble) {
        let conditions = text::troubled(&trouble);
        let status = self.status(
            claim,
            ClaimPhase::Pending,
            class.filter(|class| !class.is_empty()),
            None,
            conditions,
        );
        let notice = self.notice(claim, &trouble);
        self.write_status(claim, status, notice);
    }

    pub(super) fn notice(&self, claim: &Claim, trouble: &Trouble) -> Option<Notice> {
        let quiet = trouble.reason == crds::Reason::WaitingForReuse;
        let (reason, note) = (trouble.reason.as_str(), trouble.message.clone());
        (!quiet).then(|| Notice { subject: subject(claim), warns: true, reason, note })
    }

    /// Of a claim that was Lost, and is Bound again.
    pub(super) fn good_news(claim: &Claim, bound: &Condition) -> Notice {
        Notice { subject: subject(claim), warns: false, reason: bound.reason, note: bound.message.clone() }
    }

    /// An event tells of the trouble, if it lasts.
    pub(super) fn tell_later(&mut self, key: &Key, notice: Notice) {
        let Some(claim) = self.known.claim(key) else { return };
        self.notices.insert(key.clone(), (claim.status_digest, notice));
        self.schedule.at(self.now.mono + LASTING, Alarm::Notice(key.clone()));
    }

    pub(super) fn tell_if_it_lasts(&mut self, key: &Key) {
        let Some((digest, notice)) = self.notices.remove(key) else { return };
        if self.known.claim(key).is_some_and(|claim| claim.status_digest == digest) {
            self.say(Action::Tell(notice));
        }
    }

    pub(super) fn bound_status(&self, claim: &Claim, run: Run, class: &Arc<str>) -> ClaimStatus {
        let conditions = vec![text::bound(run, class)];
        self.status(claim, ClaimPhase::Bound, Some(class.clone()), Some(run), conditions)
    }

    pub(super) fn status(
        &self,
        claim: &Claim,
        phase: ClaimPhase,
        class: Option<Arc<str>>,
        run: Option<Run>,
        conditions: Vec<Condition>,
    ) -> ClaimStatus {
        let ready = conditions.first().map_or(Truth::Unknown, |ready| ready.status);
        let ready_since = text::since(claim.ready.as_ref(), ready, self.now.wall);
        ClaimStatus { generation: claim.generation, phase, class, run, conditions, ready_since }
    }

    pub(super) fn write_status(&mut self, claim: &Claim, status: ClaimStatus, notice: Option<Notice>) {
        if status.digest() == claim.status_digest {
            return; // I9
        }
        let status = Box::new(status);
        let action = Action::PutClaimStatus { key: claim.key.clone(), version: claim.version, status };
        self.begin(&claim.key, ClaimJob::Write { uid: claim.uid.clone(), notice }, action);
    }

    pub(super) fn write_finalizers(&mut self, claim: &Claim, finalizers: Vec<Arc<str>>) {
        let (key, uid, version) = (claim.key.clone(), claim.uid.clone(), claim.version);
        let action = Action::PatchFinalizers { key, uid: uid.clone(), version, finalizers };
        self.begin(&claim.key, ClaimJob::Write { uid, notice: None }, action);
    }
}

fn subject(claim: &Claim) -> Subject {
    Subject::Claim { key: claim.key.clone(), uid: claim.uid.clone() }
}
