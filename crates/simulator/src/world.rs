//! Controllers around one server: their watches lag, their requests are late, repeated or lost, they die.
//! Every change of the store goes through [`World::change`], where the judge looks at it.

use std::{collections::BTreeSet, time::Duration};

use reconciler::{
    action::{Action, ActionId, Outcome},
    core::Config,
    seen::Key,
};

use crate::{
    admission::Admission,
    controller::{Controller, Request, is_write},
    faults::{Fault, Tally},
    judge::{Actor, Judge},
    server::{KINDS, Server, Store},
    words::{short, words},
};

/// The watchdog asks every 30 s whether the store has been restored.
const WATCHDOG: i64 = 30_000;
/// Longer than the core waits for a LIST of pods to be shared.
const LIST_PAUSE: i64 = 2_000;

pub struct World {
    pub server: Server,
    pub controllers: Vec<Controller>,
    /// Requests whose sender is gone or has repeated them: they land late or never.
    pub late: Vec<(Action, Actor)>,
    pub admissions: Vec<Admission>,
    pub judge: Judge,
    pub binds_in_flight: usize,
    /// Each controller draws its own lots.
    pub own_lots: bool,
    /// Requests that controllers have sent.
    pub sent: usize,
    /// Those of them that write.
    pub writes: usize,
    pub tally: Tally,
    /// Names that claims have had.
    pub names: BTreeSet<Key>,
    /// The store was restored once.
    restored: bool,
    /// What an administrator can restore, with the judge's knowledge of that time.
    backup: Option<(Store, Judge)>,
    trace: Option<Vec<String>>,
}

impl World {
    pub fn new() -> Self {
        Self {
            server: Server::new(),
            controllers: Vec::new(),
            late: Vec::new(),
            admissions: Vec::new(),
            judge: Judge::default(),
            binds_in_flight: 128,
            own_lots: false,
            sent: 0,
            writes: 0,
            tally: Tally::default(),
            names: BTreeSet::new(),
            backup: None,
            restored: false,
            trace: None,
        }
    }

    /// Writes down in words what happens from now on.
    pub fn traced(mut self) -> Self {
        self.trace = Some(Vec::new());
        self
    }

    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub fn note(&mut self, words: impl FnOnce(&Server) -> String) {
        if let Some(trace) = &mut self.trace {
            let seconds = (self.server.now % 10_000_000) as f64 / 1000.0;
            trace.push(format!("{seconds:>6.1}s  {}", words(&self.server)));
        }
    }

    /// Starts a controller that knows nothing.
    pub fn start(&mut self) -> usize {
        let index = self.controllers.len();
        let seed = if self.own_lots { 1 + index as u64 } else { 1 };
        let config = Config { binds_in_flight: self.binds_in_flight, seed };
        self.controllers.push(Controller::new(config, self.server.now));
        (0..KINDS.len()).for_each(|kind| self.relist(index, kind));
        index
    }

    /// The process dies; each of its requests that has not landed may still land, or not.
    pub fn kill(&mut self, index: usize, survives: impl Fn(usize) -> bool) {
        self.note(|_| format!("controller {index} is killed and starts anew"));
        let config = Config { binds_in_flight: self.binds_in_flight, seed: self.server.revision() };
        let fresh = Controller::new(config, self.server.now);
        let dead = std::mem::replace(&mut self.controllers[index], fresh);
        if !dead.requests.is_empty() {
            self.tally.hit(Fault::Killed);
        }
        let actor = dead.actor();
        let controller = &mut self.controllers[index];
        (controller.skew, controller.told) = (dead.skew, dead.told);
        let lost = dead.requests.into_values().filter(|request| request.outcome.is_none()).enumerate();
        let lost = lost.filter(|(at, _)| survives(*at)).map(|(_, request)| request.action);
        self.late.extend(lost.filter(is_write).map(|action| (action, actor)));
        (0..KINDS.len()).for_each(|kind| self.relist(index, kind));
    }

    /// A watch breaks and begins again with a listing; events not delivered yet are never seen.
    pub fn relist(&mut self, index: usize, kind: usize) {
        let now = self.server.revision();
        let backlog = &mut self.controllers[index].backlog[kind];
        backlog.clear();
        self.server.list(kind, |event| backlog.push_back((now, event)));
    }

