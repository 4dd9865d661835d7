//! Repeats the fault tests, each time with another seed, until the time is over or one fails. What each does is a matter
//! of its seed, when things happen is not: a failure may take more than one try to be seen again.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Parser;

/// Repeats the fault tests with new seeds until the time is over; ends at the first failure.
#[derive(Debug, Parser)]
struct Args {
    /// For how long; a round that has begun is finished.
    #[arg(long, env = "HOSTPORT_SOAK_MINUTES", default_value_t = 30, value_name = "N")]
    minutes: u64,

    /// Only tests whose names have one of these in them
    #[arg(default_value = "faults::")]
    tests: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (start, time) = (Instant::now(), Duration::from_secs(args.minutes * 60));
    let mut round = 0;
    while round == 0 || start.elapsed() < time {
        round += 1;
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
        eprintln!("soak: round {round}, seed {seed}, {:.0?} of {time:.0?}", start.elapsed());
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["test", "--package", "e2e", "--test", "e2e", "--", "--nocapture"])
            .args(&args.tests)
            .env("HOSTPORT_SEED", seed.to_string())
            .env("HOSTPORT_SOAK_MINUTES", args.minutes.to_string())
            .status()
            .context("run cargo")?;
        if !status.success() {
            bail!("round {round} failed with seed {seed}; HOSTPORT_SEED={seed} repeats what was done in it");
        }
    }
    eprintln!("soak: {round} rounds in {:.0?}, none failed", start.elapsed());
    Ok(())
}
