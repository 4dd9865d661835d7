//! What must be true when everything has come to rest: every claim that can be bound is Bound, nothing leaks, the
//! sentences are right, and nobody writes any more (I9).

use std::time::Duration;

use allocator::{Port, Scope, Spot};
use crds::{ClaimPhase, HostPortPhase, Reason, ReclaimPolicy};
use reconciler::seen::{Claim, Class, HostPort, Key, Run};

use crate::{server::Server, world::World};

impl World {
    /// Ends all faults, lets everything work until it rests, and looks.
    pub fn settle(&mut self) {
        self.note(|_| "no more faults".to_owned());
        self.end_blind(i64::MAX);
        while !self.late.is_empty() {
            self.land_late(0);
        }
        while let Some(at) = self.admissions.len().checked_sub(1) {
            self.admit_on(at);
            if at < self.admissions.len() {
                self.store(at);
            }
        }
        if !self.run(Duration::from_secs(1200)) {
            return self.judge.accuse("liveness: it never comes to rest".to_owned());
        }
        if let Some(words) = self.server.unsettled() {
            self.judge.accuse(format!("at rest: {words}"));
        }
        let writes = self.writes;
        self.note(|_| "ten minutes of silence".to_owned());
        if !self.run(Duration::from_secs(600)) || self.writes != writes {
            self.judge.accuse(format!("I9: {} writes while nothing happened", self.writes - writes));
        }
    }

    /// I8: processes that know nothing come to the same end, so they have nothing to write.
    pub fn forget_all(&mut self) {
        let writes = self.writes;
        (0..self.controllers.len()).for_each(|index| self.kill(index, |_| false));
        if !self.run(Duration::from_secs(600)) || self.writes != writes {
            self.judge.accuse(format!("I8: {} writes after a restart at rest", self.writes - writes));
        }
    }
}

impl Server {
    /// The first thing that is not as it should be at rest.
    pub fn unsettled(&self) -> Option<String> {
        let claim = self.claims.values().find_map(|claim| {
            self.unsettled_claim(claim).map(|words| format!("claim {}={}: {words}", claim.key, claim.uid))
        });
        let hostport = || {
            self.hostports.values().find_map(|hostport| {
                self.unsettled_hostport(hostport).map(|words| format!("HostPort {}: {words}", hostport.spot))
            })
        };
        let class = || {
            let wrong = |class: &Class| self.unsettled_class(class);
            self.classes.values().find_map(|it| wrong(it).map(|words| format!("class {}: {words}", it.name)))
        };
        claim.or_else(hostport).or_else(class)
    }

    fn unsettled_claim(&self, claim: &Claim) -> Option<String> {
        let reason = self.claim_status[&claim.key].conditions[0].reason;
        let held: Vec<_> = self.hostports.values().filter(|it| it.belongs_to(&claim.uid)).collect();
        let used = |it: &&HostPort| self.is_used(it) || self.is_held_back(it);
        if claim.deleting {
            let stuck = claim.is_protected() && !held.iter().any(|it| self.is_used(it));
            return stuck.then(|| "stays Terminating though no pod uses it".to_owned());
        }
        let resting = |it: &&HostPort| it.phase == HostPortPhase::Released && used(it);
        if let Some(run) = claim.run() {
            let surplus = held.iter().find(|it| !run.contains(it.spot) && !resting(it));
            if let Some(surplus) = surplus {
                return Some(format!("holds {} besides {run}", surplus.spot));
            }
        }
        let holds =
            |spot: Spot, run| self.hostports.get(&spot).is_some_and(|it| it.is_held_for(&claim.uid, run));
        match (claim.phase, claim.run()) {
            (ClaimPhase::Bound, Some(run)) => match run.iter().find(|spot| !holds(*spot, run)) {
                Some(spot) => Some(format!("Bound to {spot}, which it does not hold")),
                None => (reason != "Bound").then(|| format!("Bound, but the reason is {reason}")),
            },
            (ClaimPhase::Lost, Some(run)) => run
                .iter()
                .all(|spot| self.is_makeable(claim, spot))
                .then(|| format!("Lost, but {run} can be had")),
            _ if held.iter().any(|it| !resting(it)) => Some(format!("Pending, but holds {}", held[0].spot)),
            _ => self.unsettled_waiter(claim, reason),
        }
    }

