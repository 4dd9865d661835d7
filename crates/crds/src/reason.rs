//! Machine-readable reasons of the conditions. Their meaning is part of the API.

use std::fmt;

/// Reason of a claim's `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The claim holds its port.
    Bound,
    /// The claim is being deleted, a pod still uses the port.
    InUse,
    /// Every port of the class is taken.
    PoolExhausted,
    /// The namespace has all the ports that the class, or a ResourceQuota, allows it.
    QuotaExceeded,
    /// The class does not exist, or no class was named and there is no default class.
    ClassNotFound,
    /// The wanted number is held by another claim or used by someone else.
    PortTaken,
    /// The wanted number is not among those that the class hands out.
    PortOutsidePools,
    /// The class does not admit the claim's namespace.
    NamespaceNotAllowed,
    /// The claim asks for more numbers than the class gives to one claim.
    CountTooLarge,
    /// The HostPort that the claim names does not exist.
    HostPortNotFound,
    /// The wanted number was freed a moment ago and rests.
    WaitingForReuse,
    /// Nobody has looked at the claim yet.
    WaitingForController,
}

impl Reason {
    /// Every reason, for documentation and tests.
    pub const ALL: [Reason; 12] = [
        Reason::Bound,
        Reason::InUse,
        Reason::PoolExhausted,
        Reason::QuotaExceeded,
        Reason::ClassNotFound,
        Reason::PortTaken,
        Reason::PortOutsidePools,
        Reason::NamespaceNotAllowed,
        Reason::CountTooLarge,
        Reason::HostPortNotFound,
        Reason::WaitingForReuse,
        Reason::WaitingForController,
    ];

    /// The word that stands in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Bound => "Bound",
            Reason::InUse => "InUse",
            Reason::PoolExhausted => "PoolExhausted",
            Reason::QuotaExceeded => "QuotaExceeded",
            Reason::ClassNotFound => "ClassNotFound",
            Reason::PortTaken => "PortTaken",
            Reason::PortOutsidePools => "PortOutsidePools",
            Reason::NamespaceNotAllowed => "NamespaceNotAllowed",
            Reason::CountTooLarge => "CountTooLarge",
            Reason::HostPortNotFound => "HostPortNotFound",
            Reason::WaitingForReuse => "WaitingForReuse",
            Reason::WaitingForController => "WaitingForController",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
