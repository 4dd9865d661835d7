//! Drives the core against a model of the API server: by seed, with every fault that the design names, and
//! step by step along the traces that a search of the design found.

mod drive;
mod judge;
mod people;
mod races;
mod rest;
mod scenes;
mod schedule;
mod server;
mod traces;
mod world;

use std::time::{Duration, Instant};

use schedule::Schedule;

/// I1-I5, I8, I9. `HOSTPORT_SIM_SECONDS` runs longer, `HOSTPORT_SIM_SEED` plays one seed.
#[test]
fn random_schedules_keep_every_invariant() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("HOSTPORT_SIM_SEED") {
        return check(seed).map_or((), |report| panic!("{report}"));
    }
    let longer = number("HOSTPORT_SIM_SECONDS");
    let (begin, mut steps) = (Instant::now(), 0);
    let seeds = if longer.is_some() { u64::MAX } else { FIXED };
    for seed in 0..seeds {
        if longer.is_some_and(|seconds| begin.elapsed() > Duration::from_secs(seconds)) {
            return println!("{seed} schedules, {steps} steps, {:?}", begin.elapsed());
        }
        steps += Schedule::of(seed).steps.len();
        if let Some(report) = check(seed) {
            panic!("after {} schedules, {steps} steps, {:?}\n{report}", seed + 1, begin.elapsed());
        }
    }
    println!("{seeds} schedules, {steps} steps, {:?}", begin.elapsed());
}

/// About 20 s in the dev profile.
const FIXED: u64 = 40_000;

/// Plays a seed; what to print if it fails.
fn check(seed: u64) -> Option<String> {
    let schedule = Schedule::of(seed);
    let violation = schedule.play(false).judge.violation?;
    let thinned = schedule.thinned();
    let world = thinned.play(true);
    let (setup, words) = (format!("{thinned:?}"), world.judge.violation.as_deref().unwrap_or("?"));
    let setup = setup.split(", steps").next().unwrap_or_default();
    Some(format!(
        "seed {seed}: {violation}\nthinned to {} steps: {words}\n{setup}\n{}",
        thinned.steps.len(),
        world.trace().join("\n")
    ))
}
