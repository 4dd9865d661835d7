//! Proves that the simulator can see: each wrong variant of the core is caught within so many schedules. The core
//! is a copy with switches, woven by `build.rs`; the simulator is compiled against it.

extern crate self as reconciler;

#[expect(dead_code, reason = "what is wrong instead is for build.rs")]
mod table;

use std::{
    env, fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use schedule::{Schedule, family};
use table::FLAWS;

include!(concat!(env!("OUT_DIR"), "/flawed.rs"));

/// A variant that passes so many is not caught.
const MOST: u64 = 200_000;
/// Not caught yet within so many: they are played for less, and nobody asks that they are caught.
const RARE: &[&str] = &[
    "handed over though the former claim was not read",
    "a member of another block counts (C6)",
    "members are not confirmed after a newer read of the claim (C6)",
    "an undone block is freed while a status may name it (C6)",
    "a number that a living claim is promised is free (C7)",
];
/// So many schedules are played of these.
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

#[test]
fn each_wrong_variant_is_caught() {
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let hunt = || {
        let mut caught = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(flaw) = FLAWS.get(number) else { return caught };
            if !MISSING.contains(&flaw.name) {
                flaw::set(number);
                let most = if RARE.contains(&flaw.name) { RARELY } else { MOST };
                let first = (0..most).find_map(|seed| Some((seed, Schedule::of(seed).play().violation?)));
                if let (Some((seed, _)), Some(folder)) = (&first, env::var_os("HOSTPORT_SIM_KEEP")) {
                    keep(flaw.name, *seed, Path::new(&folder));
                }
                eprintln!("{}: {first:?}", flaw.name);
                caught.push((number, first));
            }
        }
    };
    let jobs = thread::available_parallelism().map_or(1, Into::into);
    let mut caught: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(hunt)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no variant panics")).collect()
    });
    caught.sort_by_key(|(number, _)| *number);

    println!("| wrong variant | what fell | schedules |\n|---|---|---|");
    for (number, first) in &caught {
        let name = FLAWS[*number].name;
        match first {
            Some((seed, words)) => println!("| {name} | {} | {} |", family(words), seed + 1),
            None => println!("| {name} | nothing | - |"),
        }
    }
    println!("{:.1?}", begin.elapsed());
    let missed =
        caught.iter().filter(|(number, first)| first.is_none() && !RARE.contains(&FLAWS[*number].name));
    let missed: Vec<_> = missed.map(|(number, _)| FLAWS[*number].name).collect();
    assert!(missed.is_empty(), "not caught within {MOST} schedules: {missed:?}");
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