    /// A Lost claim's number could be given back to it.
    fn is_makeable(&self, claim: &Claim, spot: Spot) -> bool {
        let foreign = self.is_foreign(spot, &claim.key.namespace);
        if self.other_form_stands(spot) {
            return false;
        }
        match self.hostports.get(&spot) {
            Some(it) if it.belongs_to(&claim.uid) => it.phase == HostPortPhase::Bound || !foreign,
            Some(it) => {
                let class = self.class_of(claim).ok();
                let takes = it.claim_key().is_none_or(|key| *key == claim.key);
                takes
                    && !foreign
                    && (spot.is_whole() || self.is_calm(claim, spot))
                    && class.is_some_and(|class| class.name == it.class && self.may_have(class, spot).is_ok())
            }
            None => self.class_of(claim).is_ok_and(|class| {
                let admitted = self.admits(class, &claim.key.namespace);
                let full = self.is_beyond(claim, class, Run::at(spot, 1));
                self.may_have(class, spot).is_ok() && !foreign && admitted && !full
            }),
        }
    }

    fn unsettled_waiter(&self, claim: &Claim, reason: &str) -> Option<String> {
        let expected = match self.class_for(claim) {
            Err(reason) => reason,
            Ok(class) => {
                let full = |it: &&HostPort| {
                    it.run(claim.count).is_some_and(|run| self.is_beyond(claim, class, Some(run)))
                };
                let again = self.hostports.values().filter(|it| self.fits_again(claim, class, it));
                let again: Vec<_> = again.collect();
                if let Some(it) = again.iter().find(|it| !full(it)) {
                    return Some(format!("Pending ({reason}), though its old port {} fits", it.spot));
                }
                let preferred = claim.preference().filter(|run| {
                    let all = run.iter().all(|port| self.is_free_in(claim, class, port, *run));
                    all && !self.is_beyond(claim, class, Some(*run))
                });
                match claim.wanted {
                    _ if !again.is_empty() => Reason::QuotaExceeded,
                    _ if let Some(run) = preferred => {
                        return Some(format!(
                            "Pending ({reason}), though {run}, which it prefers, can be had"
                        ));
                    }
                    Some(first) => return self.unsettled_wish(claim, class, first, reason),
                    None if self.is_beyond(claim, class, None) => Reason::QuotaExceeded,
                    None if self.free(claim, class).is_some() => Reason::Bound,
                    None => Reason::PoolExhausted,
                }
            }
        };
        (reason != expected.as_str()).then(|| format!("Pending with reason {reason}, expected {expected}"))
    }

    /// A claim that wants certain numbers: those that cannot be had, one after the other, say why.
    fn unsettled_wish(&self, claim: &Claim, class: &Class, first: Port, reason: &str) -> Option<String> {
        if claim.wanted_spot().is_none() && class.scope != Scope::Cluster {
            return self.unsettled_wish_of_slot(claim, class, first, reason);
        }
        let run =
            claim.wanted_spot().map_or(Run::new(first, claim.count), |spot| Run::at(spot, claim.count))?;
        if claim.wanted_spot().is_some_and(|spot| !self.hostports.contains_key(&spot)) {
            let expected = Reason::HostPortNotFound.as_str();
            return (reason != expected)
                .then(|| format!("Pending with reason {reason}, expected {expected}"));
        }
        // Of several troubles the first, but before that the one that no wait helps.
        let taken = || run.iter().filter(|spot| !self.is_free(claim, class, *spot));
        // A HostPort that stands has its own sentence, whatever scope its class has by now.
        let other_scope =
            |spot| self.hostports.contains_key(&spot) && (class.scope == Scope::Cluster) != spot.is_whole();
        let excused = |spot| {
            self.other_form_stands(spot) || other_scope(spot) || self.waits_for_calm(claim, class, spot)
        };
        let never =
            |spot: &Spot| !excused(*spot) && self.may_have(class, *spot) == Err(Reason::PortOutsidePools);
        if let Some(spot) = taken().find(never).or(taken().next()) {
            if reason == "WaitingForReuse" && self.rests_under_claim(spot) {
                return None;
            }
            let expected = match self.may_have(class, spot) {
                Err(reason) if !excused(spot) => reason.as_str(),
                _ => "PortTaken",
            };
            return (reason != expected)
                .then(|| format!("Pending with reason {reason}, expected {expected} for {spot}"));
        }
        if self.is_beyond(claim, class, Some(run)) {
            return (reason != "QuotaExceeded")
                .then(|| format!("Pending with reason {reason}, its quota is full"));
        }
        Some(format!("Pending with reason {reason}, though {run} can be had"))
    }