    /// Keeps the store as it is, to be restored one day.
    pub fn back_up(&mut self) {
        self.note(|_| "admin takes a backup of the store".to_owned());
        self.backup = Some((self.server.backup(), self.judge.clone()));
    }

    /// All API servers end, the store is as it was at the backup, API servers start: what was in flight is gone. Watches
    /// wait for a revision that is in the future, until the watchdog ends their process; or, `bumped`, revisions go on
    /// upwards and every watch lists anew (`etcdutl snapshot restore --bump-revision … --mark-compacted`).
    pub fn restore(&mut self, bumped: bool) {
        let Some((store, judge)) = self.backup.clone() else { return };
        let how = if bumped { ", with higher revisions" } else { "" };
        self.note(|_| format!("admin restores the store from the backup{how}"));
        self.tally.hit(if bumped { Fault::RestoredBumped } else { Fault::Restored });
        self.restored = true;
        self.server.restore(store, bumped);
        self.judge.restore(judge, &self.server);
        self.late.clear();
        self.admissions.clear();
        for index in 0..self.controllers.len() {
            // What was answered has been read by the time that new API servers serve new lists.
            for id in self.controllers[index].ids(true) {
                self.reply(index, id);
            }
            let controller = &mut self.controllers[index];
            controller.backlog = Default::default();
            controller.outdated = true;
            if !bumped {
                controller.blind.get_or_insert(self.server.now);
            } else if controller.blind.is_none() {
                (0..KINDS.len()).for_each(|kind| self.relist(index, kind));
            }
        }
        for index in 0..self.controllers.len() {
            for id in self.controllers[index].ids(false) {
                self.answer(index, id, Outcome::Failed("connection refused".to_owned()));
            }
        }
    }

    /// Ends processes whose watchdog has seen that the store was restored.
    pub fn end_blind(&mut self, now: i64) {
        for index in 0..self.controllers.len() {
            if self.controllers[index].blind.is_some_and(|since| since + WATCHDOG <= now) {
                self.kill(index, |_| true);
            }
        }
    }

    /// Changes the store; the judge looks at it and every watch will tell of it.
    pub fn change<T>(&mut self, actor: Actor, change: impl FnOnce(&mut Server) -> T) -> T {
        self.judge.remember(&self.server);
        let result = change(&mut self.server);
        let revision = self.server.revision();
        let mut changes = std::mem::take(&mut self.server.changes);
        for changed in changes.drain(..) {
            self.judge.look(&self.server, actor, &changed);
            let (kind, event) = changed.into_event();
            let mut watching = self.controllers.iter_mut().filter(|it| it.blind.is_none());
            if let Some(last) = watching.next_back() {
                watching.for_each(|it| it.backlog[kind].push_back((revision, event.clone())));
                last.backlog[kind].push_back((revision, event));
            }
        }
        self.server.changes = changes;
        if let Some(words) = self.server.refused.pop() {
            self.judge.accuse(format!("a controller's write broke a validation rule: {words}"));
        }
        result
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.judge.remember(&self.server);
        self.server.now += time.as_millis() as i64;
        self.judge.remember(&self.server);
        self.end_blind(self.server.now);
    }

    /// A watch delivers up to so many events; how many there were.
    pub fn deliver(&mut self, index: usize, kind: usize, most: usize) -> usize {
        let controller = &mut self.controllers[index];
        let count = most.min(controller.backlog[kind].len());
        if count == 0 {
            return 0;
        }
        if controller.core.is_ready() && controller.is_ahead(kind) {
            self.tally.hit(Fault::OutOfOrder);
        }
        self.note(|_| format!("controller {index} hears of {count} changes of {}", KINDS[kind]));
        let controller = &mut self.controllers[index];
        for (_, event) in controller.backlog[kind].drain(..count) {
            controller.core.observe(event);
        }
        self.poll(index);
        count
    }

