//! Proves that the simulator can see: each wrong variant of the core is caught within so many schedules. The core
//! is a copy with switches, woven by `build.rs`; the simulator is compiled against it.

extern crate self as reconciler;

#[expect(dead_code, reason = "what is wrong instead is for build.rs")]
mod table;

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use schedule::{Schedule, family};
use stories::guards;
use table::{FLAWS, PAIRS};

/// Tells a story and says what fell in it.
type Story = fn() -> Option<String>;

include!(concat!(env!("OUT_DIR"), "/flawed.rs"));

/// A variant that passes so many is not caught.
const MOST: u64 = 200_000;
/// What is caught by seed only after very many schedules, if at all: a story that tells it step by step instead.
const TOLD: &[(&str, Story)] = &[
    ("the claim read before the HostPort was (C1)", guards::a_claim_read_before_its_hostport),
    ("sighting not bound to a version (C3)", guards::a_rest_that_began_with_another_version),
    ("handed over though the former claim was not read", guards::hand_over_from_a_claim_made_anew),
    ("a member of another block counts (C6)", guards::a_member_of_another_block),
    (
        "members are not confirmed after a newer read of the claim (C6)",
        guards::a_status_written_again_while_its_block_is_undone,
    ),
    (
        "an undone block is freed while a status may name it (C6)",
        guards::a_status_that_lands_after_its_block_was_undone,
    ),
    (
        "a member of another block counts, and that block is freed while a status may name it (C6)",
        guards::a_member_of_another_block_that_is_undone,
    ),
    ("a number that a living claim is promised is picked (C7)", guards::a_promised_number_holds_nobody_up),
    (
        "a number that a living claim is promised is free for who wants it (C7)",
        guards::a_promised_number_is_kept_for_its_claim,
    ),
    ("slots are freed that another process may have decided on (N2)", guards::two_leaders_free_a_slot_each),
    ("the other form is not read before the status (N3)", guards::a_slot_beside_its_number),
    ("a number is undone for a slot that is gone (N3)", guards::a_number_beside_a_slot_that_is_gone),
];

/// So many schedules are played of variants that a story catches.
const RARELY: u64 = 5_000;
/// The right core must pass these.
const CLEAN: u64 = 2_000;

#[test]
fn the_text_of_each_variant_is_found() {
    let files = FLAWS.iter().filter(|flaw| MISSING.contains(&flaw.name));
    let lost: Vec<_> =
        files.map(|flaw| format!("{:?} in {}: {:?}", flaw.name, flaw.file, flaw.find)).collect();
    assert!(
        lost.is_empty(),
        "the core has changed: write anew in crates/simulator/tests/flaws/table.rs what is to be found (exactly \
         once) and what is wrong instead, for\n  {}",
        lost.join("\n  ")
    );
}

#[test]
fn the_copy_without_a_flaw_is_clean() {
    let failed = (0..CLEAN).find_map(|seed| Some((seed, Schedule::of(seed).play().violation?)));
    assert_eq!(failed, None);
}

/// How a variant was caught.
enum Caught {
    BySeed(u64, String),
    InStory(String),
    No,
}

/// Each variant by its name, with its switches.
fn variants() -> Vec<(&'static str, [usize; 2])> {
    let number = |name: &str| FLAWS.iter().position(|flaw| flaw.name == name).expect("a pair names variants");
    let found = |name: &str| !MISSING.contains(&name);
    let alone = FLAWS.iter().enumerate().map(|(at, flaw)| (flaw.name, [at, usize::MAX]));
    let alone = alone.filter(|(name, _)| found(name));
    alone.chain(PAIRS.iter().map(|(name, both)| (*name, both.map(number)))).collect()
}

fn hunt(name: &str, switches: [usize; 2]) -> Caught {
    flaw::set(switches);
    let told = TOLD.iter().find(|(told, _)| *told == name).map(|(_, story)| story);
    let most = if told.is_some() { RARELY } else { MOST };
    let first = (0..most).find_map(|seed| Some((seed, Schedule::of(seed).play().violation?)));
    if let (Some((seed, _)), Some(folder)) = (&first, env::var_os("HOSTPORT_SIM_KEEP")) {
        keep(name, *seed, Path::new(&folder));
    }
    // A story must catch its variant, whatever the seeds do.
    match (told.map(|story| story()), first) {
        (Some(None), _) | (None, None) => Caught::No,
        (_, Some((seed, words))) => Caught::BySeed(seed, words),
        (Some(Some(words)), None) => Caught::InStory(words),
    }
}

#[test]
fn each_wrong_variant_is_caught() {
    let begin = Instant::now();
    let (next, variants) = (AtomicUsize::new(0), variants());
    let work = || {
        let mut caught = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, switches)) = variants.get(at) else { return caught };
            caught.push((at, *name, hunt(name, *switches)));
        }
    };
    let jobs = thread::available_parallelism().map_or(1, Into::into);
    let mut caught: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no variant panics")).collect()
    });
    caught.sort_by_key(|(at, ..)| *at);

    println!("| wrong variant | what fell | schedules |\n|---|---|---|");
    for (_, name, how) in &caught {
        match how {
            Caught::BySeed(seed, words) => println!("| {name} | {} | {} |", family(words), seed + 1),
            Caught::InStory(words) => println!("| {name} | {} | story |", family(words)),
            Caught::No => println!("| {name} | nothing | - |"),
        }
    }
    let stories = caught.iter().filter(|(.., how)| matches!(how, Caught::InStory(_))).count();
    let (all, seconds) = (caught.len(), begin.elapsed().as_secs());
    // Not by `println!`: `cargo test` shows that only of tests that fail.
    let _ = writeln!(io::stderr(), "{all} wrong variants in {seconds} s, {stories} of them told by a story");
    let missed: Vec<_> =
        caught.iter().filter(|(.., how)| matches!(how, Caught::No)).map(|(_, name, _)| *name).collect();
    assert!(missed.is_empty(), "not caught, by {MOST} schedules or its story: {missed:?}");
}

#[test]
fn each_story_catches_its_variant() {
    for (name, switches) in variants() {
        let Some((_, story)) = TOLD.iter().find(|(told, _)| *told == name) else { continue };
        flaw::set(switches);
        eprintln!("{name}:");
        let fell = story();
        eprintln!("{fell:?}");
        assert_ne!(fell, None, "{name}");
    }
}

/// Writes the shrunk schedule down, as `regressions/` has them.
fn keep(name: &str, seed: u64, folder: &Path) {
    let schedule = Schedule::of(seed).shrunk();
    let words = schedule.play().violation.unwrap_or_default();
    let file: String = name.chars().map(|it| if it.is_alphanumeric() { it } else { '-' }).collect();
    let text = format!("# The wrong variant \"{name}\" breaks here\n# {words}\n{schedule}");
    fs::write(folder.join(file.trim_end_matches('-').replace("--", "-") + ".txt"), text)
        .expect("the folder is there");
}
