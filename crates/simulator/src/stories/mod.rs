//! Stories that are told step by step, not by seed: what users meet (`scenes`), the counterexamples to the design
//! (`traces`; of scope Node `slots`), replies that come at the wrong moment (`races`), stores that are restored
//! (`backups`), and what each guard of blocks,
//! hand-overs and promises is for (`guards`).

mod backups;
mod drive;
mod guards;
mod preferences;
mod races;
mod scenes;
mod slots;
mod traces;
