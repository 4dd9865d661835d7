//! Port sets, the ledger of who holds what, and the queue of who waits: pure data structures.
//!
//! Nothing here knows Kubernetes, reads a clock, waits or fails half-way. Nothing here is proof either: the
//! commit point is the name of a HostPort in etcd, and a [`Ledger`] only makes the choice before it a good
//! and a fast one. It can be thrown away and filled again from what exists (I8).
//!
//! - [`Port`] and [`PortRange`]: numbers that cannot be wrong.
//! - [`Spot`]: what a HostPort is named after, a number or one of its slots.
//! - [`PortSet`]: a bitmap in which the first, the next and the n-th member are found in a few steps.
//! - [`Ledger`]: which class owns a number, who holds it, and which one to grant next.
//! - [`Waiters`]: claims of one class that wait for a number, fair between namespaces.

mod ledger;
mod port;
mod set;
mod spot;
mod waiters;

pub use ledger::{ClassSpec, Counts, Hold, Ledger, PortState, Refusal, Scope, Strategy};
pub use port::{Port, PortError, PortRange, RESERVED, RangeError};
pub use set::{Iter, PortSet, Ranges};
pub use spot::{Spot, SpotError};
pub use waiters::Waiters;
