//! Looks at every change of the store and says which invariant it breaks. What an administrator does by hand is
//! excused, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use allocator::Port;
use crds::{ClaimPhase, HostPortPhase};
use reconciler::seen::{Claim, Holder, HostPort, Key, Run, Uid};

use crate::{
    admission::Admission,
    server::{Changed, Server},
};

/// A pod admitted before its claim was gone is stored by then (I3).
const OWN_CLOCK: i64 = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    Controller,
    /// A process that decides on a timeline that a restore has undone. What it writes into a status is worth no
    /// more than a tenant's word.
    Outdated,
    People,
}

/// The claim that could last be admitted on a number, when that was, and for how long others keep off.
#[derive(Clone, Debug)]
struct Last {
    key: Key,
    uid: Uid,
    at: i64,
    delay: i64,
}

#[derive(Clone, Default)]
pub struct Judge {
    /// The first thing found.
    pub violation: Option<String>,
    /// Claims whose status a tenant wrote.
    pub tampered: BTreeSet<Uid>,
    /// Numbers whose HostPort an administrator deleted or cleared.
    pub hand: BTreeSet<Port>,
    /// Live pods that came through admission.
    pub admitted: BTreeMap<Key, Admission>,
    /// Wall clocks differ or jump: only each process's own clock is to be trusted.
    pub skewed: bool,
    /// One controller that never dies: it knows of each status that it has written.
    pub alone: bool,
    /// A limit, or what counts for it, was changed by hand, and it has not heard and dealt with all of that yet.
    pub limits_open: bool,
    /// A reuseDelay below 40 s is in use: pods in flight are not protected.
    pub short_delays: bool,
    last: BTreeMap<Port, Last>,
    /// Claims that want certain numbers: these are handed over to them inside the namespace.
    wanting: BTreeSet<Uid>,
    /// Claims that prefer certain numbers: these, and no others, are handed over to them as well.
    preferring: BTreeMap<Uid, Run>,
}

impl Judge {
    pub fn accuse(&mut self, words: String) {
        self.violation.get_or_insert(words);
    }

    /// HostPort deleted by hand: the administrator's promise that nothing uses the number.
    pub fn hand_deleted(&mut self, port: Port, in_flight: &mut [Admission]) {
        self.cleared(port, in_flight);
        self.excuse(port);
    }

    fn excuse(&mut self, port: Port) {
        let stored = self.admitted.values_mut().filter(|it| it.pod.ports.contains(&port));
        stored.for_each(|it| it.excused = true);
    }

    /// claimRef cleared by hand: nobody is about to use the number.
    pub fn cleared(&mut self, port: Port, in_flight: &mut [Admission]) {
        self.hand.insert(port);
        in_flight.iter_mut().filter(|it| it.pod.ports.contains(&port)).for_each(|it| it.excused = true);
    }

    /// After an administrator's act nothing is owed to the claim that had the number.
    pub fn forget(&mut self, port: Port) {
        self.last.remove(&port);
    }

    /// The store is as it was: so is what was granted and who was stored. What people did is not forgotten.
    pub fn restore(&mut self, earlier: Judge, server: &Server) {
        self.admitted = earlier.admitted;
        self.last.clear();
        self.remember(server);
    }

    /// Notes which claims could be admitted at this moment.
    pub fn remember(&mut self, server: &Server) {
        for claim in server.claims.values().filter(|it| it.phase == ClaimPhase::Bound && !it.deleting) {
            for port in claim.numbers() {
                if server.hostports.get(&port).is_some_and(|it| it.is_held_by(&claim.uid)) {
                    let last = Last {
                        key: claim.key.clone(),
                        uid: claim.uid.clone(),
                        at: server.now,
                        delay: 60_000,
                    };
                    self.last.insert(port, last);
                }
            }
        }
    }

