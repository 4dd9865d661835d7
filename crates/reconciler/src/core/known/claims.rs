//! Claims as they are told of, and who is named by which number.

use std::collections::BTreeSet;

use crds::ClaimPhase;

use super::{Known, Touch};
use crate::{
    action::{Action, ActionId},
    seen::{Change, Claim, Key, Run, Uid},
};

impl Known {
    pub(super) fn apply_claim(&mut self, change: Change<Claim>) {
        match change {
            Change::Listing => self.claim_list.names.clear(),
            Change::Listed(claim) => {
                self.claim_list.names.insert(claim.key.clone());
                self.rewound |= self.dead_claims.was_told(&claim.uid);
                let older = self.claims.get(&claim.key).is_some_and(|known| known.version > claim.version);
                if older || self.dead_claims.hold(&claim.uid) {
                    self.doubts.push(Action::GetClaim(claim.key.clone()));
                }
                self.put_claim(claim);
            }
            Change::ListDone => {
                let names = std::mem::take(&mut self.claim_list.names);
                let gone = self.claims.values().filter(|claim| !names.contains(&claim.key));
                let mut gone: Vec<_> = gone.map(|claim| (claim.key.clone(), claim.uid.clone())).collect();
                gone.sort_unstable();
                gone.iter().for_each(|(key, uid)| self.remove_claim(key, uid));
                self.dead_claims.tell_all(&names, self.next);
                (self.claim_list.complete, self.claim_list.since) = (true, self.next);
            }
            Change::Applied(claim) => self.put_claim(claim),
            Change::Deleted(claim) => {
                self.remove_claim(&claim.key, &claim.uid);
                self.dead_claims.tell(claim.key, claim.uid, self.next);
            }
        }
    }

    /// The claim as the reply to this request showed it.
    pub(in crate::core) fn learn_claim(&mut self, claim: Claim, asked: ActionId) {
        let known = self.claims.get(&claim.key).is_some_and(|known| known.uid == claim.uid);
        if known || asked >= self.claim_list.since {
            self.put_claim(claim);
        }
    }

    /// The claim as a watch, a read or our own write showed it. An older sight of it changes nothing.
    pub(super) fn put_claim(&mut self, claim: Claim) {
        if self.dead_claims.hold(&claim.uid) {
            return;
        }
        if self.claims.get(&claim.key).is_some_and(|known| known.version >= claim.version) {
            return;
        }
        let key = claim.key.clone();
        let before = self.claims.insert(key.clone(), claim);
        self.index_claim(&key, before.as_ref());
    }

    /// This very claim is gone, a read has shown it; what watches still tell of it is old.
    pub(in crate::core) fn bury_claim(&mut self, key: &Key, uid: &Uid) {
        if self.claims.get(key).is_some_and(|known| known.uid == *uid) {
            self.dead_claims.dig(key.clone(), uid.clone(), self.next);
            self.remove_claim(key, uid);
        }
    }

    pub(super) fn remove_claim(&mut self, key: &Key, uid: &Uid) {
        if self.claims.get(key).is_some_and(|known| known.uid == *uid) {
            let before = self.claims.remove(key);
            self.index_claim(key, before.as_ref());
        }
    }

    pub(super) fn index_claim(&mut self, key: &Key, before: Option<&Claim>) {
        let after = self.claims.get(key);
        let is = |claim: Option<&Claim>, wanted: fn(&Claim) -> bool| claim.is_some_and(wanted);
        keep(&mut self.pending, key, is(after, |claim| claim.is_pending() && !claim.deleting));
        keep(&mut self.lost, key, is(after, |claim| claim.phase == ClaimPhase::Lost));
        let runs = [before.and_then(Claim::run), after.and_then(Claim::run)];
        if runs[0] != runs[1] {
            for spot in runs[0].into_iter().flat_map(Run::iter) {
                let keys = self.named.entry(spot).or_default();
                keys.retain(|other| other != key);
                if keys.is_empty() {
                    self.named.remove(&spot);
                }
            }
            for spot in runs[1].into_iter().flat_map(Run::iter) {
                self.named.entry(spot).or_default().push(key.clone());
            }
        }
        let both = [runs[0], runs[1].filter(|run| Some(*run) != runs[0])];
        for spot in both.into_iter().flatten().flat_map(Run::iter) {
            let bound =
                |key| self.claims.get(key).is_some_and(|claim: &Claim| claim.phase == ClaimPhase::Bound);
            let promised = self.named(spot).iter().any(bound);
            self.ledger.set_promised(spot, promised);
            self.touched.push(Touch::Spot(spot));
        }
        self.touched.extend(self.spots_of(key).into_iter().map(Touch::Spot));
        self.touched.push(Touch::Claim(key.clone()));
    }
}

fn keep(set: &mut BTreeSet<Key>, key: &Key, member: bool) {
    if !member {
        set.remove(key);
    } else if !set.contains(key) {
        set.insert(key.clone());
    }
}
