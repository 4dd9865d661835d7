//! Certificates of the webhooks, for clusters without cert-manager. One Secret has all of them; the leading controller
//! keeps it and tells the API server, by the webhook configurations, which CA to trust. `plan` decides what is to be
//! done next from what is stored and what time it is, `pair` makes keys and certificates, `keeper` does it.
//!
//! The order that keeps every pod admitted while all is renewed: a CA is in every configuration before it signs what is
//! served, and stays there until it has ended, and with it whatever it signed.

mod inject;
mod keeper;
mod metrics;
mod pair;
mod plan;
mod stored;

pub use keeper::{Keeper, Settings};
pub use metrics::Expiry;
pub use pair::{Pair, not_after, self_signed};
pub use plan::Lifetimes;
