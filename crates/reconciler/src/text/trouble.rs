//! Why a claim has no port: every such sentence.

use allocator::{Port, Spot};
use crds::Reason;
use jiff::Timestamp;

/// Why a claim has no port, in a word and a sentence that ends in what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The word.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
    /// Nothing but an edit helps.
    pub stalled: bool,
}

impl Trouble {
    fn new(reason: Reason, message: String) -> Self {
        Self { reason, message, stalled: false }
    }

    fn stalled(reason: Reason, message: String) -> Self {
        Self { reason, message, stalled: true }
    }

    /// The class has nothing left.
    pub fn pool_exhausted(class: &str, pools: &str, count: u16) -> Self {
        let message = match count {
            1 => format!(
                "No free port in class \"{class}\" ({pools}). The claim binds by itself when one is freed. Ask the \
                 administrator for a larger pool, or delete a claim you no longer need."
            ),
            _ => format!(
                "No {count} consecutive free ports in class \"{class}\" ({pools}). The claim binds by itself when \
                 such a run is free. Ask the administrator for a larger pool, or claim a smaller count."
            ),
        };
        Self::new(Reason::PoolExhausted, message)
    }

    /// Every number of the class is granted as often as it may be.
    pub fn slots_exhausted(class: &str, pools: &str, most: u32) -> Self {
        Self::new(
            Reason::PoolExhausted,
            format!(
                "Every port of class \"{class}\" ({pools}) is granted for {most} nodes, which is its maxNodes. The claim \
                 binds by itself when one is freed. Ask the administrator for a larger pool or, if there are more \
                 nodes, a larger maxNodes, or delete a claim you no longer need."
            ),
        )
    }

    /// The wanted number is granted as often as it may be.
    pub fn slots_taken(port: Port, class: &str) -> Self {
        Self::new(
            Reason::PortTaken,
            format!(
                "Port {port} is granted for as many nodes as class \"{class}\" allows (maxNodes). The claim binds by \
                 itself when one is freed; or create it anew with another port, or without."
            ),
        )
    }

    /// The class owns no number.
    pub fn class_empty(class: &str, pools: &str) -> Self {
        Self::new(
            Reason::PoolExhausted,
            format!(
                "Class \"{class}\" ({pools}) hands out nothing: each of its numbers is excluded, reserved for Kubernetes \
                 or an older class's. The claim binds by itself when the administrator has mended that (kubectl describe \
                 hpclass {class}); to use another class, create the claim anew (kubectl get hpclass)."
            ),
        )
    }

    /// The class grants nothing.
    pub fn class_blocked(class: &str, pools: &str) -> Self {
        Self::new(
            Reason::PoolExhausted,
            format!(
                "Class \"{class}\" ({pools}) hands out nothing: its pools overlap with those of a class of the other \
                 scope. The claim binds by itself when the administrator has separated them (kubectl describe hpclass \
                 {class})."
            ),
        )
    }

    /// The number is of the other scope.
    pub fn other_scope(port: Port, class: &str) -> Self {
        Self::stalled(
            Reason::PortOutsidePools,
            format!(
                "Port {port} was granted by class \"{class}\" when that had another scope, and cannot be made again. \
                 Delete this claim and create it again; its pods must be restarted."
            ),
        )
    }

    /// The slot is beyond what the class grants.
    pub fn beyond_max_nodes(hostport: Spot, class: &str) -> Self {
        Self::stalled(
            Reason::PortOutsidePools,
            format!(
                "HostPort {hostport} is beyond maxNodes of class \"{class}\". Create the claim anew with port instead of \
                 hostPortName, or ask the administrator to raise maxNodes."
            ),
        )
    }

    /// A claim of scope Node holds one port.
    pub fn one_for_each_claim(count: u16, class: &str) -> Self {
        Self::stalled(
            Reason::CountTooLarge,
            format!(
                "Class \"{class}\" is of scope Node and gives one port to a claim, this one asks for {count}. Delete it \
                 and create a claim for each port, or use a class of scope Cluster for a block."
            ),
        )
    }

    /// The namespace has all that it may have.
    pub fn quota_exceeded(namespace: &str, class: &str, limit: usize) -> Self {
        Self::new(
            Reason::QuotaExceeded,
            format!(
                "Namespace \"{namespace}\" may hold {limit} ports of class \"{class}\", and this claim would be \
                 beyond that. Delete a claim; this one then binds by itself."
            ),
        )
    }

    /// The class does not admit the namespace.
    pub fn namespace_not_allowed(namespace: &str, class: &str) -> Self {
        Self::stalled(
            Reason::NamespaceNotAllowed,
            format!(
                "Namespace \"{namespace}\" may not use class \"{class}\". Ask the administrator to label the \
                 namespace, or use a class of your own (kubectl get hpclass)."
            ),
        )
    }

