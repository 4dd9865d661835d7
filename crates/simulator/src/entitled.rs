//! What a claim may ask for, said anew and without indexes: its class, whom that admits, how much it gives.

use std::sync::Arc;

use allocator::{Port, RESERVED, Scope, Spot};
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
        if claim.count > class.max_count || claim.count > 1 && class.scope != Scope::Cluster {
            Err(Reason::CountTooLarge)
        } else {
            Ok(class)
        }
    }

    pub fn class_of(&self, claim: &Claim) -> Result<&Class, Reason> {
        let named = claim.wanted_spot().and_then(|spot| self.hostports.get(&spot));
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

    pub fn may_have(&self, class: &Class, spot: Spot) -> Result<(), Reason> {
        let port = spot.port();
        let older = self.older(class).any(|other| has(other, port) && !self.is_blocked(other));
        let in_scope = match class.scope {
            Scope::Cluster => spot.is_whole(),
            Scope::Node { most } => spot.slot().is_some_and(|slot| most.is_none_or(|most| slot < most)),
        };
        match has(class, port) && !is_reserved(port) {
            true if self.is_blocked(class) => Err(Reason::PoolExhausted),
            true if in_scope && !older => Ok(()),
            _ => Err(Reason::PortOutsidePools),
        }
    }

    /// It has numbers in common with an older class of the other scope.
    pub fn is_blocked(&self, class: &Class) -> bool {
        let is_node = |class: &Class| class.scope != Scope::Cluster;
        let mut others = self.older(class).filter(|other| is_node(other) != is_node(class));
        others.any(|other| {
            let common = |port: Port| has(other, port) && !is_reserved(port);
            class.pools.iter().any(|pool| pool.iter().any(common)) && !self.is_blocked(other)
        })
    }

    fn older(&self, class: &Class) -> impl Iterator<Item = &Class> {
        let rank = |class: &Class| -> (i64, Arc<str>) { (class.created, class.name.clone()) };
        let this = rank(class);
        self.classes.values().filter(move |other| rank(other) < this)
    }
}

fn has(class: &Class, port: Port) -> bool {
    class.pools.iter().any(|pool| pool.contains(port))
}

fn is_reserved(port: Port) -> bool {
    RESERVED.iter().any(|range| range.contains(port))
}
