//! What tenants do: create, delete, recreate and rename claims, force finalizers off, write statuses by hand.

use allocator::{Port, Spot};
use crds::ClaimPhase;
use reconciler::seen::{Claim, Key, Run, Version};

use super::port;
use crate::{
    faults::Fault,
    server::{first_status, with_status},
    world::World,
};

/// Which numbers a claim asks for.
#[derive(Clone, Copy, Default)]
struct Wish {
    wanted: Option<Spot>,
    /// By `hostPortName`.
    by_name: bool,
    preferred: Option<Port>,
}

impl World {
    #[cfg(test)]
    pub fn create_claim(&mut self, key: &Key, class: Option<&str>, wanted: Option<u16>) {
        self.create_block(key, class, wanted, 1);
    }

    /// A claim with `hostPortName`.
    pub fn create_named(&mut self, key: &Key, class: Option<&str>, spot: Spot) {
        self.create(key, class, Wish { wanted: Some(spot), by_name: true, preferred: None }, 1);
    }

    /// A claim for any numbers that would rather have these: admission makes such claims for fleets.
    pub fn create_preferring(&mut self, key: &Key, class: Option<&str>, preferred: u16, count: u16) {
        self.create(key, class, Wish { preferred: Some(port(preferred)), ..Wish::default() }, count);
    }

    pub fn create_block(&mut self, key: &Key, class: Option<&str>, wanted: Option<u16>, count: u16) {
        let wanted = wanted.map(|number| port(number).into());
        self.create(key, class, Wish { wanted, ..Wish::default() }, count);
    }

    fn create(&mut self, key: &Key, class: Option<&str>, wish: Wish, count: u16) {
        let Wish { wanted, by_name, preferred } = wish;
        if self.server.claims.contains_key(key) {
            return;
        }
        if !self.names.insert(key.clone()) {
            self.tally.hit(Fault::UidReused);
        }
        self.people(
            || {
                format!(
                    "tenant creates claim {key} class={class:?} port={wanted:?} count={count} by name={by_name} \
                     preferred={preferred:?}"
                )
            },
            |server| {
                let status = first_status();
                let claim = Claim {
                    key: key.clone(),
                    uid: server.new_uid("u"),
                    version: Version(0),
                    generation: 1,
                    created: server.now / 1000,
                    deleting: false,
                    finalizers: vec![],
                    class: class.map(Into::into),
                    wanted: wanted.map(Spot::port),
                    hostport_name: wanted.filter(|_| by_name).map(|spot| spot.to_string().into()),
                    count,
                    preferred,
                    made: None,
                    phase: ClaimPhase::Pending,
                    port: None,
                    slot: None,
                    used_class: None,
                    ready: None,
                    status_digest: 0,
                };
                server.claim_status.insert(key.clone(), status.clone());
                server.put_claim(with_status(claim, &status));
            },
        );
    }

    pub fn delete_claim(&mut self, key: &Key) {
        let Some(claim) = self.server.claims.get(key).filter(|claim| !claim.deleting).cloned() else {
            return;
        };
        self.tally.hit(Fault::Deleted);
        let uid = claim.uid.clone();
        self.people(
            || format!("tenant deletes claim {key}={uid}"),
            |server| {
                server.put_claim(Claim { deleting: true, generation: claim.generation + 1, ..claim });
            },
        );
    }

    pub fn strip_finalizers(&mut self, key: &Key) {
        let Some(claim) = self.server.claims.get(key).filter(|it| !it.finalizers.is_empty()).cloned() else {
            return;
        };
        self.tally.hit(Fault::Stripped);
        let uid = claim.uid.clone();
        self.people(
            || format!("somebody strips the finalizers of {key}={uid}"),
            |server| {
                server.put_claim(Claim { finalizers: vec![], ..claim });
            },
        );
    }

    /// Deleted, and made again under the same name at once: another uid.
    pub fn recreate_claim(&mut self, key: &Key) {
        let Some(claim) = self.server.claims.get(key).cloned() else { return };
        self.delete_claim(key);
        self.strip_finalizers(key);
        let wanted = claim.wanted_spot().or(claim.wanted.map(Spot::whole));
        let by_name = claim.hostport_name.is_some();
        let wish = Wish { wanted, by_name, preferred: claim.preferred };
        self.create(key, claim.class.as_deref(), wish, claim.count);
    }

    /// `helm upgrade` with another name for a claim: the new one wants the number that the old one has.
    pub fn rename_claim(&mut self, key: &Key, to: &Key) {
        let Some(claim) = self.server.claims.get(key).filter(|claim| !claim.deleting).cloned() else {
            return;
        };
        if self.server.claims.contains_key(to) {
            return;
        }
        self.tally.hit(Fault::Renamed);
        let wanted = claim.port.or(claim.wanted).map(Port::get);
        self.create_block(to, claim.class.as_deref(), wanted, claim.count);
        self.delete_claim(key);
    }

    /// A tenant with rights on `/status` writes it.
    pub fn tamper(&mut self, key: &Key, phase: ClaimPhase, spot: Option<Spot>) {
        let Some(claim) = self.server.claims.get(key).cloned() else { return };
        self.tally.hit(Fault::Tampered);
        self.judge.tampered.insert(claim.uid.clone());
        let uid = claim.uid.clone();
        self.people(
            || format!("tenant writes status of {key}={uid}: {phase:?} {spot:?}"),
            |server| {
                let mut status = server.claim_status[key].clone();
                status.phase = phase;
                status.run = spot.and_then(|first| Run::at(first, claim.count));
                server.put_claim(with_status(claim, &status));
                server.claim_status.insert(key.clone(), status);
            },
        );
    }
}
