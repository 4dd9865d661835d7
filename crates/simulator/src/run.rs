//! Plays schedules by the thousand, on several threads, until the time is up or one fails.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    faults::Tally,
    schedule::{Report, Schedule},
};

/// Seeds that a thread takes at a time.
const BATCH: u64 = 32;

/// Which schedules to play.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The first seed; the others follow it.
    pub seed: u64,
    /// No more schedules than that.
    pub most: u64,
    /// No longer than that.
    pub time: Duration,
    /// Threads.
    pub jobs: usize,
    /// Which of these seeds.
    pub only: Only,
}

/// A choice of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// All.
    All,
    /// Those whose worlds are small.
    Small,
    /// Those without a class of scope Node.
    Cluster,
}

impl Only {
    fn leaves_out(self, seed: u64) -> bool {
        match self {
            Only::All => false,
            Only::Small => !Schedule::is_small(seed),
            Only::Cluster => Schedule::has_slots(seed),
        }
    }
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Schedules played.
    pub schedules: u64,
    /// Those of them whose worlds are small, and how long their threads were at them in all.
    pub small: (u64, Duration),
    /// Requests that controllers made in them.
    pub requests: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The faults that they met.
    pub faults: Tally,
    /// The first that broke an invariant.
    pub failure: Option<Failure>,
}

/// A seed that breaks an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Plays it again.
    pub seed: u64,
    /// What was broken.
    pub violation: String,
}

impl Run {
    /// Plays them; ends early with the first that fails.
    pub fn play(self) -> Summary {
        let begin = Instant::now();
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = Mutex::new(Summary::default());
        let work = || {
            let mut mine = Summary::default();
            while !failed.load(Ordering::Relaxed) && begin.elapsed() < self.time {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                let to = (from + BATCH).min(self.most);
                for seed in (from..to).map(|at| self.seed.wrapping_add(at)) {
                    if self.only.leaves_out(seed) {
                        continue;
                    }
                    let is_small = Schedule::is_small(seed);
                    let begin = Instant::now();
                    let report = Schedule::of(seed).play();
                    mine.add(seed, &report);
                    if is_small {
                        mine.small = (mine.small.0 + 1, mine.small.1 + begin.elapsed());
                    }
                    if mine.failure.is_some() {
                        failed.store(true, Ordering::Relaxed);
                        break;
                    }
                }
                if from >= self.most {
                    break;
                }
            }
            total.lock().merge(mine);
        };
        thread::scope(|scope| (0..self.jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
        let mut total = total.into_inner();
        total.elapsed = begin.elapsed();
        total
    }
}

impl Summary {
    fn add(&mut self, seed: u64, report: &Report) {
        self.schedules += 1;
        self.requests += report.requests as u64;
        self.faults += &report.faults;
        if let Some(violation) = &report.violation {
            self.failure = Some(Failure { seed, violation: violation.clone() });
        }
    }

    fn merge(&mut self, other: Summary) {
        self.schedules += other.schedules;
        self.requests += other.requests;
        self.small = (self.small.0 + other.small.0, self.small.1 + other.small.1);
        self.faults += &other.faults;
        let earlier = |mine: &Failure| other.failure.as_ref().is_none_or(|others| mine.seed <= others.seed);
        if !self.failure.as_ref().is_some_and(earlier) {
            self.failure = other.failure;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let speed = self.schedules as f64 / seconds.max(0.001);
        writeln!(f, "{} schedules in {seconds:.1} s, {speed:.0} a second", self.schedules)?;
        let (small, time) = self.small;
        let speed = small as f64 / time.as_secs_f64().max(0.001);
        writeln!(f, "{small:>14}  of them in small worlds, {speed:.0} a second for each core")?;
        writeln!(f, "{:>14}  requests of controllers; what they met:", self.requests)?;
        write!(f, "{}", self.faults)
    }
}

impl Failure {
    /// What to print: the trace of the shrunk schedule, and how to keep it.
    pub fn story(&self) -> String {
        let whole = Schedule::of(self.seed);
        let shrunk = whole.shrunk();
        format!(
            "seed {}: {}\nshrunk from {} steps to {}:\n\n{}\n",
            self.seed,
            self.violation,
            whole.steps.len(),
            shrunk.steps.len(),
            shrunk.story()
        )
    }
}

impl Schedule {
    /// What happens in it, what it breaks, and its text form.
    pub fn story(&self) -> String {
        let violation = self.play().violation.unwrap_or_else(|| "no invariant is broken".to_owned());
        let trace = self.trace().join("\n");
        format!(
            "{trace}\n=> {violation}\n\nTo keep it, put this into crates/simulator/regressions/NAME.txt:\n\n{self}"
        )
    }
}
