//! Claims: what one needs now. Starts jobs; their steps are in `binding` and `restore`.

use std::sync::Arc;

use allocator::{Port, Scope, Spot};
use crds::{ClaimPhase, HostPortPhase, names::FINALIZER_CLAIM_PROTECTION};

use super::{ClaimJob, Core, binding::Bind, members::Member, restore::Restore};
use crate::{
    seen::{Claim, HostPort, Key, Run, Truth},
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
        self.stranded.remove(key);
        if let Some(class) = self.queue.leave(key) {
            self.class_status.insert(class);
        }
        let Some(claim) = self.known.claim(key).cloned() else { return };
        if claim.deleting {
            self.see_off(&claim);
        } else if let Some(run) = claim.run() {
            self.keep(&claim, run);
        } else {
            self.bind(&claim);
        }
    }

    /// A claim that is being deleted stays until its pods have ended, then loses our finalizer.
    fn see_off(&mut self, claim: &Claim) {
        let mine = self.known.spots_of(&claim.key).into_iter().find_map(|spot| {
            let hostport = self.known.hostport(spot)?;
            let pod = self.known.user_of(spot, &claim.key)?;
            hostport.belongs_to(&claim.uid).then(|| (spot.port(), hostport.class.clone(), pod.name.clone()))
        });
        match mine {
            Some((port, class, pod)) if claim.is_protected() => {
                let status =
                    self.status(claim, claim.phase, Some(class), claim.run(), vec![text::in_use(port, &pod)]);
                self.write_status(claim, status, None);
            }
            None if claim.is_protected() => {
                let others = claim.finalizers.iter().filter(|other| &***other != FINALIZER_CLAIM_PROTECTION);
                self.write_finalizers(claim, others.cloned().collect());
            }
            _ => {}
        }
    }

    /// A Bound or Lost claim: its numbers are its own, whatever happened to the HostPorts.
    fn keep(&mut self, claim: &Claim, run: Run) {
        match (self.missing(claim, run), run.member(0)) {
            (None, Some(first)) if claim.phase == ClaimPhase::Lost => self.restore(claim, first),
            (None, _) => self.keep_bound(claim),
            (Some(spot), _) if claim.phase == ClaimPhase::Bound || self.may_come_back(claim) => {
                self.restore(claim, spot);
            }
            // What stands under its name is not taken back: it may be released.
            (Some(_), _) => {
                self.known.spots_of(&claim.key).into_iter().for_each(|spot| self.spots.push(spot));
            }
        }
    }

    /// The first of the claim's numbers that it does not hold, as far as is known.
    pub(super) fn missing(&self, claim: &Claim, run: Run) -> Option<Spot> {
        let held = |spot: &Spot| self.known.hostport(*spot).is_some_and(|it| it.is_held_for(&claim.uid, run));
        run.iter().find(|spot| !held(spot))
    }

    /// Claim and HostPorts agree.
    fn keep_bound(&mut self, claim: &Claim) {
        let used = |spot: Spot| self.known.user_of(spot, &claim.key).is_some();
        if claim.ready.as_ref().is_none_or(|ready| ready.status != Truth::True) {
            let (Some(run), Some(first)) = (claim.run(), claim.named()) else { return };
            let Some(class) = self.known.hostport(first).map(|it| it.class.clone()) else { return };
            let status = self.bound_status(claim, run, &class);
            self.write_status(claim, status, None);
        } else if !claim.is_protected() && !claim.is_of_a_pod() && claim.spots().any(used) {
            let mut finalizers = claim.finalizers.clone();
            finalizers.push(FINALIZER_CLAIM_PROTECTION.into());
            self.write_finalizers(claim, finalizers);
        }
    }

    /// A Lost claim is tried again only when there is hope, so that it does not try for ever.
    pub(super) fn may_come_back(&self, claim: &Claim) -> bool {
        claim.spots().all(|spot| match self.known.hostport(spot) {
            _ if self.known.other_form_stands(spot) => false,
            None => self.class_again(claim, spot).is_ok(),
            Some(hostport) => self.may_take(claim, hostport),
        })
    }

    /// The HostPort is nobody's, or was this claim's under an earlier uid, and no pod of others carries it.
    pub(super) fn may_take(&self, claim: &Claim, hostport: &HostPort) -> bool {
        let class = claim.class.as_ref().or(claim.used_class.as_ref());
        let spot = hostport.spot;
        // A slot of nobody may be that of any pod which carries its number.
        let strange = || !spot.is_whole() && self.known.has_strangers_beside(spot.port(), &claim.key);
        hostport.belongs_to(&claim.uid) // C5: it was released by mistake.
            || class.is_none_or(|class| *class == hostport.class)
                && hostport.claim_key().is_none_or(|key| *key == claim.key)
                && !self.known.foreign_to(spot, &claim.key.namespace)
                && (hostport.holder.is_some() || !strange())
    }

    fn restore(&mut self, claim: &Claim, spot: Spot) {
        if self.is_busy(spot) {
            return; // The end of that work names the claim again.
        }
        let class = self.class_of(claim).unwrap_or_else(|_| claim.used_class.clone().unwrap_or_default());
        let (job, action) = Restore::begin(claim, spot);
        self.lock(spot, &claim.key, &class);
        self.begin(&claim.key, ClaimJob::Restore(job), action);
    }

    /// A Pending claim: its own HostPorts if it has any, else numbers of its class.
    fn bind(&mut self, claim: &Claim) {
        let own = self.known.spots_of(&claim.key);
        if self.bind_own(claim, &own) {
            return;
        }
        // Those that it does not take again after all are to be released.
        own.iter().for_each(|spot| self.spots.push(*spot));
        let class = match self.class_for(claim) {
            Ok(Some(class)) => class,
            Ok(None) => return, // The labels of its namespace will come, and name the claim again.
            Err(trouble) => {
                if let Some(run) = claim.wanted_spot().and_then(|spot| Run::at(spot, 1)) {
                    // The HostPort that it names may be made anew, in another class.
                    self.queue.want(claim, &claim.class.clone().unwrap_or_default(), run, false);
                }
                return self.tell(claim, claim.class.clone(), trouble);
            }
        };
        // Re-bind: a claim of the same name had them, or they are kept for it.
        let fitting = own.iter().filter_map(|spot| self.known.hostport(*spot));
        let fitting = fitting.filter(|hostport| self.fits_again(claim, &class, hostport));
        let fitting: Vec<_> = fitting.filter_map(|it| it.run(claim.count)).collect();
        let within = fitting.iter().find(|run| self.beyond_quota(claim, &class, **run).is_none()).copied();
        if let Some(run) = within.or(fitting.first().copied()) {
            if within.is_none() || !self.is_busy_in(run) {
                self.bind_run(claim, class, run);
            }
            return;
        }
        match claim.wanted {
            Some(first) => self.bind_wanted(claim, class, first),
            None if let Some(run) = self.preferred(claim, &class) => match self.is_busy_in(run) {
                // The number of a pod that comes again is just being released.
                true => {
                    self.queue.want(claim, &class, run, true);
                    self.class_status.insert(class);
                }
                false => self.bind_run(claim, class, run),
            },
            None if let Some(trouble) = self.beyond_limit(claim, &class, claim.count.into()) => {
                self.hold_back(claim, class, claim.count, trouble);
            }
            None => {
                self.queue.join(claim, &class);
                self.class_status.insert(class.clone());
                self.hungry.push(class);
            }
        }
    }

    /// Goes on with HostPorts that are this very claim's. Whether there is something to go on with.
    fn bind_own(&mut self, claim: &Claim, own: &[Spot]) -> bool {
        let mine = own.iter().filter_map(|spot| self.known.hostport(*spot));
        let mut mine: Vec<_> = mine.filter(|hostport| hostport.belongs_to(&claim.uid)).collect();
        mine.sort_by_key(|hostport| hostport.phase != HostPortPhase::Bound);
        let has_parts = !mine.is_empty();
        let block = |it: &HostPort| Some((it.run(claim.count)?, it.class.clone()));
        let to_go_on = mine.into_iter().filter(|it| !self.is_hopeless(claim, it)).find_map(block);
        let goes_on = to_go_on.is_some();
        match to_go_on {
            Some((run, class)) if !self.is_busy_in(run) => self.begin_bind(claim, run, class),
            _ if has_parts => drop(self.stranded.insert(claim.key.clone())),
            _ => {}
        }
        goes_on
    }

    /// Ports of an earlier claim of the same name, or kept for this one, fit the claim: all of them.
    pub(super) fn fits_again(&self, claim: &Claim, class: &Arc<str>, hostport: &HostPort) -> bool {
        let Some(run) = hostport.run(claim.count) else { return false };
        if !claim.accepts(run) || hostport.block.is_some() != (claim.count > 1) {
            return false;
        }
        let again = |spot| {
            let member = self.member(claim, class, spot, run);
            let same = |it: &HostPort| it.first() == run.first && it.claim_key() == Some(&claim.key);
            let same = self.known.hostport(spot).is_some_and(same);
            same && matches!(member, Member::Again | Member::Nobodys)
        };
        run.iter().all(again)
    }

    /// The claim, which is Pending, is about to take its predecessor's HostPort.
    pub(super) fn rebinds(&self, claim: &Claim, hostport: &HostPort) -> bool {
        let Ok(Some(class)) = self.class_for(claim) else { return false };
        let Some(run) = hostport.run(claim.count) else { return false };
        self.fits_again(claim, &class, hostport) && self.beyond_quota(claim, &class, run).is_none()
    }

    fn bind_wanted(&mut self, claim: &Claim, class: Arc<str>, first: Port) {
        let spot = claim.wanted_spot().or_else(|| self.slot_of(claim, &class, first));
        let wish = spot.map_or_else(|| Run::new(first, claim.count), |spot| Run::at(spot, claim.count));
        let Some(run) = wish else {
            let pools = self.known.ledger.pools(&class).unwrap_or_default();
            let trouble = Trouble::outside_pools(Port::MAX, &class, pools);
            return self.tell(claim, Some(class), trouble);
        };
        let troubles = run.iter().filter_map(|spot| match self.member(claim, &class, spot, run) {
            Member::Taken(trouble) => Some(trouble),
            _ => None,
        });
        // Of several the first, but before that the one that no wait helps.
        let taken = troubles.reduce(|first, next| if next.stalled && !first.stalled { next } else { first });
        let taken = match claim.hostport_name.as_deref() {
            Some(name) if run.member(0).is_none_or(|spot| self.known.hostport(spot).is_none()) => {
                Some(Trouble::hostport_not_found(name))
            }
            _ => taken,
        };
        let stalled = taken.as_ref().is_some_and(|trouble| trouble.stalled);
        self.queue.want(claim, &class, run, !stalled);
        self.class_status.insert(class.clone());
        match taken {
            _ if self.is_busy_in(run) => {}
            Some(trouble) => self.tell(claim, Some(class), trouble),
            None => self.bind_run(claim, class, run),
        }
    }

    /// The numbers that the claim prefers, if they can be had, else the next free ones above them. It does not wait
    /// for what it cannot have: it joins the line.
    fn preferred(&self, claim: &Claim, class: &Arc<str>) -> Option<Run> {
        let allowed = |run: &Run| self.beyond_quota(claim, class, *run).is_none();
        let run = claim.preference()?;
        if self.can_have(claim, class, run) && allowed(&run) {
            return Some(run);
        }
        let above = self.known.ledger.run_from(class, run.first, claim.count.into())?;
        Run::new(above, claim.count).filter(|run| allowed(run) && !self.is_busy_in(*run))
    }

    fn can_have(&self, claim: &Claim, class: &Arc<str>, run: Run) -> bool {
        run.iter().all(|port| !matches!(self.member(claim, class, port, run), Member::Taken(_)))
    }

    /// Somebody is at work on one of the numbers. The end of that work names who waits for it or had it again.
    fn is_busy_in(&self, run: Run) -> bool {
        run.iter().any(|spot| self.is_busy(spot))
    }

    /// Numbers that are not the claim's yet.
    pub(super) fn bind_run(&mut self, claim: &Claim, class: Arc<str>, run: Run) {
        match self.beyond_quota(claim, &class, run) {
            Some(trouble) => {
                let new = self.new_of(claim, &class, run);
                self.hold_back(claim, class, new, trouble);
            }
            None => self.begin_bind(claim, run, class),
        }
    }

    /// The claim waits for room in its namespace's quota, and says so.
    fn hold_back(&mut self, claim: &Claim, class: Arc<str>, new: u16, trouble: Trouble) {
        self.queue.hold_back(claim, &class, new);
        self.class_status.insert(class.clone());
        self.tell(claim, Some(class), trouble);
    }

    fn begin_bind(&mut self, claim: &Claim, run: Run, class: Arc<str>) {
        self.queue.leave(&claim.key);
        run.iter().for_each(|spot| self.lock(spot, &claim.key, &class));
        self.binds += 1;
        self.bind_next(&claim.key, Bind::of(claim, run, class));
    }

    /// In a class of scope Node: the slot of the wanted number that is to be had, else one that will be when pods have
    /// ended, of nobody or kept for the claim, else any, which is taken.
    fn slot_of(&self, claim: &Claim, class: &Arc<str>, port: Port) -> Option<Spot> {
        self.known.ledger.scope(class).filter(|scope| *scope != Scope::Cluster)?;
        let native = |spot: &Spot| !self.known.foreign_to(*spot, &claim.key.namespace);
        let available = || self.known.available_of(class, port).filter(native);
        let calm = |spot: &Spot| spot.is_whole() || !self.known.has_strangers_beside(port, &claim.key);

        let idle = available().find(|spot| calm(spot) && !self.is_busy(*spot));
        let free = idle.or_else(|| self.known.ledger.pick_slot_of(class, port));
        let never = |spot| {
            let member = Run::at(spot, 1).map(|run| self.member(claim, class, spot, run));
            matches!(member, Some(Member::Taken(trouble)) if trouble.stalled)
        };
        let kept = |spot: &Spot| {
            let kept = self.known.hostport(*spot).is_some_and(|it| it.kept_for.is_some());
            spot.port() == port && kept && !never(*spot)
        };
        let later = || available().next().or_else(|| self.known.spots_of(&claim.key).into_iter().find(kept));
        Some(free.or_else(later).unwrap_or(Spot::slot_of(port, 0)))
    }
}
