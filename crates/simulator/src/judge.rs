//! Looks at every change of the store and says which invariant it breaks. What an administrator does by hand is
//! excused, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use allocator::{Port, Spot};
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
    /// Numbers whose HostPort an administrator deleted or cleared, or a process wrote that decides on an undone timeline.
    pub hand: BTreeSet<Spot>,
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
    last: BTreeMap<Spot, Last>,
    /// Numbers that stood in both forms of their name at once: one of the two is undone (N3).
    both_forms: BTreeSet<Port>,
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
    pub fn hand_deleted(&mut self, spot: Spot, in_flight: &mut [Admission]) {
        self.cleared(spot, in_flight);
        self.excuse(spot.port());
    }

    fn excuse(&mut self, port: Port) {
        let stored = self.admitted.values_mut().filter(|it| it.pod.ports.contains(&port));
        stored.for_each(|it| it.excused = true);
    }

    /// claimRef cleared by hand: nobody is about to use the number.
    pub fn cleared(&mut self, spot: Spot, in_flight: &mut [Admission]) {
        self.hand.insert(spot);
        in_flight
            .iter_mut()
            .filter(|it| it.pod.ports.contains(&spot.port()))
            .for_each(|it| it.excused = true);
    }

    /// After an administrator's act nothing is owed to the claim that had the number.
    pub fn forget(&mut self, spot: Spot) {
        self.last.remove(&spot);
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
            for spot in claim.spots() {
                if server.hostports.get(&spot).is_some_and(|it| it.is_held_by(&claim.uid)) {
                    let last = Last {
                        key: claim.key.clone(),
                        uid: claim.uid.clone(),
                        at: server.now,
                        delay: 60_000,
                    };
                    self.last.insert(spot, last);
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
                if let Some(after) = after.as_ref().filter(|it| server.other_form_stands(it.spot)) {
                    self.both_forms.insert(after.spot.port());
                }
                self.look_at_rebind(before.as_ref(), after.as_ref());
                self.limits_open |= actor == Actor::People;
                // With the store, a uid that was gone comes back: what its number's owner loses to an outdated
                // process it gets back.
                if actor == Actor::Controller {
                    self.look_at_loss(server, before.as_ref(), after.as_ref());
                }
                if actor == Actor::Outdated
                    && let Some(before) = before
                {
                    // A pod that came back with the store: its end, and the LIST that showed it, were undone.
                    self.excuse(before.spot.port());
                    // Who came back with the store may be told that it has the number, and has to get it back.
                    self.hand.insert(before.spot);
                }
                if actor != Actor::People {
                    self.look_at_grant(server, before.as_ref(), after.as_ref());
                }
                if let Some(after) =
                    after.as_ref().filter(|it| it.phase == HostPortPhase::Released && it.holder.is_some())
                    && let Some(last) = self.last.get_mut(&after.spot)
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
            let held = |spot: &Spot| {
                let hostport = server.hostports.get(spot);
                hostport.is_some_and(|it: &HostPort| it.is_held_by(&claim))
            };
            it.excused |= !it.spots.iter().all(held);
        }
        self.look_at_pods(server);
    }

    /// I1, I2: what a controller writes into a status.
    fn look_at_status(&mut self, server: &Server, before: &Claim, after: &Claim) {
        if before.uid != after.uid {
            return;
        }
        let hostport = |spot| server.hostports.get(&spot);
        let name = format!("{}={}", after.key, after.uid);
        if before.named().is_some() && after.named() != before.named() {
            self.accuse(format!(
                "I2: the port of {name} changed: {:?} -> {:?}",
                before.named(),
                after.named()
            ));
        }
        if after.named().is_none() || after.spots().any(|spot| self.hand.contains(&spot)) {
            return;
        }
        let same = before.phase == after.phase && before.port == after.port;
        let not_its_own = |spot: &Spot| !hostport(*spot).is_some_and(|it| it.belongs_to(&after.uid));
        let becomes_bound = after.phase == ClaimPhase::Bound && !same;
        if let Some(spot) = after.spots().find(not_its_own)
            && becomes_bound
        {
            self.accuse(format!("I1: {name} became Bound to {spot}, which it does not hold"));
        }
        let block = after.run().and_then(Run::block);
        let of_another = |spot: &Spot| hostport(*spot).is_some_and(|it| it.block != block);
        if let Some(spot) = after.spots().find(of_another)
            && becomes_bound
            && !self.tampered.contains(&after.uid)
        {
            self.accuse(format!("C6: {name} became Bound to {spot}, which is of another block"));
        }
        if becomes_bound && let Some(words) = twice(server, after) {
            self.accuse(words);
        }
        if let Some(run) = after.run()
            && !same
            && !after.accepts(run)
            && !self.tampered.contains(&after.uid)
        {
            self.accuse(format!("{name} became {:?} on {run}, which is not what it asks for", after.phase));
        }
        let held = |spot| hostport(spot).is_some_and(|it| it.is_held_by(&after.uid));
        let all_held = after.spots().all(held);
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
        // N3: so does what stood in both forms of its name.
        let twice = self.both_forms.contains(&before.spot.port());
        let undone = (claim.count > 1 || twice) && after.is_some_and(|it| it.belongs_to(&holder.uid));
        let back = undone || after.is_some_and(|it| it.is_held_by(&holder.uid));
        let its_own = claim.is_pending() && claim.count == 1 && !twice
            || claim.names(before.spot) && claim.phase == ClaimPhase::Bound && !claim.deleting;
        if its_own && !kept && !back && !self.tampered.contains(&claim.uid) {
            self.accuse(format!(
                "I1: {} was taken from {}={}, which lives",
                before.spot, claim.key, claim.uid
            ));
        }
    }

    /// I4: a number goes to another claim only when it has rested.
    fn look_at_grant(&mut self, server: &Server, before: Option<&HostPort>, after: Option<&HostPort>) {
        let Some(after) = after else { return };
        let Some(holder) = &after.holder else { return };
        // A status that a tenant wrote may ask for a promised number: the create decides between the two.
        if before.is_none() && self.alone && !self.tampered.contains(&holder.uid) {
            self.look_at_promise(server, after.spot, &holder.key);
        }
        if self.alone && !self.limits_open && after.phase == HostPortPhase::Bound {
            self.look_at_quota(server, before, after, holder);
        }
        let before = before.and_then(|it| it.holder.as_ref());
        if before.is_some_and(|it| it.key == holder.key) {
            return;
        }
        let Some(last) = self.last.get(&after.spot).filter(|last| last.key != holder.key) else { return };
        // Hand-over: inside the namespace, to a claim that wants or prefers this very number.
        let prefers = self.preferring.get(&holder.uid).is_some_and(|run| run.contains(after.spot));
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
                after.spot, last.key, holder.key
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
        let part = |it: &HostPort| it.spot != after.spot && it.belongs_to(&to.uid);
        // What is its own is no new grant, though it was edited to Released meanwhile.
        if before.is_some_and(|it| it.belongs_to(&to.uid)) || server.hostports.values().any(part) {
            return;
        }
        let rest = after.run(claim.count).into_iter().flat_map(Run::iter);
        let rest = rest.filter(|spot| !server.counts(*spot, &class.name, namespace)).count();
        let used = server.usage(&class.name, namespace) + rest;
        if let Some(limit) = server.limit(class, namespace).filter(|limit| used > *limit) {
            let name = &class.name;
            self.accuse(format!("quota: {namespace} got {used} ports of {name}, it may have {limit}"));
        }
    }

    /// C7: a number in the Bound status of a living claim is not given to one that waits.
    fn look_at_promise(&mut self, server: &Server, spot: Spot, to: &Key) {
        let names = |claim: &&Claim| claim.phase == ClaimPhase::Bound && claim.names(spot);
        let remakes = server.claims.get(to).is_some_and(|claim| claim.names(spot));
        let promised =
            server.claims.values().filter(names).find(|it| it.key != *to && !self.tampered.contains(&it.uid));
        if let Some(claim) = promised.filter(|_| !remakes) {
            self.accuse(format!("C7: {spot}, which {} is promised, was given to {to}", claim.key));
        }
    }

    /// A tenant who takes the labels off running pods and has a claim made again hurts the count of its own slots.
    fn look_at_rebind(&mut self, before: Option<&HostPort>, after: Option<&HostPort>) {
        let holder = |it: Option<&HostPort>| it.and_then(|it| it.holder.clone());
        let (Some(old), Some(new), Some(after)) = (holder(before), holder(after), after) else { return };
        if after.spot.is_whole() || old.uid == new.uid {
            return;
        }
        let port = after.spot.port();
        let of = |it: &&mut Admission| it.key.namespace == new.key.namespace && it.pod.ports.contains(&port);
        self.admitted
            .values_mut()
            .filter(of)
            .filter(|it| it.pod.serves.is_empty())
            .for_each(|it| it.excused = true);
    }

    /// I3, I5: the number of a live pod is held by its namespace.
    fn look_at_pods(&mut self, server: &Server) {
        let whole = |it: &&Admission| it.spots.iter().all(|spot| spot.is_whole());
        if let Some(words) = crowded(server, self.admitted.values().filter(|it| !whole(it) && !it.excused)) {
            return self.accuse(words);
        }
        let robbed = self.admitted.values().filter(whole).find(|it| !it.excused && !holds(server, it));
        if let Some(it) = robbed {
            let (pod, ports) = (it.pod.key.clone(), &it.pod.ports);
            self.accuse(format!("I3: pod {pod} lives on {ports:?}, which its namespace does not hold"));
        }
    }
}