    pub fn look(&mut self, server: &Server, actor: Actor, changed: &Changed) {
        match changed {
            Changed::Claim(Some(before), Some(after)) if actor == Actor::Controller => {
                self.look_at_status(server, before, after);
            }
            Changed::Claim(_, Some(after)) if actor == Actor::Outdated => {
                self.tampered.insert(after.uid.clone());
            }
            Changed::Class(..) | Changed::Quota(..) if actor == Actor::People => self.limits_open = true,
            Changed::HostPort(before, after) => {
                self.limits_open |= actor == Actor::People;
                // With the store, a uid that was gone comes back: what its number's owner loses to an outdated
                // process it gets back.
                if actor == Actor::Controller {
                    self.look_at_loss(server, before.as_ref(), after.as_ref());
                }
                // A pod that came back with the store: its end, and the LIST that showed it, were undone.
                if actor == Actor::Outdated
                    && let Some(before) = before
                {
                    self.excuse(before.port);
                }
                if actor != Actor::People {
                    self.look_at_grant(server, before.as_ref(), after.as_ref());
                }
                if let Some(after) =
                    after.as_ref().filter(|it| it.phase == HostPortPhase::Released && it.holder.is_some())
                    && let Some(last) = self.last.get_mut(&after.port)
                {
                    last.delay = after.reuse_delay.map_or(60_000, |delay| delay.as_millis() as i64);
                    if actor == Actor::Outdated {
                        last.delay = last.delay.min(OWN_CLOCK); // Its releasedAt is of the time before the restore.
                    }
                }
            }
            _ => {}
        }
        if let Changed::Claim(_, Some(claim)) = changed {
            if claim.wanted.is_some() {
                self.wanting.insert(claim.uid.clone());
            }
            self.preferring.extend(claim.preference().map(|run| (claim.uid.clone(), run)));
        }
        if let Changed::Pod(None, Some(pod)) = changed
            && let Some(it) = self.admitted.get_mut(&pod.key).filter(|_| self.short_delays)
        {
            // Documented: with less than 40 s a pod may come when its port rests no more.
            let claim = it.claim.clone();
            let held = |port| server.hostports.get(port).is_some_and(|it: &HostPort| it.is_held_by(&claim));
            it.excused |= !it.pod.ports.iter().all(held);
        }
        self.look_at_pods(server);
    }

    /// I1, I2: what a controller writes into a status.
    fn look_at_status(&mut self, server: &Server, before: &Claim, after: &Claim) {
        if before.uid != after.uid {
            return;
        }
        let hostport = |port| server.hostports.get(&port);
        let name = format!("{}={}", after.key, after.uid);
        if before.named().is_some() && after.named() != before.named() {
            self.accuse(format!(
                "I2: the port of {name} changed: {:?} -> {:?}",
                before.named(),
                after.named()
            ));
        }
        if after.named().is_none() || after.numbers().any(|port| self.hand.contains(&port)) {
            return;
        }
        let same = before.phase == after.phase && before.port == after.port;
        let not_its_own = |port: &Port| !hostport(*port).is_some_and(|it| it.belongs_to(&after.uid));
        if let Some(port) = after.numbers().find(not_its_own)
            && after.phase == ClaimPhase::Bound
            && !same
        {
            self.accuse(format!("I1: {name} became Bound to {port}, which it does not hold"));
        }
        let held = |port| hostport(port).is_some_and(|it| it.is_held_by(&after.uid));
        let all_held = after.numbers().all(held);
        if after.phase == ClaimPhase::Lost && !same && all_held && !self.tampered.contains(&after.uid) {
            self.accuse(format!("I1: {name} became Lost though it holds all that it names"));
        }
    }

    /// I1: a controller takes nothing from a living claim.
    fn look_at_loss(&mut self, server: &Server, before: Option<&HostPort>, after: Option<&HostPort>) {
        let Some(before) = before else { return };
        let Some(holder) = &before.holder else { return };
        let Some(claim) = server.claims.get(&holder.key).filter(|claim| claim.uid == holder.uid) else {
            return;
        };
        let kept = after.is_some_and(|it| it.belongs_to(&holder.uid) && it.phase == before.phase);
        // C6: a member of a block that could not be completed when that was decided goes by way of Released, and
        // back from there if the block is Bound after all; a loss is only what leads further.
        let undone = claim.count > 1 && after.is_some_and(|it| it.belongs_to(&holder.uid));
        let back = undone || after.is_some_and(|it| it.is_held_by(&holder.uid));
        let its_own = claim.is_pending() && claim.count == 1
            || claim.names(before.port) && claim.phase == ClaimPhase::Bound && !claim.deleting;
        if its_own && !kept && !back && !self.tampered.contains(&claim.uid) {
            self.accuse(format!(
                "I1: {} was taken from {}={}, which lives",
                before.port, claim.key, claim.uid
            ));
        }
    }

