//! What a change may have changed: who is to look again.

use std::sync::Arc;

use allocator::Spot;

use super::{Core, known::Touch};
use crate::seen::{Claim, HostPort};

impl Core {
    /// Marks what a change may have changed.
    pub(super) fn spread(&mut self) {
        for touch in std::mem::take(&mut self.known.touched) {
            match touch {
                Touch::Claim(key) => self.claims.push(key),
                Touch::ClassStatus(name) => drop(self.class_status.insert(name)),
                Touch::Spot(spot) => self.spread_spot(spot),
                Touch::Classes => {
                    let names: Vec<_> = self.known.class_names().cloned().collect();
                    self.class_status.extend(names.iter().cloned());
                    names.into_iter().for_each(|name| self.hungry.push(name));
                    self.known.pending().cloned().for_each(|key| self.claims.push(key));
                    self.known.lost().cloned().for_each(|key| self.claims.push(key));
                }
                Touch::Namespace(name) => {
                    self.known.pending_in(&name).into_iter().for_each(|key| self.claims.push(key));
                    self.known.lost_in(&name).into_iter().for_each(|key| self.claims.push(key));
                }
                Touch::Room(class, namespace) => {
                    let limit = self.known.limit(&class, &namespace).unwrap_or(usize::MAX);
                    let room = limit.saturating_sub(self.known.usage(&class, &namespace));
                    let keys = self.queue.held_back(&class, &namespace, room);
                    let beyond = self.queue.beyond(&class, &namespace, room);
                    let lost = self.known.lost_in(&namespace);
                    keys.into_iter().chain(beyond).chain(lost).for_each(|key| self.claims.push(key));
                }
            }
        }
    }

    pub(super) fn spread_spot(&mut self, spot: Spot) {
        self.spots.push(spot);
        self.spread_to_claims(spot);
    }

    /// Lets those look again who wait for the number, or for the end of a job on it.
    pub(super) fn spread_to_claims(&mut self, spot: Spot) {
        self.known.named(spot).iter().cloned().for_each(|key| self.claims.push(key));
        if self.known.may_have_other_form(spot) {
            // A lost number may come back when its other form is gone.
            let lost = self.known.lost().filter(|key| {
                self.known.claim(key).and_then(Claim::named).is_some_and(|it| it.port() == spot.port())
            });
            lost.cloned().for_each(|key| self.claims.push(key));
            let others = match spot.is_whole() {
                true => Some(
                    self.known.slots(spot.port()).map(|it| (it.spot, it.class.clone())).collect::<Vec<_>>(),
                ),
                false => self.known.hostport(spot.port().into()).map(|it| vec![(it.spot, it.class.clone())]),
            };
            for (other, its_class) in others.into_iter().flatten() {
                self.spots.push(other);
                let claim = self.known.hostport(other).and_then(HostPort::claim_key).cloned();
                claim.into_iter().for_each(|key| self.claims.push(key));
                self.hungry.push(its_class);
            }
        }
        self.queue.wanting(spot.port()).for_each(|key| self.claims.push(key));
        self.stranded.iter().cloned().for_each(|key| self.claims.push(key));
        let hostport = self.known.hostport(spot);
        if let Some(key) = hostport.and_then(HostPort::claim_key) {
            self.claims.push(key.clone());
        }
        let owner: Option<Arc<str>> = self.known.ledger.owner(spot.port()).map(Into::into);
        for class in owner.into_iter().chain(hostport.map(|hostport| hostport.class.clone())) {
            self.class_status.insert(class.clone());
            if self.queue.has_line(&class) {
                self.hungry.push(class);
            }
        }
    }
}
