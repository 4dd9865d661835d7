//! `cargo simulate`: plays schedules for as long as you like, or one of them in words.

use std::{path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::Context;
use clap::Parser;
use simulator::{Only, Run, Schedule};

/// A schedule makes some thousand small objects and drops them all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plays the core against a model API server, with every fault that the design names, and checks the invariants
/// after every change.
///
/// Ends with the number of schedules, their speed and how often each fault was met; or, at the first schedule that
/// breaks an invariant, with its shrunk trace and exit code 1. A seed is always the same schedule.
#[derive(Parser)]
#[command(name = "simulate", version)]
struct Options {
    /// How long to play
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// Play so many schedules, however long it takes
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    schedules: Option<u64>,
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// Of the seeds play only those whose worlds are small (70 of a hundred)
    #[arg(long)]
    small: bool,
    /// Play only the schedule of --seed and tell all that happens in it
    #[arg(long)]
    trace: bool,
    /// Play a file of crates/simulator/regressions and tell all that happens in it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "seed"])]
    replay: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(file) = &options.replay {
        let name = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        return Ok(tell(&Schedule::parse(&text).with_context(|| format!("{name} is no schedule"))?));
    }
    if options.trace {
        return Ok(tell(&Schedule::of(options.seed)));
    }
    let run = Run {
        seed: options.seed,
        most: options.schedules.unwrap_or(u64::MAX),
        time: if options.schedules.is_some() { Duration::MAX } else { Duration::from_secs(options.seconds) },
        jobs: options.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into)),
        only: if options.small { Only::Small } else { Only::All },
    };
    let summary = run.play();
    print!("{summary}");
    let Some(failure) = &summary.failure else { return Ok(ExitCode::SUCCESS) };
    println!("\n{}", failure.story());
    Ok(ExitCode::FAILURE)
}

fn tell(schedule: &Schedule) -> ExitCode {
    println!("{}", schedule.story());
    ExitCode::from(u8::from(schedule.play().violation.is_some()))
}
