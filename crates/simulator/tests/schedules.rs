//! What `cargo test` plays: the schedules that failed once, a fixed set, and a random set for
//! `HOSTPORT_SIM_SECONDS` (30).

use std::{
    env, fs,
    io::{self, Write},
    thread,
    time::{Duration, SystemTime},
};

use simulator::{Only, Run, Schedule, Summary};

/// The seeds 0 to here.
const FIXED: u64 = 40_000;

fn passes(run: Run, what: &str) {
    let summary: Summary = run.play();
    println!("{what} from seed {}: {summary}", run.seed);
    // Not by `println!`: `cargo test` shows that only of tests that fail.
    let (schedules, seconds) = (summary.schedules, summary.elapsed.as_secs());
    let _ = writeln!(io::stderr(), "{what}, seeds from {}: {schedules} schedules in {seconds} s", run.seed);
    if let Some(failure) = &summary.failure {
        panic!("after {} schedules\n{}", summary.schedules, failure.story());
    }
}

fn jobs() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

#[test]
fn a_fixed_set_of_schedules_keeps_every_invariant() {
    passes(Run { seed: 0, most: FIXED, time: Duration::MAX, jobs: jobs(), only: Only::All }, "fixed set");
}

#[test]
fn a_random_set_of_schedules_keeps_every_invariant() {
    let seconds = env::var("HOSTPORT_SIM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed again, far from the fixed set.
    let seed = 1_000_000_000 + now.as_millis() as u64 % 1_000_000_000 * 100_000;
    let time = Duration::from_secs(seconds);
    passes(Run { seed, most: u64::MAX, time, jobs: jobs(), only: Only::All }, "random set");
}

/// Each file once broke an invariant; its first lines say which, and why.
#[test]
fn schedules_that_failed_once_keep_every_invariant() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let schedule = Schedule::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let violation = schedule.play().violation;
        assert_eq!(violation, None, "{}\n{}", path.display(), schedule.story());
    }
}

#[test]
fn the_text_of_a_schedule_is_the_schedule() {
    for seed in 0..200 {
        let schedule = Schedule::of(seed);

        assert_eq!(Schedule::parse(&schedule.to_string()).unwrap(), schedule);
    }
}

#[test]
fn a_seed_is_always_the_same_schedule() {
    for seed in 0..200 {
        assert_eq!(Schedule::of(seed).trace(), Schedule::of(seed).trace(), "seed {seed}");
    }
}
