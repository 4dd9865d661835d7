//! What a number is to a claim that is to have it: free, its own, to be had, or taken and why.

use std::sync::Arc;

use allocator::{Refusal, Scope, Spot};
use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy};

use super::Core;
use crate::{
    seen::{Claim, Holder, HostPort, Key, Run},
    text::Trouble,
};

/// What a number is to a claim, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// No HostPort of it stands: it is to be created.
    Free,
    /// The claim holds it already, as a member of this block.
    Ours,
    /// Its HostPort was the claim's, or that of an earlier claim of its name.
    Again,
    /// Its HostPort is nobody's, or kept for the claim.
    Nobodys,
    /// Its HostPort is that of another claim of the namespace, which is gone or being deleted.
    Handed(Holder),
    /// It cannot be had.
    Taken(Trouble),
}

impl Core {
    /// What the number, one of `run`, is to the claim. Whether somebody is at work on it does not matter here.
    pub(super) fn member(&self, claim: &Claim, class: &Arc<str>, spot: Spot, run: Run) -> Member {
        let (port, namespace) = (spot.port(), &claim.key.namespace);
        let foreign = self.known.foreign_to(spot, namespace);
        // N3: a number and its slots never stand beside each other.
        if self.known.other_form_stands(spot) {
            return Member::Taken(Trouble::port_taken(port));
        }
        let Some(hostport) = self.known.hostport(spot) else {
            return match (self.not_in_class(class, spot), self.promised_to_another(claim, spot)) {
                (Some(trouble), _) | (None, Some(trouble)) => Member::Taken(trouble),
                _ if foreign => Member::Taken(Trouble::port_taken(port)),
                (None, None) => Member::Free,
            };
        };
        if hostport.belongs_to(&claim.uid) {
            return match hostport.phase {
                HostPortPhase::Bound if hostport.first() == run.first => Member::Ours,
                // C6: it is part of another block of the claim.
                HostPortPhase::Bound if run.count > 1 => Member::Taken(Trouble::port_taken(port)),
                _ => Member::Again,
            };
        }
        if hostport.class != *class || foreign {
            return Member::Taken(self.not_to_be_had(claim, class, hostport));
        }
        match &hostport.holder {
            None if hostport.kept_for.as_ref().is_some_and(|kept| *kept != claim.key) => {
                Member::Taken(self.not_to_be_had(claim, class, hostport))
            }
            None if !spot.is_whole() && self.known.has_strangers_beside(port, &claim.key) => {
                Member::Taken(Trouble::port_taken(port))
            }
            None => Member::Nobodys,
            Some(holder) if holder.key == claim.key => Member::Again,
            Some(holder)
                // A slot is not handed over: the pods of both claims would be two on one slot.
                if spot.is_whole()
                    && claim.asks_for(run.first)
                    && holder.key.namespace == *namespace
                    && self.has_left(holder) =>
            {
                Member::Handed(holder.clone())
            }
            _ => Member::Taken(self.not_to_be_had(claim, class, hostport)),
        }
    }

    /// As far as is known this claim is gone, or being deleted.
    fn has_left(&self, holder: &Holder) -> bool {
        self.known.claim(&holder.key).is_none_or(|claim| claim.uid != holder.uid || claim.deleting)
    }

    /// C7: the Bound status of another claim names the number, though its HostPort is gone.
    fn promised_to_another(&self, claim: &Claim, spot: Spot) -> Option<Trouble> {
        let bound = |key: &&Key| self.known.claim(key).is_some_and(|other| other.phase == ClaimPhase::Bound);
        let others = self.known.named(spot).iter().filter(|other| **other != claim.key);
        let other = others.filter(bound).min()?;
        Some(if other.namespace == claim.key.namespace {
            Trouble::port_held_here(spot.port(), &other.name)
        } else {
            Trouble::port_taken(spot.port())
        })
    }

    /// The class does not hand the number out, or another has it.
    fn not_to_be_had(&self, claim: &Claim, class: &Arc<str>, hostport: &HostPort) -> Trouble {
        let trouble = self.not_in_class(class, hostport.spot);
        // It stands, though the class has another scope by now.
        let scope = self
            .known
            .ledger
            .scope(class)
            .is_some_and(|scope| (scope == Scope::Cluster) == hostport.spot.is_whole());
        trouble.filter(|_| scope).unwrap_or_else(|| self.who_has(claim, hostport))
    }

    /// What to tell a claim of a number that another one holds or held.
    fn who_has(&self, claim: &Claim, hostport: &HostPort) -> Trouble {
        let port = hostport.spot.port();
        let lives = |holder: &Holder| {
            let claim = self.known.claim(&holder.key).filter(|claim| claim.uid == holder.uid);
            claim.is_some_and(|claim| claim.is_pending() || claim.names(hostport.spot))
        };
        let resting = hostport.phase == HostPortPhase::Released
            && !hostport.holder.as_ref().is_some_and(lives)
            && hostport.policy == ReclaimPolicy::Delete
            && hostport.held_by.is_none();
        match hostport.claim_key() {
            _ if resting => {
                let released = hostport.released_at.unwrap_or_default();
                let delay = hostport.reuse_delay.unwrap_or_default().as_millis() as i64;
                Trouble::waiting_for_reuse(port, released, released.saturating_add(delay))
            }
            _ if !hostport.spot.is_whole() => Trouble::slots_taken(port, &hostport.class),
            Some(key) if key.namespace == claim.key.namespace && key.name != claim.key.name => {
                Trouble::port_held_here(port, &key.name)
            }
            _ => Trouble::port_taken(port),
        }
    }

    /// The class does not hand the number out.
    pub(super) fn not_in_class(&self, class: &str, spot: Spot) -> Option<Trouble> {
        let port = spot.port();
        let pools = || self.known.ledger.pools(class).unwrap_or_default();
        match self.known.ledger.may_have(class, spot) {
            Ok(()) => None,
            Err(Refusal::NoSuchClass) => Some(Trouble::class_not_found(class)),
            Err(Refusal::OutsidePools) => Some(Trouble::outside_pools(port, class, pools())),
            Err(Refusal::Blocked) => Some(Trouble::class_blocked(class, pools())),
            Err(Refusal::OtherScope) => Some(Trouble::other_scope(port, class)),
            Err(Refusal::BeyondMaxNodes) => Some(Trouble::beyond_max_nodes(spot, class)),
            Err(Refusal::Reserved) => Some(Trouble::reserved(port, class)),
            Err(Refusal::OwnedByOlderClass { class: owner }) => {
                Some(Trouble::older_class(port, class, &owner))
            }
        }
    }

    /// C6: a Pending claim holds this member of a block, which cannot be completed; or, N3, what it holds stands in both
    /// forms of its name. A claim that is being deleted
    /// keeps what it has until it is gone.
    pub(super) fn is_hopeless(&self, claim: &Claim, hostport: &HostPort) -> bool {
        let Some(run) = hostport.run(claim.count) else { return false };
        let taken = |spot| matches!(self.member(claim, &hostport.class, spot, run), Member::Taken(_));
        let waits = claim.is_pending() && !claim.deleting && hostport.belongs_to(&claim.uid);
        waits && (self.known.other_form_stands(hostport.spot) || run.count > 1 && run.iter().any(taken))
    }
}
