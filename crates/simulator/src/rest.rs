//! What must be true when everything has come to rest: every claim that can be bound is Bound, nothing leaks, the
//! sentences are right, and nobody writes any more (I9).

use std::time::Duration;

use allocator::Port;
use crds::{ClaimPhase, HostPortPhase, Reason, ReclaimPolicy};
use reconciler::seen::{Claim, Class, HostPort, Run};

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
                self.unsettled_hostport(hostport).map(|words| format!("HostPort {}: {words}", hostport.port))
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
        let used =
            |it: &&HostPort| self.carriers(it.port).iter().any(|pod| pod.namespace == claim.key.namespace);
        if claim.deleting {
            let stuck = claim.is_protected() && !held.iter().any(used);
            return stuck.then(|| "stays Terminating though no pod uses it".to_owned());
        }
        let resting = |it: &&HostPort| it.phase == HostPortPhase::Released && used(it);
        if let Some(run) = claim.run() {
            let surplus = held.iter().find(|it| !run.contains(it.port) && !resting(it));
            if let Some(surplus) = surplus {
                return Some(format!("holds {} besides {run}", surplus.port));
            }
        }
        let lacks = |port: &Port| !self.hostports.get(port).is_some_and(|it| it.is_held_by(&claim.uid));
        match (claim.phase, claim.run()) {
            (ClaimPhase::Bound, Some(run)) => match run.iter().find(lacks) {
                Some(port) => Some(format!("Bound to {port}, which it does not hold")),
                None => (reason != "Bound").then(|| format!("Bound, but the reason is {reason}")),
            },
            (ClaimPhase::Lost, Some(run)) => run
                .iter()
                .all(|port| self.is_makeable(claim, port))
                .then(|| format!("Lost, but {run} can be had")),
            _ if held.iter().any(|it| !resting(it)) => Some(format!("Pending, but holds {}", held[0].port)),
            _ => self.unsettled_waiter(claim, reason),
        }
    }

    /// A Lost claim's number could be given back to it.
    fn is_makeable(&self, claim: &Claim, port: Port) -> bool {
        let foreign = self.is_foreign(port, &claim.key.namespace);
        match self.hostports.get(&port) {
            Some(it) if it.belongs_to(&claim.uid) => it.phase == HostPortPhase::Bound || !foreign,
            Some(it) => {
                let class = self.class_of(claim).ok();
                let takes = it.claim_key().is_none_or(|key| *key == claim.key);
                takes
                    && !foreign
                    && class.is_some_and(|class| class.name == it.class && self.may_have(class, port).is_ok())
            }
            None => self.class_of(claim).is_ok_and(|class| {
                let admitted = self.admits(class, &claim.key.namespace);
                let full = self.is_beyond(claim, class, Run::new(port, 1));
                self.may_have(class, port).is_ok() && !foreign && admitted && !full
            }),
        }
    }

    fn unsettled_waiter(&self, claim: &Claim, reason: &str) -> Option<String> {
        let expected = match self.class_for(claim) {
            Err(reason) => reason,
            Ok(class) => {
                let full = |it: &&HostPort| {
                    Run::new(it.first(), claim.count)
                        .is_some_and(|run| self.is_beyond(claim, class, Some(run)))
                };
                let again = self.hostports.values().filter(|it| self.fits_again(claim, class, it));
                let again: Vec<_> = again.collect();
                if let Some(it) = again.iter().find(|it| !full(it)) {
                    return Some(format!("Pending ({reason}), though its old port {} fits", it.port));
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
        let run = Run::new(first, claim.count)?;
        if claim.hostport_name.is_some() && !self.hostports.contains_key(&first) {
            let expected = Reason::HostPortNotFound.as_str();
            return (reason != expected)
                .then(|| format!("Pending with reason {reason}, expected {expected}"));
        }
        if run.iter().any(|port| !self.is_free(claim, class, port) && self.may_have(class, port).is_err()) {
            let expected = Reason::PortOutsidePools.as_str();
            return (reason != expected)
                .then(|| format!("Pending with reason {reason}, expected {expected}"));
        }
        for port in run.iter() {
            if self.is_free(claim, class, port) {
                continue;
            }
            if reason == "WaitingForReuse" && self.rests_under_claim(port) {
                return None;
            }
            return (reason != "PortTaken").then(|| format!("Pending with reason {reason}, {port} is taken"));
        }
        if self.is_beyond(claim, class, Some(run)) {
            return (reason != "QuotaExceeded")
                .then(|| format!("Pending with reason {reason}, its quota is full"));
        }
        Some(format!("Pending with reason {reason}, though {run} can be had"))
    }

    /// An administrator said Released while the claim was being deleted, and a pod keeps the claim.
    fn rests_under_claim(&self, port: Port) -> bool {
        self.hostports.get(&port).is_some_and(|it| {
            let lives = |claim: &Claim| claim.deleting && it.belongs_to(&claim.uid);
            it.phase == HostPortPhase::Released && self.claims.values().any(lives)
        })
    }

    /// The HostPorts of an earlier claim of its name, all of those that the claim asks for.
    fn fits_again(&self, claim: &Claim, class: &Class, it: &HostPort) -> bool {
        let again = |port| {
            self.hostports.get(&port).is_some_and(|member| {
                member.claim_key() == Some(&claim.key)
                    && member.first() == it.first()
                    && member.class == class.name
                    && !self.is_foreign(port, &claim.key.namespace)
            })
        };
        claim.wanted.is_none_or(|wanted| wanted == it.first())
            && it.block.is_some() == (claim.count > 1)
            && Run::new(it.first(), claim.count).is_some_and(|run| run.iter().all(again))
    }

    /// A number that the claim could be given at once.
    fn free(&self, claim: &Claim, class: &Class) -> Option<Port> {
        let own = self.hostports.values().filter(|it| it.phase == HostPortPhase::Available).map(|it| it.port);
        let pools =
            class.pools.iter().flat_map(|pool| pool.iter()).filter(|port| !self.hostports.contains_key(port));
        let pools = pools.filter(|port| self.may_have(class, *port).is_ok());
        // Without a wish nobody gets a number that any pod carries.
        let free = |port: &Port| self.carriers(*port).is_empty() && self.is_free(claim, class, *port);
        if claim.count == 1 {
            return own.chain(pools).find(free);
        }
        let pools: Vec<Port> = pools.filter(free).collect();
        let whole = |first: &&Port| {
            Run::new(**first, claim.count).is_some_and(|run| run.iter().all(|port| pools.contains(&port)))
        };
        pools.iter().find(whole).copied()
    }

    fn is_free(&self, claim: &Claim, class: &Class, port: Port) -> bool {
        let first = claim.wanted.unwrap_or(port);
        Run::new(first, 1).is_some_and(|run| self.is_free_in(claim, class, port, run))
    }

    /// The number can be had by the claim as one of these.
    fn is_free_in(&self, claim: &Claim, class: &Class, port: Port, run: Run) -> bool {
        let promised =
            |other: &Claim| other.key != claim.key && other.names(port) && other.phase == ClaimPhase::Bound;
        !self.is_foreign(port, &claim.key.namespace)
            && match self.hostports.get(&port) {
                Some(it) if it.class != class.name => false,
                Some(it) => match it.claim_key() {
                    None => it.phase == HostPortPhase::Available,
                    Some(key) if *key == claim.key => true,
                    Some(key) => {
                        let lives = |former: &Claim| !former.deleting && it.belongs_to(&former.uid);
                        claim.asks_for(run.first)
                            && it.holder.is_some()
                            && key.namespace == claim.key.namespace
                            && !self.claims.get(key).is_some_and(lives)
                    }
                },
                None => self.may_have(class, port).is_ok() && !self.claims.values().any(promised),
            }
    }

    fn unsettled_hostport(&self, it: &HostPort) -> Option<String> {
        let Some(holder) = &it.holder else {
            return (it.phase != HostPortPhase::Available).then(|| format!("nobody's, but {:?}", it.phase));
        };
        let claim = self.claims.get(&holder.key).filter(|claim| claim.uid == holder.uid);
        if let Some(claim) = claim {
            // A claim that is being deleted keeps its port until it is gone; others were looked at above.
            let surplus = !claim.is_pending() && !claim.names(it.port);
            let forgotten =
                claim.deleting && surplus && it.phase == HostPortPhase::Released && it.held_by.is_none();
            return forgotten.then(|| "Released under a claim, but never freed".to_owned());
        }
        let user = self.carriers(it.port).iter().any(|pod| pod.namespace == holder.key.namespace);
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
                && claim.wanted.is_some_and(|port| !self.hostports.contains_key(&port))
            {
                return true;
            }
            let may = |port| self.is_free(claim, class, port) || self.may_have(class, port).is_ok();
            claim
                .wanted
                .is_none_or(|first| Run::new(first, claim.count).is_some_and(|run| run.iter().all(may)))
        });
        let expected = (count(HostPortPhase::Bound), count(HostPortPhase::Released), waiting.count());
        let found = (status.counts.allocated, status.counts.released, status.waiting);
        (found != expected)
            .then(|| format!("status says (allocated, released, waiting) {found:?}, but {expected:?}"))
    }
}
