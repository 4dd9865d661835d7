//! Scope Node: which slot of a number may be freed while pods carry that number (N1, N2).

use allocator::Spot;
use crds::{HostPortPhase, ReclaimPolicy, ReuseDelay};

use super::{
    Core,
    known::labelled,
    release::{IN_FLIGHT, Step},
};
use crate::seen::{Holder, HostPort, Key, Pod};

/// What keeps a slot, whose claim is gone.
pub(super) enum Need<'a> {
    /// Nothing.
    Nobody,
    /// This pod.
    Pod(&'a Key),
    /// Other processes' decisions, maybe, on this slot: they are to be voided first.
    TakeOver(Spot),
    /// Slots that have not rested, or that another process has made its own.
    Later,
}

impl Core {
    /// N1, N2: a pod carries the number, not a slot of it. Those that name a claim for which a slot stands need that slot.
    /// For each of the others in the namespace a slot stays that no pod of its own claim needs; and only those count
    /// that this process has made its own, and that have rested for as long as a pod can be on its way.
    pub(super) fn who_needs<'a>(
        &self,
        hostport: &HostPort,
        claim: &Key,
        carriers: &mut dyn Iterator<Item = &'a Pod>,
    ) -> Need<'a> {
        let port = hostport.spot.port();
        let carriers: Vec<_> = carriers.collect();
        let own = labelled(claim).name;
        if let Some(pod) =
            carriers.iter().filter(|pod| pod.serves(port) == Some(&own)).map(|pod| &pod.key).min()
        {
            return Need::Pod(pod);
        }
        let orphans = carriers.iter().filter(|pod| !self.known.is_accounted_for(pod, port));
        let orphans: Vec<_> = orphans.map(|pod| &pod.key).collect();
        let seen = |it: &HostPort| self.sightings.get(&it.spot).filter(|seen| seen.version == it.version);
        let is_own = |it: &HostPort| seen(it).is_some_and(|seen| seen.own);
        let rested = |it: &HostPort| {
            let rest = it.reuse_delay.unwrap_or(ReuseDelay::DEFAULT.get()).min(IN_FLIGHT);
            seen(it).is_some_and(|seen| seen.at + rest <= self.now.mono)
        };
        let spare = self.known.slots(port).filter(|it| {
            let mine = it.holder.as_ref().filter(|holder| holder.key.namespace == claim.namespace);
            let needed = |holder: &Holder| {
                let name = labelled(&holder.key).name;
                carriers.iter().any(|pod| pod.serves(port) == Some(&name))
            };
            let leaves = self.spot_jobs.get(&it.spot).is_some_and(|job| job.step == Step::Free);
            // What an administrator keeps is never freed, nor made anybody's own.
            let stays = it.phase == HostPortPhase::Released && it.policy == ReclaimPolicy::Delete;
            stays && !leaves && mine.is_some_and(|holder| !needed(holder))
        });
        let mut spare: Vec<_> = if orphans.is_empty() { vec![hostport] } else { spare.collect() };
        spare.sort_by_key(|it| it.spot);
        if let Some(pod) = orphans.iter().min().filter(|_| spare.len() <= orphans.len()) {
            return Need::Pod(pod);
        }
        let free = spare.iter().filter(|it| is_own(it) && rested(it)).count();
        if is_own(hostport) && free > orphans.len() {
            return Need::Nobody;
        }
        // Two processes do not take slots from each other for ever: who has the lowest goes on, the other one waits for
        // longer than that takes.
        match spare.first() {
            Some(first) if !orphans.is_empty() && !is_own(first) => {
                let waited = seen(first).is_some_and(|seen| seen.at + 2 * IN_FLIGHT <= self.now.mono);
                if waited { Need::TakeOver(first.spot) } else { Need::Later }
            }
            _ => {
                let next = spare.iter().find(|it| !is_own(it) && rested(it));
                next.map_or(Need::Later, |it| Need::TakeOver(it.spot))
            }
        }
    }

    /// The pod that `heldBy` of a slot names, if it still carries the number and has no slot of its own.
    pub(super) fn known_holder_back(&self, hostport: &HostPort) -> Option<Key> {
        let name = hostport.held_by.as_deref().filter(|_| !hostport.spot.is_whole())?;
        let (namespace, name) = name.strip_prefix("pod ")?.split_once('/')?;
        Some(Key::new(namespace, name)).filter(|pod| self.known.is_stranger(pod, hostport.spot.port()))
    }
}
