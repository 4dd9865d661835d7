//! The steps of a grant. The HostPort's name or its version locks the number, the claim's version locks the
//! claim: the status is written on a version that was read before the HostPort was known to be ours.

use std::sync::Arc;

use allocator::Port;

use super::{AGAIN, Asker, ClaimJob, Core, carriers::Curious};
use crate::{
    action::{Action, Deed, HostPortChange, NewHostPort, Outcome},
    seen::{Claim, HostPort, Key, Pod, Uid, Version},
};

/// How the number comes to the claim.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// A HostPort of that name is created.
    Create,
    /// The HostPort is the claim's already.
    Held,
    /// A HostPort that exists changes its holder, at this version only.
    Swap { uid: Uid, version: Version, nobodys: bool },
}

impl Way {
    /// By compare-and-swap on this HostPort.
    pub(super) fn taking(hostport: &HostPort) -> Self {
        let nobodys = hostport.holder.is_none(); // Whatever its phase: it follows later (C8).
        Way::Swap { uid: hostport.uid.clone(), version: hostport.version, nobodys }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    /// The create met a HostPort of that name: whose?
    ReadTaken,
    /// Is the claim the one we bind to, is it Pending still?
    ReadClaim,
    /// Is the HostPort ours still?
    Confirm,
    ListPods,
    Swap,
    /// What was known of the HostPort is old: read it, and decide anew.
    Reread,
    WriteStatus,
}

/// A grant under way.
#[derive(Debug)]
pub(super) struct Bind {
    pub(super) port: Port,
    pub(super) uid: Uid,
    /// A version at which the claim was seen Pending.
    version: Version,
    class: Arc<str>,
    way: Way,
    step: Step,
}

impl Bind {
    pub(super) fn begin(claim: &Claim, port: Port, class: Arc<str>, way: Way, core: &Core) -> (Self, Action) {
        debug_assert!(claim.is_pending());
        let (uid, version) = (claim.uid.clone(), claim.version);
        let create = matches!(way, Way::Create);
        let step = if create { Step::Create } else { Step::ReadClaim };
        let job = Self { port, uid, version, class, way, step };
        let action = if create { job.create(&claim.key, core) } else { Action::GetClaim(claim.key.clone()) };
        (job, action)
    }

    fn create(&self, key: &Key, core: &Core) -> Action {
        Action::CreateHostPort(core.new_hostport(self.port, &self.class, key, &self.uid))
    }
}

impl Core {
    pub(super) fn new_hostport(&self, port: Port, class: &Arc<str>, key: &Key, uid: &Uid) -> NewHostPort {
        let policy = self.known.class(class).map(|class| class.policy).unwrap_or_default();
        NewHostPort { port, class: class.clone(), key: key.clone(), uid: uid.clone(), policy }
    }

    pub(super) fn bind_answered(&mut self, key: &Key, mut bind: Bind, outcome: Outcome) {
        match (bind.step, outcome) {
            (Step::Create | Step::Swap, Outcome::HostPort(hostport)) if hostport.is_held_by(&bind.uid) => {
                bind.way = Way::Held;
                self.bind_step(key, bind, Step::WriteStatus);
            }
            // Maybe our own, whose reply was lost.
            (Step::Create, Outcome::Exists) => self.bind_step(key, bind, Step::ReadTaken),
            (Step::ReadTaken | Step::Confirm, Outcome::HostPort(hostport))
                if hostport.is_held_by(&bind.uid) =>
            {
                bind.way = Way::Held;
                self.bind_step(key, bind, Step::WriteStatus);
            }
            (Step::ReadClaim, Outcome::Claim(claim)) => {
                if claim.uid != bind.uid || !claim.is_pending() || claim.deleting {
                    return self.finish_claim_job(key, ClaimJob::Bind(bind));
                }
                bind.version = claim.version;
                let step = match bind.way {
                    Way::Swap { nobodys: true, .. } => Step::ListPods,
                    Way::Swap { nobodys: false, .. } => Step::Swap,
                    Way::Create | Way::Held => Step::Confirm,
                };
                self.bind_step(key, bind, step);
            }
            (Step::Swap, _) => self.bind_step(key, bind, Step::Reread),
            (Step::WriteStatus, Outcome::Claim(_)) => {
                if let Some(hostport) = self.known.hostport(bind.port).cloned() {
                    self.audit(Deed::Grant, &hostport);
                }
                self.finish_claim_job(key, ClaimJob::Bind(bind));
            }
            (Step::WriteStatus, _) => self.bind_step(key, bind, Step::ReadClaim),
            _ => self.finish_claim_job(key, ClaimJob::Bind(bind)),
        }
    }

    /// C8: a HostPort that was nobody's goes to a claim only if no pod of others carries the number.
    pub(super) fn bind_sees_pods(&mut self, key: &Key, bind: Bind, pods: Result<&[Pod], &Outcome>) {
        if pods.is_ok_and(|pods| carried_outside(pods, bind.port, &key.namespace).is_none()) {
            self.bind_step(key, bind, Step::Swap);
        } else {
            self.end_later(key, ClaimJob::Bind(bind), AGAIN);
        }
    }

    fn bind_step(&mut self, key: &Key, mut bind: Bind, step: Step) {
        bind.step = step;
        let action = match step {
            Step::Create => bind.create(key, self),
            Step::ReadTaken | Step::Confirm | Step::Reread => Action::GetHostPort(bind.port),
            Step::ReadClaim => Action::GetClaim(key.clone()),
            Step::ListPods => {
                self.lists.want(None, Curious::Claim(key.clone()));
                self.claim_jobs.insert(key.clone(), ClaimJob::Bind(bind));
                return;
            }
            Step::Swap => match &bind.way {
                Way::Swap { uid, version, .. } => {
                    let change = HostPortChange::Bind { key: key.clone(), uid: bind.uid.clone() };
                    Action::PatchHostPort { port: bind.port, uid: uid.clone(), version: *version, change }
                }
                Way::Create | Way::Held => return self.finish_claim_job(key, ClaimJob::Bind(bind)),
            },
            Step::WriteStatus => {
                let Some(claim) = self.known.claim(key).filter(|claim| claim.uid == bind.uid) else {
                    return self.finish_claim_job(key, ClaimJob::Bind(bind));
                };
                let status = Box::new(self.bound_status(claim, bind.port, &bind.class));
                Action::PatchClaimStatus { key: key.clone(), version: bind.version, status }
            }
        };
        self.claim_jobs.insert(key.clone(), ClaimJob::Bind(bind));
        self.ask(Asker::Claim(key.clone()), action);
    }
}

/// A pod outside the namespace that carries the number.
pub(super) fn carried_outside<'a>(pods: &'a [Pod], port: Port, namespace: &str) -> Option<&'a Pod> {
    pods.iter().find(|pod| &*pod.key.namespace != namespace && pod.ports.contains(&port))
}
