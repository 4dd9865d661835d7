//! The core: decides what is to be done and never does it. Told what the watches saw ([`Core::observe`]) and
//! what came of its requests ([`Core::done`]), it says which requests to make ([`Core::poll`]).
//!
//! What it remembers is speed, not safety: a new core that lists everything afresh comes to the same end (I8).
//! Two locks make a grant safe whatever this process believes: the name of the HostPort, created once, and the
//! resourceVersion of the claim that its status is written on.

mod binding;
mod carriers;
mod claims;
mod classes;
mod entitled;
mod jobs;
mod known;
mod members;
mod need;
mod queue;
mod release;
mod restore;
mod rewind;
pub(crate) mod schedule;
mod serving;
mod spread;
mod standby;
mod tell;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use foldhash::HashMap;

use allocator::{Counts, Spot};

use self::{
    binding::Bind,
    carriers::Lists,
    classes::Writing,
    known::Known,
    queue::Queue,
    release::{Sighting, SpotJob},
    restore::Restore,
    schedule::{Dirty, Schedule},
};
use crate::{
    action::{Action, ActionId, Audit, Deed, Notice, Outcome},
    seen::{Event, HostPort, Key, Now, Uid, Version},
};

/// How long to wait before asking again for something that failed without an answer.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a claim's trouble must last before an event tells of it: a class or a claim that is applied in the same
/// breath ends it.
const LASTING: Duration = Duration::from_secs(2);
/// How long to wait before trying again what the API server refused.
const REFUSED: Duration = Duration::from_secs(30);

/// What can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many grants may be under way at once.
    pub binds_in_flight: usize,
    /// Seed of the Random strategy.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { binds_in_flight: 128, seed: 0 }
    }
}

/// A request whose outcome has not been told.
#[derive(Debug)]
struct Asked {
    asker: Asker,
    action: Action,
    /// The object that was known when it was asked for: if it is not there, this one is gone.
    known: Option<(Uid, Version)>,
}

/// Who waits for the outcome of an action.
#[derive(Clone, Debug)]
enum Asker {
    Claim(Key),
    Spot(Spot),
    Class(Arc<str>),
    Carriers(Option<Arc<str>>),
    /// Nobody, but for whether the store was restored.
    Doubt,
}

/// Something that is to be looked at again when its time has come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Alarm {
    Claim(Key),
    Notice(Key),
    Spot(Spot),
    ClassStatus(Arc<str>),
    Carriers(Option<Arc<str>>),
    Again(ActionId),
}

/// What is being done for a claim; one thing at a time.
#[derive(Debug)]
enum ClaimJob {
    /// A Pending claim gets a number.
    Bind(Bind),
    /// A Bound or Lost claim gets its own number back.
    Restore(Restore),
    /// A single write, that is told of afterwards.
    Write { uid: Uid, notice: Option<Notice> },
    /// A read, because what was known turned out to be old.
    Refresh { uid: Uid },
}

/// The state machine.
pub struct Core {
    config: Config,
    known: Known,
    now: Now,
    next_id: u64,
    out: Vec<(ActionId, Action)>,
    asked: BTreeMap<ActionId, Asked>,
    schedule: Schedule<Alarm>,

    claims: Dirty<Key>,
    spots: Dirty<Spot>,
    /// Classes whose waiters may be served.
    hungry: Dirty<Arc<str>>,
    queue: Queue,
    binds: usize,

    claim_jobs: HashMap<Key, ClaimJob>,
    /// Trouble of claims that is to be told if the status still says so, by its digest.
    notices: HashMap<Key, (u64, Notice)>,
    /// Claims that are not looked at before this time.
    resting: HashMap<Key, Duration>,
    /// Numbers that are not looked at before this time.
    resting_spots: HashMap<Spot, Duration>,
    /// Pending claims that hold parts of blocks that cannot be completed now: whatever changes may change that.
    stranded: BTreeSet<Key>,
    spot_jobs: HashMap<Spot, SpotJob>,
    /// Numbers that a claim's job works on.
    locks: HashMap<Spot, Key>,
    sightings: HashMap<Spot, Sighting>,
    lists: Lists,
    class_status: BTreeSet<Arc<str>>,
    class_writes: HashMap<Arc<str>, Writing>,
    /// A read was older than what was known.
    rewound: bool,
}

