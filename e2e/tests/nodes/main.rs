//! What only real nodes can show: that a port which was granted answers, and from whom. One cluster with two nodes. Where the
//! machine can have no nodes the tests say so and end; in CI (`CI` is set) they fail.

mod left;
mod ports;
mod story;
mod talk;
mod world;

/// What the scenarios without nodes begin with, and so do these.
#[allow(dead_code, unused_imports, reason = "each test program uses a part of it")]
#[path = "../e2e"]
mod scenarios {
    pub mod support;
}