    /// The controller decides; what it asks for is under way.
    ///
    /// # Panics
    /// It wants to be asked again at once: its process would never sleep.
    pub fn poll(&mut self, index: usize) {
        let now = self.controllers[index].now(&self.server);
        for (id, action) in self.controllers[index].core.poll(now) {
            match action {
                Action::Tell(_) | Action::Audit(_) if self.trace.is_none() => {}
                Action::Tell(notice) => {
                    self.controllers[index].told.push(format!("{}: {}", notice.reason, notice.note));
                }
                Action::Audit(audit) => {
                    self.controllers[index].told.push(format!("{:?} {}", audit.deed, audit.spot));
                }
                action => {
                    self.sent += 1;
                    self.note(|_| format!("controller {index} asks: {}", words(&action)));
                    if is_write(&action) {
                        self.writes += 1;
                        self.weigh(index);
                    }
                    self.controllers[index].requests.insert(id, Request { action, outcome: None });
                }
            }
        }
        if self.controllers[index].core.is_rewound() {
            if !self.restored {
                self.judge.accuse(format!("rewind: controller {index} takes the store for restored"));
            }
            return self.kill(index, |_| true);
        }
        let next = self.controllers[index].core.next_deadline();
        assert!(next.is_none_or(|at| at > now.mono), "controller {index} would never sleep");
        self.close_limits(index);
    }

    /// It has heard of everything, and nothing that it decided before that is under way: limits hold from now on.
    fn close_limits(&mut self, index: usize) {
        let controller = &self.controllers[index];
        // A grant under way may also wait for the next LIST, of which there is at most one a second.
        let lists = controller.deadline().is_some_and(|at| at <= self.server.now + LIST_PAUSE);
        if !controller.is_behind() && controller.requests.is_empty() && !lists {
            self.judge.limits_open = false;
        }
    }

    /// What stood against the decision for a write.
    fn weigh(&mut self, index: usize) {
        let controller = &self.controllers[index];
        let others = self.controllers.iter().enumerate().filter(|(at, _)| *at != index);
        let two = others.map(|(_, other)| other).any(Controller::is_writing);
        let met = [
            (Fault::Behind, controller.is_behind()),
            (Fault::Blind, controller.outdated),
            (Fault::ClocksApart, controller.skew != 0),
            (Fault::TwoLeaders, two),
        ];
        met.iter().filter(|(_, met)| *met).for_each(|(fault, _)| self.tally.hit(*fault));
    }

    /// The server carries a request out; the reply is on its way.
    pub fn land(&mut self, index: usize, id: ActionId) {
        let Some(Request { action, .. }) = self.controllers[index].requests.remove(&id) else { return };
        let actor = self.controllers[index].actor();
        let outcome = self.carry_out(&action, actor);
        self.note(|_| {
            format!("controller {index}'s request lands: {} -> {}", words(&action), short(&outcome))
        });
        self.controllers[index].requests.insert(id, Request { action, outcome: Some(outcome) });
    }

    fn carry_out(&mut self, action: &Action, actor: Actor) -> Outcome {
        let outcome = if is_write(action) {
            self.change(actor, |server| server.request(action))
        } else {
            self.server.request(action)
        };
        match outcome {
            Outcome::Conflict => self.tally.hit(Fault::Conflict),
            Outcome::Exists => self.tally.hit(Fault::Exists),
            _ => {}
        }
        outcome
    }

    /// The reply of a request that has landed arrives.
    pub fn reply(&mut self, index: usize, id: ActionId) {
        let Some(request) = self.controllers[index].requests.remove(&id) else { return };
        let outcome = request.outcome.expect("a reply comes after the request has landed");
        self.answer(index, id, outcome);
    }

    /// Tells a controller what came of a request.
    pub fn answer(&mut self, index: usize, id: ActionId, outcome: Outcome) {
        self.note(|_| format!("controller {index} takes the reply: {}", short(&outcome)));
        let controller = &mut self.controllers[index];
        controller.requests.remove(&id);
        let now = controller.now(&self.server);
        controller.core.done(id, outcome, now);
        self.poll(index);
    }

    /// A request whose sender does not wait any more lands.
    pub fn land_late(&mut self, at: usize) {
        let (action, actor) = self.late.swap_remove(at);
        self.tally.hit(Fault::LateWrite);
        let outcome = self.carry_out(&action, actor);
        self.note(|_| format!("late: {} -> {}", words(&action), short(&outcome)));
    }
}
