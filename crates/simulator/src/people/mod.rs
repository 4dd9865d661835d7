//! What people do to the store, and the names that they use.

mod admins;
mod limits;
mod tenants;
mod workloads;

pub use limits::labelled;

use std::time::Duration;

use allocator::{Port, PortRange};
use crds::{ReclaimPolicy, Strategy};
use reconciler::seen::{Admits, Class, Key, Version};

use crate::{judge::Actor, server::Server, world::World};

pub fn port(number: u16) -> Port {
    Port::new(number).expect("a port is not 0")
}

/// The number as the name of a HostPort.
#[cfg(test)]
pub fn spot(number: u16) -> allocator::Spot {
    port(number).into()
}

pub fn range(start: u16, end: u16) -> PortRange {
    PortRange::new(port(start), port(end)).expect("start is not above end")
}

/// A class as an administrator writes it.
pub fn class(name: &str, start: u16, end: u16) -> Class {
    Class {
        name: name.into(),
        uid: "".into(),
        version: Version(0),
        generation: 1,
        created: 0,
        is_default: false,
        pools: vec![range(start, end)],
        exclude: vec![],
        strategy: Strategy::Sequential,
        scope: allocator::Scope::Cluster,
        policy: ReclaimPolicy::Delete,
        reuse_delay: Duration::from_secs(60),
        allow_reserved: false,
        admits: Admits::All,
        max_per_namespace: None,
        max_count: 64,
        conditions: vec![],
        status_digest: 0,
    }
}

/// Namespace/name.
pub fn key(text: &str) -> Key {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    Key::new(namespace, name)
}

impl World {
    fn people(&mut self, what: impl FnOnce() -> String, change: impl FnOnce(&mut Server)) {
        self.note(|_| what());
        self.change(Actor::People, change);
    }
}