    /// A claim that wants any slot of a number.
    fn unsettled_wish_of_slot(
        &self,
        claim: &Claim,
        class: &Class,
        port: Port,
        reason: &str,
    ) -> Option<String> {
        let lowest = Spot::slot_of(port, 0);
        let stands = std::iter::once(Spot::whole(port)).chain(self.slots(port).map(|it| it.spot));
        let mut stands = stands.filter(|spot| self.hostports.contains_key(spot));
        // Nobody who asks for a slot is handed the number itself, or one of a block, though the class was of another
        // scope once. What is nobody's is not handed over.
        let handed = |spot: &Spot| {
            let holder = self.hostports.get(spot).and_then(|it| Some((it.holder.as_ref()?, it.block)));
            holder.is_some_and(|(holder, block)| holder.key != claim.key || block.is_some())
        };
        let there = stands.find(|spot| self.is_free(claim, class, *spot) && !handed(spot));
        let made = || self.may_have(class, lowest).ok().and_then(|()| self.free_slot(claim, class, port));
        let expected: &[&str] = match there.or_else(made) {
            Some(spot) if self.is_beyond(claim, class, Run::at(spot, 1)) => &["QuotaExceeded"],
            Some(spot) => return Some(format!("Pending with reason {reason}, though {spot} can be had")),
            None if self.other_form_stands(lowest) || self.some_wait_for_calm(claim, class, port) => {
                &["PortTaken"]
            }
            None => match self.may_have(class, lowest) {
                Err(Reason::PoolExhausted) => &["PoolExhausted"],
                Err(_) => &["PortOutsidePools"],
                Ok(()) => &["PortTaken", "WaitingForReuse"],
            },
        };
        // Beyond its limit as well: that is as true a reason, and the one that it is told if a slot looks free, though a
        // status that a tenant wrote promises the number.
        let beyond = reason == "QuotaExceeded" && self.is_beyond(claim, class, None);
        (!beyond && !expected.contains(&reason))
            .then(|| format!("Pending with reason {reason}, expected {expected:?}"))
    }

    /// A slot of the number that the claim could be given at once.
    fn free_slot(&self, claim: &Claim, class: &Class, port: Port) -> Option<Spot> {
        let some = 1 + self.slots(port).filter_map(|it| it.spot.slot()).max().unwrap_or_default();
        let promised =
            self.claims.values().filter_map(|claim| claim.run()?.slot).max().map_or(0, |slot| slot + 1);
        (0..=some.max(promised))
            .map(|slot| Spot::slot_of(port, slot))
            .find(|spot| self.is_free(claim, class, *spot))
    }

    /// Released, and said to be needed by a pod that needs it, or that no slot stands for.
    fn is_held_back(&self, it: &HostPort) -> bool {
        let namespace = it.claim_key().map(|key| key.namespace.clone()).unwrap_or_default();
        let strange = || self.strangers(it.spot.port()).any(|pod| pod.namespace == namespace);
        it.held_by.as_ref().is_some_and(|by| by.starts_with("pod ")) && !it.spot.is_whole() && strange()
    }

    /// An administrator said Released while the claim was being deleted, and a pod keeps the claim.
    fn rests_under_claim(&self, spot: Spot) -> bool {
        self.hostports.get(&spot).is_some_and(|it| {
            let lives = |claim: &Claim| claim.deleting && it.belongs_to(&claim.uid);
            it.phase == HostPortPhase::Released && self.claims.values().any(lives)
        })
    }

    /// The HostPorts of an earlier claim of its name, or kept for this one, all of those that the claim asks for. One
    /// that is kept is an Available slot as any other: it may be what a pod needs for which no slot stands.
    fn fits_again(&self, claim: &Claim, class: &Class, it: &HostPort) -> bool {
        let again = |spot| {
            self.hostports.get(&spot).is_some_and(|member| {
                !self.other_form_stands(spot)
                    && (spot.is_whole() || self.is_calm(claim, spot))
                    && member.claim_key() == Some(&claim.key)
                    && member.first() == it.first()
                    && member.class == class.name
                    && !self.is_foreign(spot, &claim.key.namespace)
            })
        };
        it.block.is_some() == (claim.count > 1)
            && it.run(claim.count).is_some_and(|run| claim.accepts(run) && run.iter().all(again))
    }

