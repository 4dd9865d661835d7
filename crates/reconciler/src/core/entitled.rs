//! What a claim may ask for: its class, whom that admits, how much of it its namespace may have.

use std::sync::Arc;

use allocator::{Scope, Spot};
use crds::ClaimPhase;

use super::Core;
use crate::{
    seen::{Claim, Run},
    text::Trouble,
};

impl Core {
    /// The class of a claim that is to be bound, if it gives this claim anything. `None`: the labels of its
    /// namespace, on which that depends, are not known yet.
    pub(super) fn class_for(&self, claim: &Claim) -> Result<Option<Arc<str>>, Trouble> {
        let namespace = &claim.key.namespace;
        let name = self.class_of(claim)?;
        let Some(class) = self.known.class(&name) else { return Err(Trouble::class_not_found(&name)) };
        match self.known.admits(class, namespace) {
            None => Ok(None),
            Some(false) => Err(Trouble::namespace_not_allowed(namespace, &name)),
            Some(true) if claim.count > 1 && class.scope != Scope::Cluster => {
                Err(Trouble::one_for_each_claim(claim.count, &name))
            }
            Some(true) if claim.count > class.max_count => {
                Err(Trouble::count_too_large(claim.count, &name, class.max_count))
            }
            Some(true) => Ok(Some(name)),
        }
    }

    /// The class that the claim is to be bound from.
    pub(super) fn class_of(&self, claim: &Claim) -> Result<Arc<str>, Trouble> {
        let named = claim.wanted_spot().and_then(|spot| self.known.hostport(spot));
        // Which HostPort it is to have decides for a claim that waits only.
        let named = named.or_else(|| self.known.kept_for(&claim.key)).filter(|_| claim.is_pending());
        let default = || self.known.default_class(&claim.key.namespace);
        let name = match (&claim.class, named) {
            (Some(name), _) if name.is_empty() => return Err(Trouble::no_class_wanted()),
            (Some(name), Some(hostport)) if *name != hostport.class => {
                return Err(Trouble::other_class(hostport.spot, name));
            }
            (Some(name), _) => name.clone(),
            // Once Bound, the class that it was bound from.
            (None, _) if claim.phase != ClaimPhase::Pending && claim.used_class.is_some() => {
                claim.used_class.clone().unwrap_or_default()
            }
            (None, Some(hostport)) => hostport.class.clone(),
            (None, None) => {
                default().map(|class| class.name.clone()).ok_or_else(Trouble::no_default_class)?
            }
        };
        if self.known.class(&name).is_some() { Ok(name) } else { Err(Trouble::class_not_found(&name)) }
    }

    /// The class from which a number without HostPort is made again for the claim whose status names it, or why
    /// it cannot be. What others were promised does not count: the create decides.
    pub(super) fn class_again(&self, claim: &Claim, spot: Spot) -> Result<Arc<str>, Trouble> {
        let class = self.class_of(claim)?;
        let namespace = &claim.key.namespace;
        let admitted = self.known.class(&class).and_then(|class| self.known.admits(class, namespace));
        // While it is being restored it is counted already.
        let new = usize::from(!self.known.counts_for(spot, &class, namespace));
        match (self.not_in_class(&class, spot), self.beyond_limit(claim, &class, new)) {
            (Some(trouble), _) => Err(trouble),
            _ if admitted == Some(false) => Err(Trouble::namespace_not_allowed(namespace, &class)),
            _ if self.known.foreign_to(spot, namespace) => Err(Trouble::port_taken(spot.port())),
            (_, Some(trouble)) => Err(trouble),
            _ => Ok(class),
        }
    }

    /// The namespace would have more ports of the class than it may.
    pub(super) fn beyond_quota(&self, claim: &Claim, class: &Arc<str>, run: Run) -> Option<Trouble> {
        self.beyond_limit(claim, class, self.new_of(claim, class, run).into())
    }

    /// How many of these the namespace has not yet: a number that is taken over inside it is counted already.
    pub(super) fn new_of(&self, claim: &Claim, class: &Arc<str>, run: Run) -> u16 {
        let new = run.iter().filter(|spot| !self.known.counts_for(*spot, class, &claim.key.namespace));
        new.map(|_| 1).sum()
    }

    /// With so many more of the class the namespace would have more than it may.
    pub(super) fn beyond_limit(&self, claim: &Claim, class: &Arc<str>, new: usize) -> Option<Trouble> {
        let namespace = &claim.key.namespace;
        let limit = self.known.limit(class, namespace)?;
        let after = self.known.usage(class, namespace) + new;
        (after > limit).then(|| Trouble::quota_exceeded(namespace, class, limit))
    }
}
