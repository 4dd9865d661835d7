//! Binds claims to ports and releases them. [`core`] decides: a state machine without client, clock, lock or
//! `async`. [`shell`] acts: it feeds the core from watches and carries its actions out.

pub mod action;
pub mod adoption;
pub mod core;
pub mod seen;
pub mod shell;
pub mod text;