    /// A number that the claim could be given at once.
    fn free(&self, claim: &Claim, class: &Class) -> Option<Spot> {
        let own = self.hostports.values().filter(|it| it.phase == HostPortPhase::Available).map(|it| it.spot);
        let own = own.filter(|spot| match spot.is_whole() {
            true => self.carriers(spot.port()).is_empty(),
            false => self.strangers(spot.port()).next().is_none(),
        });
        if class.scope != Scope::Cluster {
            let ports = class.pools.iter().flat_map(|pool| pool.iter());
            let calm = ports.filter(|port| self.strangers(*port).next().is_none());
            let mut slots = calm.filter_map(|port| self.free_slot(claim, class, port));
            return own.into_iter().find(|spot| self.is_free(claim, class, *spot)).or_else(|| slots.next());
        }
        let pools = class.pools.iter().flat_map(|pool| pool.iter()).map(Spot::whole);
        let pools = pools.filter(|spot| !self.hostports.contains_key(spot));
        let pools = pools.filter(|spot| self.may_have(class, *spot).is_ok());
        // Without a wish nobody gets a number that any pod carries.
        let free = |spot: &Spot| self.carriers(spot.port()).is_empty() && self.is_free(claim, class, *spot);
        if claim.count == 1 {
            return own.chain(pools).find(free);
        }
        let pools: Vec<Spot> = pools.filter(free).collect();
        let whole = |first: &&Spot| {
            let run = Run::new(first.port(), claim.count);
            run.is_some_and(|run| run.iter().all(|spot| pools.contains(&spot)))
        };
        pools.iter().find(whole).copied()
    }

    fn is_free(&self, claim: &Claim, class: &Class, spot: Spot) -> bool {
        let first = claim.wanted.unwrap_or(spot.port());
        Run::new(first, 1).is_some_and(|run| self.is_free_in(claim, class, spot, run))
    }

    /// The number, or slot, can be had by the claim as one of these.
    fn is_free_in(&self, claim: &Claim, class: &Class, spot: Spot, run: Run) -> bool {
        let own = |it: &HostPort| it.phase == HostPortPhase::Released && it.belongs_to(&claim.uid);
        if self.hostports.get(&spot).is_some_and(own) {
            return !self.other_form_stands(spot);
        }
        // A tampered status may name the other form of the number, beside which this one is not made.
        let other_form = |it: Spot| it.port() == spot.port() && it.is_whole() != spot.is_whole();
        let names = |other: &Claim| other.spots().any(|it| it == spot || other_form(it));
        let promised =
            |other: &Claim| other.key != claim.key && names(other) && other.phase == ClaimPhase::Bound;
        !self.is_foreign(spot, &claim.key.namespace)
            && !self.other_form_stands(spot)
            && (spot.is_whole() || self.is_calm(claim, spot))
            && match self.hostports.get(&spot) {
                Some(it) if it.class != class.name => false,
                Some(it) => match it.claim_key() {
                    None => it.phase == HostPortPhase::Available,
                    Some(key) if *key == claim.key => true,
                    Some(key) => {
                        let lives = |former: &Claim| !former.deleting && it.belongs_to(&former.uid);
                        claim.asks_for(run.first)
                            && spot.is_whole()
                            && it.holder.is_some()
                            && key.namespace == claim.key.namespace
                            && !self.claims.get(key).is_some_and(lives)
                    }
                },
                None => self.may_have(class, spot).is_ok() && !self.claims.values().any(promised),
            }
    }

    /// An Available slot goes to nobody while a pod carries the number for which none stands.
    fn is_calm(&self, claim: &Claim, spot: Spot) -> bool {
        let stands = self.hostports.get(&spot).is_some_and(|it| it.holder.is_none());
        let own = |pod: &Key| {
            let serves = self.pods.get(pod).and_then(|pod| pod.serves(spot.port()));
            pod.namespace == claim.key.namespace && serves == Some(&claim.key.name)
        };
        !stands || self.strangers(spot.port()).all(own)
    }

