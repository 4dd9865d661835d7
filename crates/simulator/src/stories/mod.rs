//! Stories that are told step by step, not by seed: what users meet (`scenes`), the counterexamples to the design
//! (`traces`; of scope Node `slots`), and replies that come at the wrong moment (`races`).

mod drive;
mod races;
mod scenes;
mod slots;
mod traces;
