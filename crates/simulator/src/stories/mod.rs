//! Stories that are told step by step, not by seed: what users meet (`scenes`), the counterexamples to the design
//! (`traces`), and replies that come at the wrong moment (`races`).

mod drive;
mod preferences;
mod races;
mod scenes;
mod traces;
