//! Claims: what one needs now. Starts jobs; their steps are in `binding` and `restore`.

use std::sync::Arc;

use allocator::{Port, Refusal};
use crds::{ClaimPhase, HostPortPhase, ReclaimPolicy, names::FINALIZER_CLAIM_PROTECTION};

use super::{
    ClaimJob, Core,
    binding::{Bind, Way},
    restore::Restore,
};
use crate::{
    seen::{Claim, HostPort, Key, Truth},
    text::{self, Trouble},
};

impl Core {
    pub(super) fn decide_claim(&mut self, key: &Key) {
        if self.claim_jobs.contains_key(key) {
            return; // Its end names the claim again.
        }
        if self.resting.get(key).is_some_and(|until| *until > self.now.mono) {
            return; // Its alarm names the claim again.
        }
        self.resting.remove(key);
        if let Some(class) = self.queue.leave(key) {
            self.class_status.insert(class);
        }
        let Some(claim) = self.known.claim(key).cloned() else { return };
        if claim.deleting {
            self.see_off(&claim);
        } else if let Some(port) = claim.named() {
            self.keep(&claim, port);
        } else {
            self.bind(&claim);
        }
    }

    /// A claim that is being deleted stays until its pods have ended, then loses our finalizer.
    fn see_off(&mut self, claim: &Claim) {
        let mine = self.known.ports_of(&claim.key).into_iter().find_map(|port| {
            let hostport = self.known.hostport(port)?;
            let pod = self.known.carrier_in(port, &claim.key.namespace)?;
            hostport.belongs_to(&claim.uid).then(|| (port, hostport.class.clone(), pod.name.clone()))
        });
        match mine {
            Some((port, class, pod)) if claim.is_protected() => {
                let status =
                    self.status(claim, claim.phase, Some(class), claim.port, vec![text::in_use(port, &pod)]);
                self.write_status(claim, status, None);
            }
            None if claim.is_protected() => {
                let others = claim.finalizers.iter().filter(|other| &***other != FINALIZER_CLAIM_PROTECTION);
                self.write_finalizers(claim, others.cloned().collect());
            }
            _ => {}
        }
    }

    /// A Bound or Lost claim: its number is its own, whatever happened to the HostPort.
    fn keep(&mut self, claim: &Claim, port: Port) {
        let hostport = self.known.hostport(port);
        if let Some(hostport) = hostport.filter(|hostport| hostport.is_held_by(&claim.uid)) {
            let used = self.known.carrier_in(port, &claim.key.namespace).is_some();
            let class = hostport.class.clone();
            if claim.phase == ClaimPhase::Lost {
                self.restore(claim, port);
            } else if claim.ready.as_ref().is_none_or(|ready| ready.status != Truth::True) {
                let status = self.bound_status(claim, port, &class);
                self.write_status(claim, status, None);
            } else if used && !claim.is_protected() {
                let mut finalizers = claim.finalizers.clone();
                finalizers.push(FINALIZER_CLAIM_PROTECTION.into());
                self.write_finalizers(claim, finalizers);
            }
        } else if claim.phase == ClaimPhase::Bound || self.may_come_back(claim, port) {
            self.restore(claim, port);
        }
    }

    /// A Lost claim is tried again only when there is hope, so that it does not try for ever.
    fn may_come_back(&self, claim: &Claim, port: Port) -> bool {
        match self.known.hostport(port) {
            None => self.class_again(claim, port).is_ok(),
            Some(hostport) => self.may_take(claim, hostport),
        }
    }

    /// The HostPort is nobody's, or was this claim's under an earlier uid, and no pod of others carries it.
    pub(super) fn may_take(&self, claim: &Claim, hostport: &HostPort) -> bool {
        let class = claim.class.as_ref().or(claim.used_class.as_ref());
        hostport.belongs_to(&claim.uid) // C5: it was released by mistake.
            || class.is_none_or(|class| *class == hostport.class)
                && hostport.holder.as_ref().is_none_or(|holder| holder.key == claim.key)
                && !self.known.foreign_to(hostport.port, &claim.key.namespace)
    }

