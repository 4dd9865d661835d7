//! How the traces drive a world by hand: a cluster in one line, a request held back, what people read afterwards.

use std::time::Duration;

use crds::{ClaimPhase, ReclaimPolicy};
use reconciler::{
    action::{Action, ActionId, HostPortChange},
    seen::{Claim, HostPort},
};

use crate::{
    people::{class, key, spot},
    server::KINDS,
    world::World,
};

pub const CLAIMS: usize = 0;
pub const HOSTPORTS: usize = 1;
pub const PODS: usize = 2;

/// A cluster with class "games" of these numbers and so many controllers that know all.
pub fn cluster(start: u16, end: u16, controllers: usize) -> World {
    let mut world = World::new().traced();
    world.create_class(class("games", start, end));
    (0..controllers).for_each(|_| {
        world.start();
    });
    world.rest();
    world
}

impl World {
    pub fn retaining(mut self) -> Self {
        self.edit_class("games", |class| class.policy = ReclaimPolicy::Retain);
        self.rest();
        self
    }

    pub fn claim(&mut self, name: &str, wanted: Option<u16>) {
        self.create_claim(&key(name), Some("games"), wanted);
    }

    /// A claim that is Bound, as all controllers know.
    pub fn bound_claim(&mut self, name: &str) {
        self.claim(name, None);
        self.rest();
        assert_eq!(self.phase(name), ClaimPhase::Bound, "{}", self.story());
    }

    /// The tenant deletes the claim and makes it again: another uid.
    pub fn recreate(&mut self, name: &str) {
        self.recreate_claim(&key(name));
    }

    /// A pod of the claim has passed admission and is not stored yet.
    pub fn pod_in_flight(&mut self, name: &str, claim: &str) {
        self.admit(name, &key(claim), false);
        let at = self.coming(name);
        self.admit_on(at);
        self.admit_on(at);
    }

    /// The pod that was in flight is stored.
    pub fn lands(&mut self, name: &str) {
        let at = self.coming(name);
        self.store(at);
    }

    fn coming(&self, name: &str) -> usize {
        let at = self.admissions.iter().position(|it| &*it.pod.key.name == name);
        at.unwrap_or_else(|| panic!("pod {name} was refused\n{}", self.story()))
    }

    /// The claim goes, and somebody forces it past its finalizer.
    pub fn force_delete(&mut self, name: &str) {
        self.delete_claim(&key(name));
        self.strip_finalizers(&key(name));
    }

    /// Everybody works until nothing is to be done at this moment.
    pub fn rest(&mut self) {
        assert!(self.quiesce(), "it never rests\n{}", self.story());
    }

    pub fn seconds(&mut self, seconds: u64) {
        assert!(self.run(Duration::from_secs(seconds)), "it never rests\n{}", self.story());
    }