    /// The slot stands and is Available: the claim gets it, whatever the class hands out by now, when the pods of its
    /// namespace have ended that keep it.
    fn waits_for_calm(&self, claim: &Claim, class: &Class, spot: Spot) -> bool {
        let its =
            |it: &HostPort| it.class == class.name && it.claim_key().is_none_or(|key| *key == claim.key);
        let ready = self.hostports.get(&spot).is_some_and(|it| it.holder.is_none() && its(it));
        ready && !self.is_foreign(spot, &claim.key.namespace) && !self.is_calm(claim, spot)
    }

    /// One of the slots of the number does.
    fn some_wait_for_calm(&self, claim: &Claim, class: &Class, port: Port) -> bool {
        self.slots(port).any(|it| self.waits_for_calm(claim, class, it.spot))
    }

    fn unsettled_hostport(&self, it: &HostPort) -> Option<String> {
        let Some(holder) = &it.holder else {
            return (it.phase != HostPortPhase::Available).then(|| format!("nobody's, but {:?}", it.phase));
        };
        let claim = self.claims.get(&holder.key).filter(|claim| claim.uid == holder.uid);
        if let Some(claim) = claim {
            // A claim that is being deleted keeps its port until it is gone; others were looked at above.
            let surplus = !claim.is_pending() && !claim.names(it.spot);
            let forgotten =
                claim.deleting && surplus && it.phase == HostPortPhase::Released && it.held_by.is_none();
            return forgotten.then(|| "Released under a claim, but never freed".to_owned());
        }
        let user = self.is_used(it) || self.is_held_back(it);
        match it.phase {
            HostPortPhase::Released if it.policy == ReclaimPolicy::Retain => None,
            HostPortPhase::Released
                if user && it.held_by.as_ref().is_some_and(|by| by.starts_with("pod ")) =>
            {
                None
            }
            phase => {
                Some(format!("leaks: {phase:?} after its claim, held by {:?}, in use: {user}", it.held_by))
            }
        }
    }

    fn unsettled_class(&self, class: &Class) -> Option<String> {
        let Some(status) = self.class_status.get(&class.name) else {
            return Some("has no status".to_owned());
        };
        let count =
            |phase| self.hostports.values().filter(|it| it.class == class.name && it.phase == phase).count();
        let waiting = self.claims.values().filter(|claim| claim.is_pending() && !claim.deleting);
        let waiting = waiting.filter(|claim| self.class_for(claim).is_ok_and(|it| it.name == class.name));
        let waiting = waiting.filter(|claim| {
            if claim.hostport_name.is_some()
                && claim.wanted_spot().is_some_and(|spot| !self.hostports.contains_key(&spot))
            {
                return true;
            }
            let may = |spot: Spot| self.is_free(claim, class, spot) || self.may_have(class, spot).is_ok();
            let run = |first| match class.scope {
                _ if claim.wanted_spot().is_some() => {
                    claim.wanted_spot().and_then(|it| Run::at(it, claim.count))
                }
                Scope::Cluster => Run::new(first, claim.count),
                Scope::Node { .. } => Run::at(Spot::slot_of(first, 0), claim.count),
            };
            let blocked = |spot| self.may_have(class, spot) == Err(Reason::PoolExhausted);
            let other_scope = |spot| {
                self.hostports.contains_key(&spot) && (class.scope == Scope::Cluster) != spot.is_whole()
            };
            let calm = |spot| self.waits_for_calm(claim, class, spot);
            let may = |spot: Spot| {
                may(spot) || blocked(spot) || self.other_form_stands(spot) || other_scope(spot) || calm(spot)
            };
            let there = |port| {
                claim.wanted_spot().is_none()
                    && class.scope != Scope::Cluster
                    && (self.slots(port).any(|it| self.is_free(claim, class, it.spot))
                        || self.some_wait_for_calm(claim, class, port))
            };
            claim.wanted.is_none_or(|first| run(first).is_some_and(|run| run.iter().all(may)) || there(first))
        });
        let expected = (count(HostPortPhase::Bound), count(HostPortPhase::Released), waiting.count());
        let found = (status.counts.allocated, status.counts.released, status.waiting);
        (found != expected)
            .then(|| format!("status says (allocated, released, waiting) {found:?}, but {expected:?}"))
    }
}