    /// I4: a number goes to another claim only when it has rested.
    fn look_at_grant(&mut self, server: &Server, before: Option<&HostPort>, after: Option<&HostPort>) {
        let Some(after) = after else { return };
        let Some(holder) = &after.holder else { return };
        // A status that a tenant wrote may ask for a promised number: the create decides between the two.
        if before.is_none() && self.alone && !self.tampered.contains(&holder.uid) {
            self.look_at_promise(server, after.port, &holder.key);
        }
        if self.alone && !self.limits_open && after.phase == HostPortPhase::Bound {
            self.look_at_quota(server, before, after, holder);
        }
        let before = before.and_then(|it| it.holder.as_ref());
        if before.is_some_and(|it| it.key == holder.key) {
            return;
        }
        let Some(last) = self.last.get(&after.port).filter(|last| last.key != holder.key) else { return };
        // Hand-over: inside the namespace, to a claim that wants or prefers this very number.
        let prefers = self.preferring.get(&holder.uid).is_some_and(|run| run.contains(after.port));
        if last.key.namespace == holder.key.namespace && (prefers || self.wanting.contains(&holder.uid)) {
            return;
        }
        // A tenant who names the number again while its release is under way shortens the rest by that time.
        let own_clock = self.skewed || self.tampered.contains(&last.uid);
        let delay = if own_clock { last.delay.min(OWN_CLOCK) } else { last.delay };
        let rested = server.now - last.at;
        if rested < delay {
            self.accuse(format!(
                "I4: {} of {} granted to {} after {rested} ms",
                after.port, last.key, holder.key
            ));
        }
    }

    /// A grant to a claim that waits never brings its namespace beyond what it may have. A block counts in full with
    /// its first number: once begun it is finished, whatever the limit is by then.
    fn look_at_quota(&mut self, server: &Server, before: Option<&HostPort>, after: &HostPort, to: &Holder) {
        let namespace = &to.key.namespace;
        let counted = before.is_some_and(|it| {
            let same = it.holder.as_ref().is_some_and(|holder| holder.key.namespace == *namespace);
            it.phase == HostPortPhase::Bound && it.class == after.class && same
        });
        // A tenant who writes a Lost status gets a number of that name back, whatever the quota is.
        let honest = !self.tampered.contains(&to.uid);
        let waits = server.claims.get(&to.key).is_some_and(|claim| claim.uid == to.uid && claim.is_pending());
        let waits = waits && honest;
        let Some(class) = server.classes.get(&after.class).filter(|_| waits && !counted) else { return };
        let Some(claim) = server.claims.get(&to.key) else { return };
        let part = |it: &HostPort| it.port != after.port && it.belongs_to(&to.uid);
        // What is its own is no new grant, though it was edited to Released meanwhile.
        if before.is_some_and(|it| it.belongs_to(&to.uid)) || server.hostports.values().any(part) {
            return;
        }
        let rest = Run::new(after.first(), claim.count).into_iter().flat_map(Run::iter);
        let rest = rest.filter(|port| !server.counts(*port, &class.name, namespace)).count();
        let used = server.usage(&class.name, namespace) + rest;
        if let Some(limit) = server.limit(class, namespace).filter(|limit| used > *limit) {
            let name = &class.name;
            self.accuse(format!("quota: {namespace} got {used} ports of {name}, it may have {limit}"));
        }
    }

    /// C7: a number in the Bound status of a living claim is not given to one that waits.
    fn look_at_promise(&mut self, server: &Server, port: Port, to: &Key) {
        let names = |claim: &&Claim| claim.phase == ClaimPhase::Bound && claim.names(port);
        let remakes = server.claims.get(to).is_some_and(|claim| claim.names(port));
        let promised =
            server.claims.values().filter(names).find(|it| it.key != *to && !self.tampered.contains(&it.uid));
        if let Some(claim) = promised.filter(|_| !remakes) {
            self.accuse(format!("C7: {port}, which {} is promised, was given to {to}", claim.key));
        }
    }

    /// I3, I5: the number of a live pod is held by its namespace.
    fn look_at_pods(&mut self, server: &Server) {
        let robbed = self.admitted.values().find(|it| !it.excused && !holds(server, it));
        if let Some(it) = robbed {
            let (pod, ports) = (it.pod.key.clone(), &it.pod.ports);
            self.accuse(format!("I3: pod {pod} lives on {ports:?}, which its namespace does not hold"));
        }
    }
}

/// The pod's namespace holds the number, or nobody has it while an administrator's act stands.
fn holds(server: &Server, it: &Admission) -> bool {
    it.pod.ports.iter().all(|port| {
        server.hostports.get(port).is_some_and(|hostport| {
            hostport.holder.as_ref().is_none_or(|holder| holder.key.namespace == it.pod.key.namespace)
        })
    })
}
