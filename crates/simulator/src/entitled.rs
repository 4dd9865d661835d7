//! What a claim may ask for, said anew and without indexes: its class, whom that admits, how much it gives.

use std::sync::Arc;

use allocator::{Port, RESERVED, Spot};
use crds::{ClaimPhase, HostPortPhase, Reason};
use reconciler::seen::{Admits, Claim, Class, Run};

use crate::server::Server;

impl Server {
    /// The class that a claim is bound from, if that gives the claim anything.
    pub fn class_for(&self, claim: &Claim) -> Result<&Class, Reason> {
        let class = self.class_of(claim)?;
        if !self.admits(class, &claim.key.namespace) {
            return Err(Reason::NamespaceNotAllowed);
        }
        if claim.count > class.max_count { Err(Reason::CountTooLarge) } else { Ok(class) }
    }

    pub fn class_of(&self, claim: &Claim) -> Result<&Class, Reason> {
        let named =
            claim.hostport_name.as_ref().and(claim.wanted).and_then(|port| self.hostports.get(&port.into()));
        let kept = || self.hostports.values().find(|it| it.kept_for.as_ref() == Some(&claim.key));
        let by_name = |name: &Arc<str>| self.classes.get(name).ok_or(Reason::ClassNotFound);
        match (&claim.class, named.or_else(kept).filter(|_| claim.is_pending())) {
            (Some(name), Some(it)) if *name != it.class => Err(Reason::PortOutsidePools),
            (Some(name), _) => by_name(name),
            (None, _) if claim.phase != ClaimPhase::Pending && claim.used_class.is_some() => {
                claim.used_class.as_ref().ok_or(Reason::ClassNotFound).and_then(by_name)
            }
            (None, Some(it)) => by_name(&it.class),
            (None, None) => {
                let newest = |class: &&Class| (class.created, std::cmp::Reverse(class.name.clone()));
                let defaults = self.classes.values().filter(|class| class.is_default);
                let defaults = defaults.filter(|class| self.admits(class, &claim.key.namespace));
                defaults.max_by_key(newest).ok_or(Reason::ClassNotFound)
            }
        }
    }

    pub fn admits(&self, class: &Class, namespace: &str) -> bool {
        self.namespaces
            .get(namespace)
            .map_or(class.admits == Admits::All, |it| class.admits.admits(&it.labels))
    }

    /// How many ports of the class the namespace may have, if there is a limit.
    pub fn limit(&self, class: &Class, namespace: &str) -> Option<usize> {
        let quotas = self.quotas.values().filter(|quota| *quota.key.namespace == *namespace);
        let quotas = quotas.flat_map(|quota| &quota.limits).filter(|(name, _)| *name == class.name);
        quotas.map(|(_, limit)| *limit).chain(class.max_per_namespace).min()
    }

    /// The number counts for this namespace and class.
    pub fn counts(&self, spot: Spot, class: &str, namespace: &str) -> bool {
        self.hostports.get(&spot).is_some_and(|it| {
            it.phase == HostPortPhase::Bound
                && *it.class == *class
                && it.holder.as_ref().is_some_and(|holder| *holder.key.namespace == *namespace)
        })
    }

    pub fn usage(&self, class: &str, namespace: &str) -> usize {
        self.hostports.keys().filter(|spot| self.counts(**spot, class, namespace)).count()
    }

    /// With these numbers, or with as many new ones as it asks for, its namespace would have more than it may.
    pub fn is_beyond(&self, claim: &Claim, class: &Class, run: Option<Run>) -> bool {
        let namespace = &claim.key.namespace;
        let new = run.map_or(usize::from(claim.count), |run| {
            run.iter().filter(|spot| !self.counts(*spot, &class.name, namespace)).count()
        });
        let after = self.usage(&class.name, namespace) + new;
        self.limit(class, namespace).is_some_and(|limit| after > limit)
    }

    pub fn may_have(&self, class: &Class, port: Port) -> Result<(), Reason> {
        let has = |class: &Class| class.pools.iter().any(|pool| pool.contains(port));
        let reserved = RESERVED.iter().any(|range| range.contains(port));
        let rank = |class: &Class| -> (i64, Arc<str>) { (class.created, class.name.clone()) };
        let older = self.classes.values().any(|other| has(other) && rank(other) < rank(class));
        if has(class) && !reserved && !older { Ok(()) } else { Err(Reason::PortOutsidePools) }
    }
}