    /// The class gives fewer numbers to one claim.
    pub fn count_too_large(count: u16, class: &str, most: u16) -> Self {
        Self::stalled(
            Reason::CountTooLarge,
            format!(
                "Class \"{class}\" gives at most {most} ports to one claim, this one asks for {count}. Delete it \
                 and create several with a smaller count; or ask the administrator to raise maxCount, and it binds by \
                 itself."
            ),
        )
    }

    /// There is no HostPort of that name.
    pub fn hostport_not_found(name: &str) -> Self {
        Self::new(
            Reason::HostPortNotFound,
            format!(
                "There is no HostPort \"{name}\". The claim binds by itself when the administrator makes it. For a \
                 number that nobody has made yet, claim it with port instead of hostPortName."
            ),
        )
    }

    /// The HostPort that the claim names is of another class.
    pub fn other_class(hostport: Spot, class: &str) -> Self {
        Self::stalled(
            Reason::PortOutsidePools,
            format!(
                "HostPort {hostport} is not of class \"{class}\", which this claim asks for. Create the claim anew \
                 without hostPortClassName, or with the HostPort's class."
            ),
        )
    }

    /// No class of that name.
    pub fn class_not_found(class: &str) -> Self {
        Self::new(
            Reason::ClassNotFound,
            format!(
                "No class named \"{class}\" (kubectl get hpclass). The claim binds by itself when there is one; to \
                 use another class, create the claim anew."
            ),
        )
    }

    /// The claim names no class, and there is no default.
    pub fn no_default_class() -> Self {
        Self::new(
            Reason::ClassNotFound,
            "No default class admits this namespace. The claim binds by itself when there is one; or create it anew with \
             hostPortClassName (kubectl get hpclass)."
                .to_owned(),
        )
    }

    /// `hostPortClassName: ""`
    pub fn no_class_wanted() -> Self {
        Self::stalled(
            Reason::ClassNotFound,
            "hostPortClassName is \"\", so no port is picked for this claim. Create it anew with a class (kubectl \
             get hpclass)."
                .to_owned(),
        )
    }

    /// The number is held by a claim of the same namespace.
    pub fn port_held_here(port: Port, claim: &str) -> Self {
        Self::new(
            Reason::PortTaken,
            format!(
                "Port {port} is held by claim \"{claim}\" in this namespace. Delete that claim and this one takes \
                 the port over; or create this one anew with another port."
            ),
        )
    }

    /// The number is used by anyone else; tenants do not learn by whom.
    pub fn port_taken(port: Port) -> Self {
        Self::new(
            Reason::PortTaken,
            format!(
                "Port {port} is in use outside this namespace. Create the claim anew with another port, or ask the \
                 administrator (kubectl get hp {port}; if it is not there, a pod or Service without a claim has it)."
            ),
        )
    }

    /// The number rests.
    pub fn waiting_for_reuse(port: Port, released_at: i64, until: i64) -> Self {
        Self::new(
            Reason::WaitingForReuse,
            format!(
                "Port {port} was freed at {} and rests until {}, so that late packets of its last user reach \
                 nobody. The claim binds then by itself.",
                clock(released_at),
                clock(until)
            ),
        )
    }

    /// The class does not hand that number out.
    pub fn outside_pools(port: Port, class: &str, pools: &str) -> Self {
        Self::stalled(
            Reason::PortOutsidePools,
            format!(
                "Port {port} is not in class \"{class}\" ({pools}). Create the claim anew with a port inside, or \
                 without; or ask the administrator to extend the class, and it binds by itself."
            ),
        )
    }

    /// The class leaves that number out because Kubernetes listens on it.
    pub fn reserved(port: Port, class: &str) -> Self {
        Self::stalled(
            Reason::PortOutsidePools,
            format!(
                "Port {port} is reserved for Kubernetes itself; class \"{class}\" does not set allowReserved. \
                 Create the claim anew with another port."
            ),
        )
    }

    /// The number is in the pools of two classes.
    pub fn older_class(port: Port, class: &str, owner: &str) -> Self {
        Self::stalled(
            Reason::PortOutsidePools,
            format!(
                "Port {port} is in class \"{class}\", but belongs to the older class \"{owner}\". Create the claim \
                 anew with that class, or with another port."
            ),
        )
    }

    /// The HostPort was removed by hand and somebody else has the number.
    pub fn lost(port: Port) -> Self {
        Self::stalled(
            Reason::PortTaken,
            format!(
                "HostPort {port} was removed and the number now belongs to someone else. Delete this claim and \
                 create it again; its pods must be restarted."
            ),
        )
    }

    /// The same sentence for a claim that held the number once and may not have it back.
    pub fn as_lost(mut self) -> Self {
        self.stalled = true;
        self
    }
}

/// A time of day for a sentence, UTC.
fn clock(millis: i64) -> String {
    let stamp = Timestamp::from_millisecond(millis).unwrap_or_default();
    stamp.strftime("%H:%M:%SZ").to_string()
}
