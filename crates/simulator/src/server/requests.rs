//! What the API server makes of a controller's request: preconditions, AlreadyExists, conflicts, the CEL rules of
//! HostPorts that matter.

use std::{sync::Arc, time::Duration};

use allocator::Spot;
use crds::HostPortPhase;
use reconciler::{
    action::{Action, HostPortChange, NewHostPort, Outcome},
    seen::{Claim, Holder, HostPort, Key, Pod, Ready, Uid, Version},
    text::{ClaimStatus, ClassStatus},
};

use super::{Server, status::with_status};

impl Server {
    /// Carries out a request of a controller.
    pub fn request(&mut self, action: &Action) -> Outcome {
        match action {
            Action::GetClaim(key) => claim_or_404(self.claims.get(key)),
            Action::GetHostPort(spot) => hostport_or_404(self.hostports.get(spot)),
            Action::ListSlots(port) => Outcome::HostPorts(self.slots(*port).cloned().collect()),
            Action::ListPods(namespace) => {
                let of = |pod: &&Pod| namespace.as_ref().is_none_or(|it| *it == pod.key.namespace);
                Outcome::Pods(self.pods.values().filter(of).cloned().collect())
            }
            Action::CreateHostPort(new) => self.create_hostport(new),
            Action::PatchHostPort { spot, uid, version, change } => {
                match self.precondition(*spot, uid, *version) {
                    Err(outcome) => outcome,
                    Ok(before) => self.patch_hostport(&before, change),
                }
            }
            Action::DeleteHostPort { spot, uid, version } => match self.precondition(*spot, uid, *version) {
                Err(outcome) => outcome,
                Ok(_) => {
                    self.remove_hostport(*spot);
                    Outcome::Done
                }
            },
            Action::PutClaimStatus { key, version, status } => match self.claims.get(key) {
                None => Outcome::NotFound,
                Some(claim) if !meets(claim.version, *version) => Outcome::Conflict,
                Some(_) => self.write_claim_status(key, (**status).clone()),
            },
            Action::PatchFinalizers { key, uid, version, finalizers } => match self.claims.get(key) {
                None => Outcome::NotFound,
                Some(claim) if !meets(claim.version, *version) || claim.uid != *uid => Outcome::Conflict,
                Some(claim) => {
                    let claim = Claim { finalizers: finalizers.clone(), ..claim.clone() };
                    Outcome::Claim(Box::new(self.put_claim(claim)))
                }
            },
            // Claims that admission makes are not played.
            Action::AdoptClaim { .. } | Action::DeleteClaim { .. } | Action::GetStatefulSet(_) => {
                Outcome::NotFound
            }
            Action::PatchClassStatus { name, status } => self.write_class_status(name, status),
            Action::Tell(_) | Action::Audit(_) => Outcome::Done,
        }
    }

    /// As the API server has it: no uid, or resourceVersion 0, asks for nothing.
    fn precondition(&self, spot: Spot, uid: &Uid, version: Version) -> Result<HostPort, Outcome> {
        match self.hostports.get(&spot) {
            None => Err(Outcome::NotFound),
            Some(it) if !uid.is_empty() && it.uid != *uid => Err(Outcome::Conflict),
            Some(it) if !meets(it.version, version) => Err(Outcome::Conflict),
            Some(it) => Ok(it.clone()),
        }
    }

    fn create_hostport(&mut self, new: &NewHostPort) -> Outcome {
        if self.hostports.contains_key(&new.spot) {
            return Outcome::Exists;
        }
        if new.class.is_empty() {
            return self.refuse(format!("HostPort {} without a class", new.spot));
        }
        let hostport = HostPort {
            spot: new.spot,
            uid: self.new_uid("hp"),
            version: Version(0),
            class: new.class.clone(),
            holder: Some(Holder { key: new.key.clone(), uid: new.uid.clone() }),
            kept_for: None,
            block: new.block,
            phase: HostPortPhase::Bound,
            policy: new.policy,
            reuse_delay: None,
            released_at: None,
            held_by: None,
            takeovers: 0,
        };
        Outcome::HostPort(Box::new(self.put_hostport(hostport)))
    }