/// The pod's namespace holds the number, or nobody has it while an administrator's act stands.
fn holds(server: &Server, it: &Admission) -> bool {
    it.pod.ports.iter().all(|port| {
        server.hostports.get(&Spot::whole(*port)).is_some_and(|hostport| {
            hostport.holder.as_ref().is_none_or(|holder| holder.key.namespace == it.pod.key.namespace)
        })
    })
}

/// I3 of slots, by namespace: no more claims have live pods on a number than slots of it are held. (The scheduler keeps
/// pods apart; a slot too few is a pod that waits for a node although its claim is Bound.)
fn crowded<'a>(server: &Server, pods: impl Iterator<Item = &'a Admission>) -> Option<String> {
    let mut users: BTreeMap<(Port, &str), BTreeSet<&Key>> = BTreeMap::new();
    for it in pods {
        it.pod.ports.iter().for_each(|port| {
            users.entry((*port, &it.key.namespace)).or_default().insert(&it.key);
        });
    }
    users.into_iter().find_map(|((port, namespace), claims)| {
        let held =
            |it: &&HostPort| it.holder.as_ref().is_none_or(|holder| *holder.key.namespace == *namespace);
        let slots = server.slots(port).filter(held).count();
        let few = slots < claims.len();
        few.then(|| format!("I3: {namespace} has live pods of {claims:?} on {port}, but {slots} slots of it"))
    })
}

/// I1 across scopes: the claim is Bound to a number whose other form another claim is Bound to.
fn twice(server: &Server, claim: &Claim) -> Option<String> {
    let spots: Vec<Spot> = claim.spots().collect();
    let other = |it: &&HostPort| {
        let same =
            spots.iter().any(|spot| spot.port() == it.spot.port() && spot.is_whole() != it.spot.is_whole());
        let holder = it.holder.as_ref().and_then(|holder| server.claims.get(&holder.key));
        same && holder.is_some_and(|other| {
            other.phase == ClaimPhase::Bound && other.names(it.spot) && it.is_held_by(&other.uid)
        })
    };
    let other = server.hostports.values().find(other)?;
    Some(format!("I1: {}={} became Bound beside {}, which is Bound too", claim.key, claim.uid, other.spot))
}
