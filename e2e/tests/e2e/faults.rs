//! What a cluster does to a controller: kills, twins, late writes, slow webhooks. Each test has a control plane of its
//! own, and they run one at a time: a killed controller of one would be a disturbed clock of another.

mod down;
mod kill;
mod late;
mod ledger;
mod network;
mod outage;
mod proxy;
mod rules;
mod slow;
mod storm;
mod witness;
pub(crate) mod world;
