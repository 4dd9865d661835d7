//! Who takes ports of nodes: pods and Services.

use std::sync::Arc;

use allocator::Port;

use super::{Key, Uid};

/// A live pod that carries host ports. One without any is never kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// The host ports of all of its containers, each number once.
    pub ports: Box<[Port]>,
    /// Of scope Node, by number: the claim that it was admitted for, as its label has it.
    pub serves: Box<[(Port, Arc<str>)]>,
    /// If admission made claims for it alone: which.
    pub own: Option<Box<Own>>,
}

impl Pod {
    /// The claim of scope Node that it carries the number for, as its label has it.
    pub fn serves(&self, port: Port) -> Option<&Arc<str>> {
        self.serves.iter().find(|(number, _)| *number == port).map(|(_, claim)| claim)
    }
}

/// The claims that were made for a pod alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// UID of the pod.
    pub uid: Uid,
    /// The claims' names.
    pub claims: Vec<Arc<str>>,
}

/// A Service that takes node ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub key: Key,
    /// nodePorts and healthCheckNodePort.
    pub ports: Box<[Port]>,
}
