//! What administrators do: classes, and HostPorts by hand.

use allocator::{Scope, Spot};
use crds::{HostPortPhase, ReclaimPolicy};
use reconciler::seen::{Class, HostPort, Key, Version};

use crate::{
    faults::Fault,
    judge::Actor,
    server::{Changed, broken_rule},
    world::World,
};

impl World {
    pub fn create_class(&mut self, class: Class) {
        let name = class.name.clone();
        self.people(
            || format!("admin creates class {name}"),
            |server| {
                let (uid, created) = (server.new_uid("class"), server.now / 1000);
                server.put_class(Class { uid, created, ..class });
            },
        );
    }

    pub fn edit_class(&mut self, name: &str, edit: impl FnOnce(&mut Class)) {
        let Some(mut class) = self.server.classes.get(name).cloned() else { return };
        self.tally.hit(Fault::ClassChanged);
        edit(&mut class);
        class.generation += 1;
        self.note(|_| {
            let pools: Vec<_> = class.pools.iter().map(ToString::to_string).collect();
            let (pools, policy) = (pools.join(","), class.policy);
            let limits = (&class.admits, class.max_per_namespace, class.max_count);
            format!("admin edits class {name}: {pools} {policy:?} default={} {limits:?}", class.is_default)
        });
        self.change(Actor::People, |server| drop(server.put_class(class)));
    }

    /// A class is deleted and made again with another scope.
    pub fn rescope_class(&mut self, name: &str, scope: Scope) {
        let Some(before) = self.server.classes.get(name).cloned() else { return };
        self.remove_class(name);
        self.create_class(Class { scope, conditions: vec![], status_digest: 0, ..before });
    }

    pub fn remove_class(&mut self, name: &str) {
        let Some(class) = self.server.classes.get(name).cloned() else { return };
        self.tally.hit(Fault::ClassChanged);
        self.people(
            || format!("admin deletes class {name}"),
            |server| {
                server.classes.remove(name);
                server.class_status.remove(name);
                let version = server.bump();
                server.changes.push(Changed::Class(Some(Class { version, ..class }), None));
            },
        );
    }

    /// A HostPort made by hand: whoever asks for the class may have it, or the claim that it is kept for.
    pub fn make_hostport(&mut self, spot: Spot, class: &str, policy: ReclaimPolicy, kept_for: Option<Key>) {
        if self.server.hostports.contains_key(&spot) {
            return;
        }
        self.tally.hit(Fault::HostPortMade);
        self.people(
            || format!("admin makes HostPort {spot} of {class} {policy:?} for {kept_for:?}"),
            |server| {
                let uid = server.new_uid("hp");
                server.put_hostport(HostPort {
                    spot,
                    uid,
                    version: Version(0),
                    class: class.into(),
                    holder: None,
                    kept_for: kept_for.clone(),
                    block: None,
                    phase: HostPortPhase::Available,
                    policy,
                    reuse_delay: None,
                    released_at: None,
                    held_by: None,
                    takeovers: 0,
                });
            },
        );
    }

    pub fn delete_hostport(&mut self, spot: Spot) {
        if self.server.hostports.contains_key(&spot) {
            self.tally.hit(Fault::HostPortDeleted);
            self.judge.hand_deleted(spot, &mut self.admissions);
            self.people(|| format!("admin deletes HostPort {spot}"), |server| server.remove_hostport(spot));
            self.judge.forget(spot);
        }
    }

    fn edit_hostport(&mut self, spot: Spot, what: &str, edit: impl FnOnce(&mut HostPort, i64)) -> bool {
        let Some(before) = self.server.hostports.get(&spot).cloned() else { return false };
        let mut after = before.clone();
        edit(&mut after, self.server.now);
        if after == before || broken_rule(&before, &after).is_some() {
            return false;
        }
        self.people(|| format!("admin {what} HostPort {spot}"), |server| drop(server.put_hostport(after)));
        true
    }

    /// An administrator says that the claim of a Bound HostPort is gone.
    pub fn edit_to_released(&mut self, spot: Spot) {
        let edited = self.edit_hostport(spot, "edits to Released:", |hostport, now| {
            hostport.phase = HostPortPhase::Released;
            hostport.released_at.get_or_insert(now);
        });
        if edited {
            self.tally.hit(Fault::EditedReleased);
        }
    }

    /// `kubectl patch hp … remove /spec/claimRef`; phase and releasedAt are left to the controller or not.
    pub fn clear_claim_ref(&mut self, spot: Spot, tidy: bool) {
        if self.server.hostports.get(&spot).is_some_and(|it| it.phase == HostPortPhase::Released) {
            self.judge.cleared(spot, &mut self.admissions);
        }
        let cleared = self.edit_hostport(spot, "clears claimRef of", |hostport, _| {
            if hostport.phase == HostPortPhase::Released && hostport.holder.take().is_some() && tidy {
                hostport.phase = HostPortPhase::Available;
                (hostport.released_at, hostport.reuse_delay, hostport.held_by) = (None, None, None);
            }
        });
        if cleared {
            self.tally.hit(Fault::ClaimRefCleared);
        }
        if self.server.hostports.get(&spot).is_some_and(|it| it.holder.is_none()) {
            self.judge.forget(spot);
        }
    }
}