    /// The class from which a number without HostPort is made again for the claim whose status names it, or why
    /// it cannot be. What others were promised does not count: the create decides.
    pub(super) fn class_again(&self, claim: &Claim, port: Port) -> Result<Arc<str>, Trouble> {
        let class = self.class_of(claim)?;
        match self.not_in_class(&class, port) {
            Some(trouble) => Err(trouble),
            None if self.known.foreign_to(port, &claim.key.namespace) => Err(Trouble::port_taken(port)),
            None => Ok(class),
        }
    }

    fn restore(&mut self, claim: &Claim, port: Port) {
        if self.is_busy(port) {
            return; // The end of that work names the claim again.
        }
        let class = self.class_of(claim).unwrap_or_else(|_| claim.used_class.clone().unwrap_or_default());
        self.lock(port, &claim.key, &class);
        let (job, action) = Restore::begin(claim, port);
        self.begin(&claim.key, ClaimJob::Restore(job), action);
    }

    /// A Pending claim: its own HostPort if it has one, else one of its class.
    fn bind(&mut self, claim: &Claim) {
        let own = self.known.ports_of(&claim.key);
        let of_uid =
            |core: &Self, port: &Port| core.known.hostport(*port).is_some_and(|it| it.belongs_to(&claim.uid));
        let mut mine: Vec<Port> = own.iter().copied().filter(|port| of_uid(self, port)).collect();
        mine.sort_by_key(|port| self.known.hostport(*port).map(|it| it.phase != HostPortPhase::Bound));
        if let Some(&port) = mine.first() {
            let Some(hostport) = self.idle_hostport(port).cloned() else { return };
            let way = if hostport.phase == HostPortPhase::Bound { Way::Held } else { Way::taking(&hostport) };
            return self.begin_bind(claim, port, hostport.class.clone(), way);
        }
        let class = match self.class_of(claim) {
            Ok(class) => class,
            Err(trouble) => return self.tell(claim, claim.class.clone(), trouble),
        };
        // Re-bind: a claim of the same name had a port here, and only this namespace's pods carry it.
        for port in own {
            let Some(hostport) = self.known.hostport(port).cloned() else { continue };
            if self.fits_again(claim, &class, &hostport) {
                if !self.is_busy(port) {
                    self.begin_bind(claim, port, class, Way::taking(&hostport));
                }
                return;
            }
        }
        match claim.wanted {
            Some(port) => self.bind_wanted(claim, class, port),
            None => {
                self.queue.join(claim, &class);
                self.class_status.insert(class.clone());
                self.hungry.push(class);
            }
        }
    }

    /// A port of an earlier claim of the same name fits the claim.
    pub(super) fn fits_again(&self, claim: &Claim, class: &str, hostport: &HostPort) -> bool {
        hostport.holder.as_ref().is_some_and(|holder| holder.key == claim.key)
            && &*hostport.class == class
            && claim.wanted.is_none_or(|wanted| wanted == hostport.port)
            && !self.known.foreign_to(hostport.port, &claim.key.namespace)
    }

    fn bind_wanted(&mut self, claim: &Claim, class: Arc<str>, port: Port) {
        if let Some(trouble) = self.not_in_class(&class, port) {
            return self.tell(claim, Some(class), trouble);
        }
        self.queue.want(claim, &class, port);
        self.class_status.insert(class.clone());
        if self.is_busy(port) {
            return; // The end of that work names the claim again.
        }
        let hostport = self.known.hostport(port).cloned();
        let bound = |key: &&Key| self.known.claim(key).is_some_and(|other| other.phase == ClaimPhase::Bound);
        let promised =
            self.known.named(port).iter().filter(|other| **other != claim.key).filter(bound).min().cloned();
        let trouble = match hostport {
            Some(hostport) if hostport.phase == HostPortPhase::Available => {
                if hostport.class == class && !self.known.foreign_to(port, &claim.key.namespace) {
                    return self.begin_bind(claim, port, class, Way::taking(&hostport));
                }
                Trouble::port_taken(port)
            }
            Some(hostport) => self.who_has(claim, &hostport),
            None if self.known.foreign_to(port, &claim.key.namespace) => Trouble::port_taken(port),
            None => match promised {
                Some(other) if other.namespace == claim.key.namespace => {
                    Trouble::port_held_here(port, &other.name)
                }
                Some(_) => Trouble::port_taken(port),
                None => return self.begin_bind(claim, port, class, Way::Create),
            },
        };
        self.tell(claim, Some(class), trouble);
    }

