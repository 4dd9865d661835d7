//! What goes wrong on the way to the API server, in a few words: which calls, how often, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::proxy::{Call, Fate};
use super::world::Rng;

/// Which calls a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Writes,
    Watches,
    /// Reads and writes.
    Requests,
}

/// How many of them it strikes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Often {
    /// The third, the sixth, …
    Every(usize),
    /// By the dice.
    Percent(usize),
    /// These first ones.
    First(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    which: Which,
    path: &'static str,
    often: Often,
    fate: Fate,
    seen: usize,
}

/// A rule for calls whose path has this part.
pub(super) fn rule(which: Which, path: &'static str, often: Often, fate: Fate) -> Rule {
    Rule { which, path, often, fate, seen: 0 }
}

/// How often each rule has struck, by its number.
#[derive(Clone, Default)]
pub(super) struct Struck(Arc<Mutex<BTreeMap<usize, usize>>>);

impl Struck {
    pub(super) fn by(&self, rule: usize) -> usize {
        self.0.lock().get(&rule).copied().unwrap_or_default()
    }
}

/// Judges calls by these rules: the first that strikes counts. Also returns how often they do.
pub(super) fn judge(
    mut rules: Vec<Rule>,
    mut rng: Rng,
) -> (impl FnMut(&Call) -> Fate + Send + 'static, Struck) {
    let struck = Struck::default();
    let counts = struck.clone();
    let judge = move |call: &Call| {
        for (number, rule) in rules.iter_mut().enumerate() {
            if rule.strikes(call, &mut rng) {
                *counts.0.lock().entry(number).or_default() += 1;
                return rule.fate;
            }
        }
        Fate::Pass
    };
    (judge, struck)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} of {:?}", self.fate, self.often, self.which)
    }
}

impl Rule {
    fn strikes(&mut self, call: &Call, rng: &mut Rng) -> bool {
        let concerns = match self.which {
            Which::Watches => call.is_watch(),
            Which::Writes => call.is_write(),
            Which::Requests => !call.is_watch(),
        };
        if !concerns || !call.path.contains(self.path) {
            return false;
        }
        self.seen += 1;
        match self.often {
            Often::Every(each) => self.seen.is_multiple_of(each),
            Often::Percent(percent) => rng.below(100) < percent,
            Often::First(first) => self.seen <= first,
        }
    }
}