impl Core {
    /// A core that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            known: Known::new(config.seed),
            config,
            now: Now::default(),
            next_id: 0,
            out: Vec::new(),
            asked: BTreeMap::new(),
            schedule: Schedule::default(),
            claims: Dirty::default(),
            spots: Dirty::default(),
            hungry: Dirty::default(),
            queue: Queue::default(),
            binds: 0,
            claim_jobs: HashMap::default(),
            notices: HashMap::default(),
            resting: HashMap::default(),
            resting_spots: HashMap::default(),
            stranded: BTreeSet::new(),
            spot_jobs: HashMap::default(),
            locks: HashMap::default(),
            sightings: HashMap::default(),
            lists: Lists::default(),
            class_status: BTreeSet::new(),
            class_writes: HashMap::default(),
            rewound: false,
        }
    }

    /// Takes in what a watch told.
    pub fn observe(&mut self, event: Event) {
        self.known.apply(event);
    }

    /// Every kind has been listed: the core decides.
    pub fn is_ready(&self) -> bool {
        self.known.is_complete()
    }

    /// Every namespace that may have only so many ports of a class: class, namespace, how many it has and may have.
    pub fn limited(&self) -> impl Iterator<Item = (&str, &str, usize, usize)> {
        self.known.limited()
    }

    /// Every class: what it has, and how many claims wait for it.
    pub fn classes(&self) -> impl Iterator<Item = (&str, Counts, usize)> {
        let names = self.known.class_names().map(|name| &**name);
        names.map(|name| (name, self.known.counts(name), self.queue.len(name)))
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.asked.len()
    }

    /// How many things are to be looked at later.
    pub fn alarms(&self) -> usize {
        self.schedule.len()
    }

    /// When [`Core::poll`] has something to do even if nothing is told before; time of [`Now::mono`].
    pub fn next_deadline(&self) -> Option<Duration> {
        self.schedule.next()
    }

    /// What to do now. Each action's outcome is to be told by [`Core::done`], but those that need none.
    pub fn poll(&mut self, now: Now) -> Vec<(ActionId, Action)> {
        self.now = now;
        if self.known.is_complete() {
            while let Some(alarm) = self.schedule.due(now.mono) {
                self.ring(alarm);
            }
            while self.decide_one() {}
            self.ask_in_doubt();
            self.start_lists();
            self.write_class_status();
        }
        std::mem::take(&mut self.out)
    }

    /// One decision, if there is one to be taken.
    fn decide_one(&mut self) -> bool {
        self.spread();
        if let Some(key) = self.claims.pop() {
            self.decide_claim(&key);
        } else if let Some(spot) = self.spots.pop() {
            self.decide_spot(spot);
        } else if let Some(class) = self.hungry.pop() {
            self.serve(&class);
        } else {
            return false;
        }
        true
    }

    /// Takes in what came of an action.
    pub fn done(&mut self, id: ActionId, outcome: Outcome, now: Now) {
        self.now = now;
        let pause = match (&outcome, self.asked.get(&id)) {
            // Whether it was done nobody knows; to ask the same again is right either way.
            (Outcome::Failed(_), _) => Some(AGAIN),
            (Outcome::Refused(_), Some(Asked { asker: Asker::Doubt, .. })) => Some(REFUSED),
            _ => None,
        };
        if let Some(pause) = pause {
            return self.schedule.at(now.mono + pause, Alarm::Again(id));
        }
        let Some(asked) = self.asked.remove(&id) else { return };
        self.look_for_rewind(id, &asked, &outcome);
        let Asked { asker, action, known } = asked;
        match (&action, &outcome) {
            (_, Outcome::Claim(claim)) => self.known.learn_claim((**claim).clone(), id),
            (_, Outcome::HostPort(hostport)) => self.known.learn_hostport((**hostport).clone(), id),
            (_, Outcome::HostPorts(found)) => {
                found.iter().for_each(|it| self.known.learn_hostport(it.clone(), id));
            }
            (_, Outcome::Class(class)) => self.known.learn_class((**class).clone(), id),
            (Action::GetClaim(key), Outcome::NotFound) => {
                known.into_iter().for_each(|(uid, _)| self.known.bury_claim(key, &uid));
            }
            (Action::PatchClassStatus { name, .. }, Outcome::NotFound) => {
                known.into_iter().for_each(|(uid, _)| self.known.forget_class(name, &uid));
            }
            (Action::GetHostPort(spot), Outcome::NotFound) => {
                known.into_iter().for_each(|(uid, _)| self.known.bury_hostport(*spot, &uid));
            }
            _ => {}
        }
        self.count_requests();
        match asker {
            Asker::Claim(key) => self.claim_answered(&key, action, outcome),
            Asker::Spot(spot) => self.spot_answered(spot, action, outcome),
            Asker::Class(name) => self.class_answered(&name, &outcome),
            Asker::Carriers(namespace) => self.pods_answered(namespace, outcome),
            Asker::Doubt => {}
        }
    }

    fn ring(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Claim(key) => self.claims.push(key),
            Alarm::Notice(key) => self.tell_if_it_lasts(&key),
            Alarm::Spot(spot) => self.spots.push(spot),
            Alarm::ClassStatus(name) => drop(self.class_status.insert(name)),
            Alarm::Carriers(namespace) => self.lists.ring(namespace),
            Alarm::Again(id) => {
                if let Some(asked) = self.asked.get(&id) {
                    self.out.push((id, asked.action.clone()));
                }
            }
        }
    }

    fn ask(&mut self, asker: Asker, action: Action) {
        let id = ActionId(self.next_id);
        self.next_id += 1;
        let known = self.known_before(&action);
        self.asked.insert(id, Asked { asker, action: action.clone(), known });
        self.out.push((id, action));
        self.count_requests();
    }

    fn count_requests(&mut self) {
        let next = ActionId(self.next_id);
        let oldest = self.asked.first_key_value().map_or(next, |(id, _)| *id);
        self.known.requests(next, oldest);
    }

    /// An action that nobody waits for.
    fn say(&mut self, action: Action) {
        let id = ActionId(self.next_id);
        self.next_id += 1;
        self.out.push((id, action));
    }

    fn audit(&mut self, deed: Deed, hostport: &HostPort) {
        let holder = hostport.holder.as_ref().map(|holder| (holder.key.clone(), holder.uid.clone()));
        self.say(Action::Audit(Audit { deed, spot: hostport.spot, class: hostport.class.clone(), holder }));
    }

    fn is_busy(&self, spot: Spot) -> bool {
        self.spot_jobs.contains_key(&spot) || self.locks.contains_key(&spot)
    }

    fn lock(&mut self, spot: Spot, key: &Key, class: &Arc<str>) {
        self.locks.insert(spot, key.clone());
        self.known.assume(spot, class.clone(), key.namespace.clone());
    }

    fn unlock(&mut self, spot: Spot) {
        self.locks.remove(&spot);
        self.known.unassume(spot);
    }
}
