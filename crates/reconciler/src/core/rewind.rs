//! Notices that the store was restored to an earlier state: an object that is read is older than it was, or lives though
//! it was seen to be gone. What this process knows is then of a future that is gone, and no watch says so if the
//! revisions go on upwards (`etcdutl snapshot restore --bump-revision`).

use super::{Asked, Asker, Core};
use crate::{
    action::{Action, ActionId, Outcome},
    seen::{Uid, Version},
};

impl Core {
    /// The store was restored: the process is to begin anew, with what is stored now.
    pub fn is_rewound(&self) -> bool {
        self.rewound || self.known.rewound
    }

    /// What is known of the object that this action reads, or shows as it writes it.
    pub(super) fn known_before(&self, action: &Action) -> Option<(Uid, Version)> {
        match action {
            Action::GetClaim(key) => self.known.claim(key).map(|it| (it.uid.clone(), it.version)),
            Action::GetHostPort(spot) => self.known.hostport(*spot).map(|it| (it.uid.clone(), it.version)),
            Action::PatchClassStatus { name, .. } => {
                self.known.class(name).map(|it| (it.uid.clone(), it.version))
            }
            _ => None,
        }
    }

    /// What is read under a name is never older than what was known under it when the read was asked for
    /// (`resourceVersion` unset: "most recent"), made again or not.
    pub(super) fn look_for_rewind(&mut self, id: ActionId, asked: &Asked, outcome: &Outcome) {
        let (uid, version) = match (&asked.action, outcome) {
            (Action::GetClaim(_), Outcome::Claim(claim)) => (&claim.uid, claim.version),
            (Action::GetHostPort(_), Outcome::HostPort(hostport)) => (&hostport.uid, hostport.version),
            (Action::PatchClassStatus { .. }, Outcome::Class(class)) => (&class.uid, class.version),
            _ => return,
        };
        let older = asked.known.as_ref().is_some_and(|(_, before)| version < *before);
        self.rewound |= older || self.known.was_buried_before(uid, id);
    }

    /// Reads what a listing showed older than it is known: a reply of our own overtook the listing, or the store was
    /// restored. (A class is read as its status is written, `core/classes.rs`.)
    pub(super) fn ask_in_doubt(&mut self) {
        for action in std::mem::take(&mut self.known.doubts) {
            self.ask(Asker::Doubt, action);
        }
    }
}
