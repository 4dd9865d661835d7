//! A schedule: a cluster and a list of steps. By seed, or from a file; played, shrunk, told in words.

use std::fmt;

use crds::ReclaimPolicy;

use crate::{
    faults::Tally,
    random::Random,
    setup::{Setup, Size},
    step::{Kind, Often, Step},
    world::World,
};

/// Sets the draws of scopes apart from all others.
const SCOPES: u64 = 0x5c0_9e50_f900_d01e;

/// A cluster and what happens to it. Its text form is what `regressions/` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// What came of a schedule.
#[derive(Clone, Debug)]
pub struct Report {
    /// The first invariant that was broken, and how.
    pub violation: Option<String>,
    /// The faults that it met.
    pub faults: Tally,
    /// Requests of controllers.
    pub requests: usize,
}

impl Schedule {
    /// All that follows from a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut scopes = Random::new(seed ^ SCOPES);
        let size = Size::of(&mut random);
        let mut kinds: Vec<(Kind, usize)> = Vec::with_capacity(Kind::ALL.len());
        let setup = Setup::of(&mut random, size, &mut scopes);
        let busy = random.below(4) + 1;
        for &(kind, weight, often) in Kind::ALL {
            match often {
                Often::Always => kinds.push((kind, weight)),
                // Without it nobody ever gets what a class retains.
                _ if kind == Kind::ClearClaimRef && setup.policy == ReclaimPolicy::Retain => {
                    kinds.push((kind, weight * 3));
                }
                // The few steps of a small world must meet it, too.
                Often::Sometimes if random.below(8) < busy => {
                    let more = random.of(if size == Size::Small { &[1, 4, 8] } else { &[1, 1, 4] });
                    kinds.push((kind, weight * more));
                }
                Often::Sometimes => {}
            }
        }
        let total = kinds.iter().map(|(_, weight)| weight).sum();
        let (_, _, fewest, most) = size.bounds();
        let length = fewest + random.below(most - fewest);
        let steps = (0..length).map(|_| {
            let mut at = random.below(total);
            let kind = kinds.iter().find(|(_, weight)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            });
            let choice = random.next();
            Step { kind: kind.expect("weights add up").0, a: (choice >> 16) as u16, b: (choice >> 32) as u16 }
        });
        let steps = steps.collect();
        Self { setup, steps }
    }

    /// Whether the world of this seed is small.
    pub fn is_small(seed: u64) -> bool {
        Size::of(&mut Random::new(seed)) == Size::Small
    }

    /// Whether a class of scope Node is in the world of this seed.
    pub fn has_slots(seed: u64) -> bool {
        Setup::draws_node(&mut Random::new(seed ^ SCOPES))
    }

    /// Plays it and lets it come to rest.
    pub fn play(&self) -> Report {
        let world = self.in_world(self.setup.world(&self.steps));
        Report { violation: world.judge.violation, faults: world.tally, requests: world.sent }
    }

    /// Plays it and tells what happened, a line each.
    pub fn trace(&self) -> Vec<String> {
        self.in_world(self.setup.world(&self.steps).traced()).trace().to_vec()
    }

    fn in_world(&self, mut world: World) -> World {
        for step in &self.steps {
            self.setup.step(&mut world, *step);
            if world.judge.violation.is_some() {
                return world;
            }
        }
        world.settle();
        if self.setup.forget && world.judge.violation.is_none() {
            world.forget_all();
        }
        world
    }

    /// A shorter schedule that breaks the same invariant, with smaller numbers where they do not matter.
    #[must_use]
    pub fn shrunk(&self) -> Schedule {
        let invariant = |report: Report| report.violation.map(|words| family(&words).to_owned());
        let wanted = invariant(self.play());
        let fails = |schedule: &Schedule| invariant(schedule.play()) == wanted;
        let mut best = self.clone();
        if wanted.is_none() {
            return best;
        }
        loop {
            let before = best.clone();
            best.thin_out(&fails);
            best.simplify(&fails);
            if best == before {
                return best;
            }
        }
    }

    fn thin_out(&mut self, fails: &impl Fn(&Schedule) -> bool) {
        let mut chunk = self.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.steps.len() {
                let mut shorter = self.clone();
                shorter.steps.drain(at..(at + chunk).min(shorter.steps.len()));
                if fails(&shorter) { *self = shorter } else { at += chunk }
            }
            chunk /= 2;
        }
    }

    fn simplify(&mut self, fails: &impl Fn(&Schedule) -> bool) {
        let tried = |simpler: Schedule, best: &mut Schedule| {
            if simpler != *best && fails(&simpler) {
                *best = simpler;
            }
        };
        for (name, value) in Setup::default().words() {
            let mut simpler = self.clone();
            simpler.setup.set(name, &value);
            tried(simpler, self);
        }
        for at in 0..self.steps.len() {
            for few in 0..8 {
                let Step { kind, a, b } = self.steps[at];
                for step in [Step { kind, a: few.min(a), b }, Step { kind, a, b: few.min(b) }] {
                    let mut simpler = self.clone();
                    simpler.steps[at] = step;
                    if step.a < a || step.b < b {
                        tried(simpler, self);
                    }
                }
            }
        }
    }

    /// Reads the text form: lines of "set NAME VALUE" and "KIND A B"; `#` begins a comment.
    ///
    /// # Errors
    /// Says which line is not understood.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut schedule = Self { setup: Setup::default(), steps: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let words: Vec<_> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let understood = match words[..] {
                [] => true,
                ["set", name, value] => schedule.setup.set(name, value),
                [kind, a, b] => match (Kind::named(kind), a.parse(), b.parse()) {
                    (Some(kind), Ok(a), Ok(b)) => {
                        schedule.steps.push(Step { kind, a, b });
                        true
                    }
                    _ => false,
                },
                _ => false,
            };
            anyhow::ensure!(understood, "line {}: {line:?} is not understood", number + 1);
        }
        Ok(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Setup::default().words();
        let unusual = self.setup.words().into_iter().zip(usual).filter(|(this, usual)| this != usual);
        unusual.map(|(this, _)| this).try_for_each(|(name, value)| writeln!(f, "set {name} {value}"))?;
        self.steps.iter().try_for_each(|Step { kind, a, b }| writeln!(f, "{kind:?} {a} {b}"))
    }
}

/// "I3" of "I3: pod …".
pub(crate) fn family(violation: &str) -> &str {
    violation.split(':').next().unwrap_or(violation)
}