    /// Time passes for all, but nobody does anything.
    pub fn asleep(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub fn hears(&mut self, index: usize, kind: usize) {
        self.deliver(index, kind, usize::MAX);
    }

    pub fn hears_all(&mut self, index: usize) {
        (0..KINDS.len()).for_each(|kind| self.hears(index, kind));
    }

    /// Of classes before claims, so that it decides on claims by the classes of today.
    pub fn hears_all_but(&mut self, index: usize, but: usize) {
        (0..KINDS.len()).rev().filter(|kind| *kind != but).for_each(|kind| self.hears(index, kind));
    }

    /// One controller carries its requests through, without news from its watches.
    pub fn finishes(&mut self, index: usize) {
        for _ in 0..100 {
            self.poll(index);
            let Some((&id, request)) = self.controllers[index].requests.first_key_value() else { return };
            if request.outcome.is_none() {
                self.land(index, id);
            }
            self.reply(index, id);
        }
        panic!("controller {index} never rests\n{}", self.story());
    }

    /// One controller works alone, with news, until it rests.
    pub fn works(&mut self, index: usize) {
        for _ in 0..20 {
            self.hears_all(index);
            self.finishes(index);
        }
    }

    /// One controller carries its requests through for so long, without news from its watches.
    pub fn finishes_for(&mut self, index: usize, seconds: u64) {
        for _ in 0..seconds {
            self.finishes(index);
            self.asleep(1);
        }
    }

    /// How many requests that begin with these words have been sent.
    pub fn asked(&self, words: &str) -> usize {
        self.trace().iter().filter(|line| line.contains(&format!("asks: {words}"))).count()
    }

    /// One controller works until it asks for this; that request is under way and has not landed.
    pub fn until(&mut self, index: usize, wanted: fn(&Action) -> bool) -> ActionId {
        for _ in 0..200 {
            self.poll(index);
            let requests = &self.controllers[index].requests;
            if let Some((id, _)) = requests.iter().find(|(_, request)| wanted(&request.action)) {
                return *id;
            }
            match requests.first_key_value() {
                Some((&id, _)) => {
                    self.land(index, id);
                    self.reply(index, id);
                }
                None => self.hears_all(index),
            }
            let controller = &self.controllers[index];
            if controller.requests.is_empty() && !controller.is_behind() {
                self.pass(Duration::from_secs(1));
            }
        }
        panic!("controller {index} never asks for it\n{}", self.story());
    }

    /// The same without news from its watches.
    pub fn until_deaf(&mut self, index: usize, wanted: fn(&Action) -> bool) -> ActionId {
        for _ in 0..500 {
            self.poll(index);
            let requests = &self.controllers[index].requests;
            if let Some((id, _)) = requests.iter().find(|(_, request)| wanted(&request.action)) {
                return *id;
            }
            match requests.first_key_value() {
                Some((&id, _)) => {
                    self.land(index, id);
                    self.reply(index, id);
                }
                None => self.asleep(1),
            }
        }
        panic!("controller {index} never asks for it\n{}", self.story());
    }

    pub fn stored(&self, name: &str) -> &Claim {
        self.server.claims.get(&key(name)).unwrap_or_else(|| panic!("no claim {name}\n{}", self.story()))
    }

    pub fn phase(&self, name: &str) -> ClaimPhase {
        self.stored(name).phase
    }

    pub fn number(&self, name: &str) -> Option<u16> {
        self.stored(name).named().map(|spot| spot.port().get())
    }

    pub fn reason(&self, name: &str) -> &'static str {
        self.server.claim_status[&key(name)].conditions[0].reason
    }

    pub fn message(&self, name: &str) -> &str {
        &self.server.claim_status[&key(name)].conditions[0].message
    }

    pub fn is_stalled(&self, name: &str) -> bool {
        self.server.claim_status[&key(name)].conditions.iter().any(|condition| condition.kind == "Stalled")
    }

    pub fn hostport(&self, number: u16) -> Option<&HostPort> {
        self.server.hostports.get(&spot(number))
    }

    /// The claim whose uid is in the claimRef.
    pub fn holder(&self, number: u16) -> Option<String> {
        let uid = &self.hostport(number)?.holder.as_ref()?.uid;
        self.server.claims.values().find(|claim| claim.uid == *uid).map(|claim| claim.key.to_string())
    }

    /// No invariant was broken, and none is when everything comes to rest.
    pub fn ends_well(&mut self) {
        self.settle();
        assert_eq!(self.judge.violation, None, "{}", self.story());
    }

    pub fn story(&self) -> String {
        self.trace().join("\n")
    }
}

pub fn is_status(action: &Action) -> bool {
    matches!(action, Action::PutClaimStatus { .. })
}

pub fn is_create(action: &Action) -> bool {
    matches!(action, Action::CreateHostPort(_))
}

pub fn is_release(action: &Action) -> bool {
    matches!(action, Action::PatchHostPort { change: HostPortChange::Release { .. }, .. })
}