    fn patch_hostport(&mut self, before: &HostPort, change: &HostPortChange) -> Outcome {
        let mut after = HostPort { phase: change.phase(), ..before.clone() };
        match change {
            HostPortChange::Bind { key, uid, block } => {
                after.holder = Some(Holder { key: key.clone(), uid: uid.clone() });
                (after.kept_for, after.block) = (None, *block);
                (after.released_at, after.reuse_delay, after.held_by) = (None, None, None);
            }
            HostPortChange::Release { released_at, reuse_delay, held_by } => {
                after.released_at = Some(*released_at);
                after.reuse_delay = Some(Duration::from_millis(*reuse_delay));
                after.held_by = held_by.clone();
            }
            HostPortChange::Hold { by } => after.held_by = Some(by.clone()),
            HostPortChange::TakeOver { count } => after.takeovers = *count,
            HostPortChange::Clear => {
                (after.holder, after.kept_for, after.block) = (None, None, None);
                (after.released_at, after.reuse_delay, after.held_by) = (None, None, None);
            }
        }
        match broken_rule(before, &after) {
            Some(rule) => self.refuse(format!("HostPort {}: {rule}", after.spot)),
            None => Outcome::HostPort(Box::new(self.put_hostport(after))),
        }
    }

    fn refuse(&mut self, words: String) -> Outcome {
        self.refused.push(words.clone());
        Outcome::Refused(words)
    }

    fn write_claim_status(&mut self, key: &Key, status: ClaimStatus) -> Outcome {
        let claim = &self.claims[key];
        let same = status.digest() == claim.status_digest
            && claim.ready.as_ref().is_some_and(|ready| ready.since == status.ready_since);
        if same {
            return Outcome::Claim(Box::new(claim.clone())); // Nothing changes, no new revision.
        }
        let claim = with_status(claim.clone(), &status);
        self.claim_status.insert(key.clone(), status);
        Outcome::Claim(Box::new(self.put_claim(claim)))
    }

    fn write_class_status(&mut self, name: &Arc<str>, status: &ClassStatus) -> Outcome {
        let Some(class) = self.classes.get(name) else { return Outcome::NotFound };
        let mut class = class.clone();
        if class.status_digest != status.digest() {
            class.status_digest = status.digest();
            let times = status.conditions.iter().zip(&status.since);
            class.conditions = times
                .map(|(it, since)| (Arc::from(it.kind), Ready { status: it.status, since: *since }))
                .collect();
            self.class_status.insert(name.clone(), status.clone());
            class = self.put_class(class);
        }
        Outcome::Class(Box::new(class))
    }
}

/// The CEL rules of `crates/crds/src/hostport.rs`.
pub fn broken_rule(before: &HostPort, after: &HostPort) -> Option<&'static str> {
    let consistent = match (&after.holder, after.released_at) {
        (Some(_), Some(_)) => after.phase == HostPortPhase::Released,
        (Some(_), None) => after.phase == HostPortPhase::Bound,
        (None, _) => after.phase != HostPortPhase::Bound,
    };
    match (&before.holder, &after.holder) {
        _ if !consistent => Some("phase says what the other fields say"),
        (Some(_), None) if before.phase != HostPortPhase::Released => {
            Some("a claimRef can be cleared only while the HostPort is Released")
        }
        (Some(old), Some(new)) if old.key.namespace != new.key.namespace => {
            Some("a granted HostPort stays in its namespace")
        }
        _ => None,
    }
}

/// The version is the one that was asked for, or none was.
fn meets(found: Version, asked: Version) -> bool {
    asked == Version(0) || asked == found
}

fn claim_or_404(claim: Option<&Claim>) -> Outcome {
    claim.map_or(Outcome::NotFound, |claim| Outcome::Claim(Box::new(claim.clone())))
}

fn hostport_or_404(hostport: Option<&HostPort>) -> Outcome {
    hostport.map_or(Outcome::NotFound, |hostport| Outcome::HostPort(Box::new(hostport.clone())))
}
