//! Numbers of which slots stand, and which pods each of these accounts for: a pod carries the number, not a slot, so it
//! is its claim that tells. Never here: whether a slot may be freed.

use std::{collections::BTreeSet, sync::Arc};

use foldhash::HashMap;

use allocator::{Port, Spot};
use crds::{HostPortPhase, names::label_of_claim};

use super::{Known, Touch};
use crate::seen::{HostPort, Key, Pod};

/// A number, and a claim as the labels of pods have it.
type Served = (Port, Key);

/// What is known of slots beside each HostPort.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Those that stand.
    standing: HashMap<Port, BTreeSet<Spot>>,
    /// Those that somebody was said to hold back: the end of a pod is news to them.
    held_back: HashMap<Port, BTreeSet<Spot>>,
    /// How many stand for a claim.
    of: HashMap<Served, usize>,
    /// Live pods of a claim.
    pods: HashMap<Served, BTreeSet<Key>>,
    /// How many live pods carry a number for no claim that a slot of it stands for.
    strangers: HashMap<Port, usize>,
    /// There is a class of scope Node, or a slot, or has been one.
    pub(super) met: bool,
}

/// The claim as the labels of pods have it.
pub(in crate::core) fn labelled(claim: &Key) -> Key {
    let name = label_of_claim(&claim.name);
    if name == *claim.name {
        return claim.clone();
    }
    Key { namespace: claim.namespace.clone(), name: name.into() }
}

impl Known {
    /// The slots of the number that stand.
    pub(in crate::core) fn slots(&self, port: Port) -> impl Iterator<Item = &HostPort> {
        self.slots.standing.get(&port).into_iter().flatten().filter_map(|spot| self.hostports.get(spot))
    }

    /// The HostPort of the number on all nodes stands, if this is a slot of it; or the reverse.
    pub(in crate::core) fn other_form_stands(&self, spot: Spot) -> bool {
        match spot.is_whole() {
            true => self.slots.standing.contains_key(&spot.port()),
            false => self.hostports.contains_key(&spot.port().into()),
        }
    }

    /// Whether the other form of a HostPort's name may be in use at all: without a class of scope Node, ever since this
    /// process began, there are no slots.
    pub(in crate::core) fn may_have_other_form(&self, spot: Spot) -> bool {
        self.slots.met || !spot.is_whole()
    }

    /// A claim holds another slot of the number: nobody else gives the number out as a whole.
    pub(in crate::core) fn is_beside_held_slot(&self, spot: Spot) -> bool {
        !spot.is_whole()
            && self.slots(spot.port()).any(|it| it.spot != spot && it.phase == HostPortPhase::Bound)
    }

    /// A live pod that uses what the claim holds: of its namespace, and if that is a slot then for this very claim.
    pub(in crate::core) fn user_of(&self, spot: Spot, claim: &Key) -> Option<&Key> {
        match spot.is_whole() {
            true => self.carrier_in(spot.port(), &claim.namespace),
            false => self.slots.pods.get(&(spot.port(), labelled(claim)))?.first(),
        }
    }

    /// This live pod carries the number, and no slot of it stands for its claim.
    pub(in crate::core) fn is_stranger(&self, pod: &Key, port: Port) -> bool {
        self.has_stranger(port, |other, _| other == pod)
    }

    /// A slot of the number stands for the claim that the pod carries it for.
    pub(in crate::core) fn is_accounted_for(&self, pod: &Pod, port: Port) -> bool {
        self.is_served(&pod.key, pod.serves(port), port)
    }

    fn is_served(&self, pod: &Key, claim: Option<&Arc<str>>, port: Port) -> bool {
        let served = |claim: &Arc<str>| {
            let claim = Key { namespace: pod.namespace.clone(), name: claim.clone() };
            self.slots.of.contains_key(&(port, claim))
        };
        claim.is_some_and(served)
    }

    /// A pod of another namespace carries the number, and no slot stands for it.
    pub(super) fn has_strangers_outside(&self, port: Port, namespace: &str) -> bool {
        self.has_stranger(port, |pod, _| *pod.namespace != *namespace)
    }

    /// A pod carries the number for which no slot stands, nor would one that this claim gets.
    pub(in crate::core) fn has_strangers_beside(&self, port: Port, claim: &Key) -> bool {
        let own = labelled(claim);
        self.has_stranger(port, |pod, name| pod.namespace != own.namespace || name != Some(&own.name))
    }

