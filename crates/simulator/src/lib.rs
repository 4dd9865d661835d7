//! Plays the core of the reconciler, and the judgement of admission, against a model of the API server: by seed,
//! with every fault that the design names. Checks I1-I4 and I7-I9 at every change, and at the end that
//! everything comes to rest. `docs/reliability.md` says what is modelled and how to read a trace.

mod admission;
mod controller;
mod entitled;
mod faults;
mod judge;
mod people;
mod play;
mod random;
mod rest;
mod rounds;
mod run;
mod schedule;
mod server;
mod setup;
mod step;
#[cfg(test)]
mod stories;
mod words;
mod world;

pub use faults::{Family, Fault, Tally};
pub use run::{Failure, Only, Run, Summary};
pub use schedule::{Report, Schedule};