    /// What to tell a claim of a number that another one holds or held.
    fn who_has(&self, claim: &Claim, hostport: &HostPort) -> Trouble {
        let port = hostport.port;
        let resting = hostport.phase == HostPortPhase::Released
            && hostport.policy == ReclaimPolicy::Delete
            && hostport.held_by.is_none();
        match &hostport.holder {
            _ if resting => {
                let released = hostport.released_at.unwrap_or_default();
                let delay = hostport.reuse_delay.unwrap_or_default().as_millis() as i64;
                Trouble::waiting_for_reuse(port, released, released.saturating_add(delay))
            }
            Some(holder)
                if holder.key.namespace == claim.key.namespace && holder.key.name != claim.key.name =>
            {
                Trouble::port_held_here(port, &holder.key.name)
            }
            _ => Trouble::port_taken(port),
        }
    }

    /// The class does not hand the number out.
    fn not_in_class(&self, class: &str, port: Port) -> Option<Trouble> {
        let pools = || self.known.ledger.pools(class).unwrap_or_default();
        match self.known.ledger.may_have(class, port) {
            Ok(()) => None,
            Err(Refusal::NoSuchClass) => Some(Trouble::class_not_found(class)),
            Err(Refusal::OutsidePools) => Some(Trouble::outside_pools(port, class, pools())),
            Err(Refusal::Reserved) => Some(Trouble::reserved(port, class)),
            Err(Refusal::OwnedByOlderClass { class: owner }) => {
                Some(Trouble::older_class(port, class, &owner))
            }
        }
    }

    /// The class that the claim is to be bound from.
    pub(super) fn class_of(&self, claim: &Claim) -> Result<Arc<str>, Trouble> {
        let name = match (&claim.class, self.known.default_class()) {
            (Some(name), _) if name.is_empty() => return Err(Trouble::no_class_wanted()),
            (Some(name), _) => name.clone(),
            // Once Bound, the class that it was bound from.
            (None, _) if claim.phase != ClaimPhase::Pending && claim.used_class.is_some() => {
                claim.used_class.clone().unwrap_or_default()
            }
            (None, Some(default)) => default.name.clone(),
            (None, None) => return Err(Trouble::no_default_class()),
        };
        if self.known.class(&name).is_some() { Ok(name) } else { Err(Trouble::class_not_found(&name)) }
    }

    fn begin_bind(&mut self, claim: &Claim, port: Port, class: Arc<str>, way: Way) {
        self.queue.leave(&claim.key);
        self.lock(port, &claim.key, &class);
        self.binds += 1;
        let (job, action) = Bind::begin(claim, port, class, way, self);
        self.begin(&claim.key, ClaimJob::Bind(job), action);
    }

    /// Serves the line of a class while there are numbers and room.
    pub(super) fn serve(&mut self, class: &Arc<str>) {
        while self.queue.has_waiters(class) {
            if self.binds >= self.config.binds_in_flight {
                return; // The end of each of them names the line again.
            }
            let idle = |port: &Port| !self.is_busy(*port) && !self.known.foreign_to(*port, "");
            let available = self.known.available(class).find(idle);
            let Some(port) = available.or_else(|| self.known.ledger.pick(class)) else { break };
            let Some(key) = self.queue.next(class) else { break };
            let to_be_bound = |claim: &Claim| claim.is_pending() && !claim.deleting;
            let Some(claim) = self.known.claim(&key).filter(|claim| to_be_bound(claim)).cloned() else {
                continue;
            };
            if self.claim_jobs.contains_key(&key) {
                continue; // The end of its job names it again.
            }
            let way = match self.known.hostport(port) {
                Some(hostport) => Way::taking(hostport),
                None => Way::Create,
            };
            self.begin_bind(&claim, port, class.clone(), way);
        }
        let pools = self.known.ledger.pools(class).unwrap_or_default().to_owned();
        for key in self.queue.take_untold(class) {
            if let Some(claim) = self.known.claim(&key).cloned()
                && !self.claim_jobs.contains_key(&key)
            {
                self.tell(&claim, Some(class.clone()), Trouble::pool_exhausted(class, &pools));
            }
        }
    }
}