    fn has_stranger(&self, port: Port, is: impl Fn(&Key, Option<&Arc<str>>) -> bool) -> bool {
        let stranger = |pod: &Key| {
            let carried = self.pods.get(pod);
            let claim = carried.and_then(|it| it.serves.iter().find(|(number, _)| *number == port));
            let claim = claim.map(|(_, claim)| claim);
            !self.is_served(pod, claim, port) && is(pod, claim)
        };
        self.slots.strangers.contains_key(&port)
            && self.carriers.get(&port).is_some_and(|pods| pods.iter().any(stranger))
    }

    /// A pod carries the number from now on, or no more.
    pub(super) fn count_pod(&mut self, pod: &Key, port: Port, claim: Option<&Arc<str>>, comes: bool) {
        let accounted = self.is_served(pod, claim, port);
        if let Some(claim) = claim {
            let served = (port, Key { namespace: pod.namespace.clone(), name: claim.clone() });
            let pods = self.slots.pods.entry(served.clone()).or_default();
            if comes {
                pods.insert(pod.clone())
            } else {
                pods.remove(pod)
            };
            if pods.is_empty() {
                self.slots.pods.remove(&served);
            }
        }
        if !accounted {
            self.count_strangers(port, 1, comes);
        }
    }

    fn count_strangers(&mut self, port: Port, count: usize, come: bool) {
        let strangers = self.slots.strangers.entry(port).or_default();
        *strangers = if come { *strangers + count } else { strangers.saturating_sub(count) };
        if *strangers == 0 {
            self.slots.strangers.remove(&port);
        }
        self.recount_strange(port);
    }

    pub(super) fn recount_strange(&mut self, port: Port) {
        let strange = self.slots.strangers.contains_key(&port) || self.node_ports.contains_key(&port);
        self.ledger.set_strange(port, strange);
    }

    /// What the end or the coming of a pod on the number is news to.
    pub(super) fn slots_concerned(&self, pod: &Key, port: Port, claim: Option<&Arc<str>>) -> Vec<Spot> {
        let Some(standing) = self.slots.standing.get(&port) else { return Vec::new() };
        let mut spots: Vec<Spot> = self.slots.held_back.get(&port).into_iter().flatten().copied().collect();
        let Some(claim) = claim else { return spots };
        let claim = Key { namespace: pod.namespace.clone(), name: claim.clone() };
        match self.spots_of.get(&claim) {
            Some(own) => spots.extend(own.iter().filter(|spot| spot.port() == port)),
            // Its name is too long for a label.
            None if self.slots.of.contains_key(&(port, claim.clone())) => {
                let of = |spot: &&Spot| {
                    let hostport = self.hostports.get(spot).and_then(HostPort::claim_key);
                    hostport.is_some_and(|key| labelled(key) == claim)
                };
                spots.extend(standing.iter().filter(of));
            }
            None => {}
        }
        spots
    }

    /// A slot has come, gone or changed.
    pub(super) fn index_slot(&mut self, spot: Spot, before: Option<&HostPort>) {
        if spot.is_whole() {
            return;
        }
        self.slots.met = true;
        let port = spot.port();
        let after = self.hostports.get(&spot);
        let claims = [before, after].map(|it| it.and_then(HostPort::claim_key).map(labelled));
        let is_held_back =
            after.is_some_and(|it| it.phase == HostPortPhase::Released && it.held_by.is_some());
        put(&mut self.slots.standing, port, spot, after.is_some());
        put(&mut self.slots.held_back, port, spot, is_held_back);
        let [before, after] = claims;
        if before == after {
            return;
        }
        if let Some(claim) = after {
            let count = self.slots.of.entry((port, claim.clone())).or_default();
            *count += 1;
            if *count == 1 {
                let pods = self.slots.pods.get(&(port, claim)).map_or(0, BTreeSet::len);
                if pods > 0 {
                    // These pods hold no other slot back any more, nor keep one from who had it.
                    self.count_strangers(port, pods, false);
                    self.touched.push(Touch::Spot(port.into()));
                }
            }
        }
        if let Some(claim) = before {
            let served = (port, claim);
            let Some(count) = self.slots.of.get_mut(&served) else { return };
            *count -= 1;
            if *count == 0 {
                self.slots.of.remove(&served);
                let pods = self.slots.pods.get(&served).map_or(0, BTreeSet::len);
                self.count_strangers(port, pods, true);
            }
        }
    }
}

fn put(all: &mut HashMap<Port, BTreeSet<Spot>>, port: Port, spot: Spot, member: bool) {
    if member {
        all.entry(port).or_default().insert(spot);
    } else if let Some(spots) = all.get_mut(&port) {
        spots.remove(&spot);
        if spots.is_empty() {
            all.remove(&port);
        }
    }
}
