//! Controllers around one server: their watches lag, their requests are late, repeated or lost, they die.
//! Every change of the store goes through [`World::change`], where the judge looks at it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use reconciler::{
    action::{Action, ActionId, Outcome},
    core::{Config, Core},
    seen::{Event, Now, Pod, Uid},
};

use crate::{
    judge::{Actor, Judge},
    server::Server,
};

pub const KINDS: [&str; 5] = ["claims", "HostPorts", "pods", "Services", "classes"];

/// A request under way; with an outcome once the server has carried it out.
pub struct Request {
    pub action: Action,
    pub outcome: Option<Outcome>,
}

pub struct Controller {
    pub core: Core,
    started: i64,
    /// How far its wall clock is off, milliseconds.
    pub skew: i64,
    pub backlog: [VecDeque<Event>; 5],
    pub requests: BTreeMap<ActionId, Request>,
    /// Events and audit lines, in words.
    pub told: Vec<String>,
}

impl Controller {
    pub fn now(&self, server: &Server) -> Now {
        let mono = Duration::from_millis((server.now - self.started) as u64);
        Now { wall: server.now + self.skew, mono }
    }

    /// When its next timer rings, in true time.
    pub fn deadline(&self) -> Option<i64> {
        self.core.next_deadline().map(|mono| self.started + mono.as_millis() as i64)
    }
}

/// A pod whose creation is in flight inside the API server.
#[derive(Clone, Debug)]
pub struct Admission {
    pub pod: Pod,
    pub claim: Uid,
    /// What is still to be read.
    pub reads: Reads,
    /// It is stored by then or never.
    pub deadline: i64,
    pub excused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    Claim,
    HostPort,
    None,
}

pub struct World {
    pub server: Server,
    pub controllers: Vec<Controller>,
    /// Requests whose sender is gone or has repeated them: they land late or never.
    pub late: Vec<Action>,
    pub admissions: Vec<Admission>,
    pub judge: Judge,
    pub binds_in_flight: usize,
    /// Requests that controllers have sent.
    pub sent: usize,
    /// Those of them that write.
    pub writes: usize,
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
            sent: 0,
            writes: 0,
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
            trace.push(format!(
                "{:>6.1}s  {}",
                (self.server.now % 10_000_000) as f64 / 1000.0,
                words(&self.server)
            ));
        }
    }

    /// Starts a controller that knows nothing.
    pub fn start(&mut self) -> usize {
        let index = self.controllers.len();
        self.controllers.push(Controller {
            core: Core::new(Config { binds_in_flight: self.binds_in_flight, seed: 1 }),
            started: self.server.now,
            skew: 0,
            backlog: Default::default(),
            requests: BTreeMap::new(),
            told: Vec::new(),
        });
        (0..KINDS.len()).for_each(|kind| self.relist(index, kind));
        index
    }

    /// The process dies; each of its requests that has not landed may still land, or not.
    pub fn kill(&mut self, index: usize, survives: impl Fn(usize) -> bool) {
        self.note(|_| format!("controller {index} is killed and starts anew"));
        let fresh = Core::new(Config { binds_in_flight: self.binds_in_flight, seed: self.server.revision });
        let controller = &mut self.controllers[index];
        let lost = std::mem::take(&mut controller.requests);
        let lost = lost.into_values().filter(|request| request.outcome.is_none()).enumerate();
        let lost: Vec<_> = lost.filter(|(at, _)| survives(*at)).map(|(_, request)| request.action).collect();
        controller.core = fresh;
        controller.started = self.server.now;
        self.late.extend(lost.into_iter().filter(is_write));
        (0..KINDS.len()).for_each(|kind| self.relist(index, kind));
    }

    /// A watch breaks and begins again with a listing; events not delivered yet are never seen.
    pub fn relist(&mut self, index: usize, kind: usize) {
        self.controllers[index].backlog[kind] = self.server.listing(kind).into();
    }

    /// Changes the store; the judge looks at it and every watch will tell of it.
    pub fn change<T>(&mut self, actor: Actor, change: impl FnOnce(&mut Server) -> T) -> T {
        self.judge.remember(&self.server);
        let result = change(&mut self.server);
        for changed in std::mem::take(&mut self.server.changes) {
            self.judge.look(&self.server, actor, &changed);
            let (kind, event) = changed.event();
            self.controllers.iter_mut().for_each(|it| it.backlog[kind].push_back(event.clone()));
        }
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
    }

    /// A watch delivers up to so many events; how many there were.
    pub fn deliver(&mut self, index: usize, kind: usize, most: usize) -> usize {
        let count = most.min(self.controllers[index].backlog[kind].len());
        if count == 0 {
            return 0;
        }
        self.note(|_| format!("controller {index} hears of {count} changes of {}", KINDS[kind]));
        let controller = &mut self.controllers[index];
        let events: Vec<_> = controller.backlog[kind].drain(..count).collect();
        events.into_iter().for_each(|event| controller.core.observe(event));
        self.poll(index);
        count
    }

    /// The controller decides; what it asks for is under way.
    pub fn poll(&mut self, index: usize) {
        let now = self.controllers[index].now(&self.server);
        for (id, action) in self.controllers[index].core.poll(now) {
            let controller = &mut self.controllers[index];
            match action {
                Action::Tell(notice) => controller.told.push(format!("{}: {}", notice.reason, notice.note)),
                Action::Audit(audit) => controller.told.push(format!("{:?} {}", audit.deed, audit.port)),
                action => {
                    self.sent += 1;
                    self.writes += usize::from(is_write(&action));
                    self.note(|_| format!("controller {index} asks: {}", words(&action)));
                    self.controllers[index].requests.insert(id, Request { action, outcome: None });
                }
            }
        }
    }

    /// The server carries a request out; the reply is on its way.
    pub fn land(&mut self, index: usize, id: ActionId) {
        let action = self.controllers[index].requests[&id].action.clone();
        let outcome = self.change(Actor::Controller, |server| server.request(&action));
        self.note(|_| {
            format!("controller {index}'s request lands: {} -> {}", words(&action), short(&outcome))
        });
        if let Some(request) = self.controllers[index].requests.get_mut(&id) {
            request.outcome = Some(outcome);
        }
    }

    /// The reply of a request that has landed arrives.
    pub fn reply(&mut self, index: usize, id: ActionId) {
        let controller = &mut self.controllers[index];
        let Some(request) = controller.requests.remove(&id) else { return };
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
        let action = self.late.swap_remove(at);
        let outcome = self.change(Actor::Controller, |server| server.request(&action));
        self.note(|_| format!("late: {} -> {}", words(&action), short(&outcome)));
    }

    /// Delivers and carries out everything until nothing is left to do at this moment; false if it never ends.
    pub fn quiesce(&mut self) -> bool {
        let limit = self.sent + 3000;
        loop {
            let mut busy = false;
            for index in 0..self.controllers.len() {
                for kind in 0..KINDS.len() {
                    busy |= self.deliver(index, kind, usize::MAX) > 0;
                }
                self.poll(index);
                let ids: Vec<_> = self.controllers[index].requests.keys().copied().collect();
                for id in ids {
                    busy = true;
                    if self.controllers[index].requests[&id].outcome.is_none() {
                        self.land(index, id);
                    }
                    self.reply(index, id);
                }
            }
            if !busy || self.sent > limit {
                return !busy;
            }
        }
    }

    /// Lets everything work without faults for so long; false if it never rests.
    pub fn run(&mut self, time: Duration) -> bool {
        let end = self.server.now + time.as_millis() as i64;
        let limit = self.sent + 20_000;
        loop {
            if !self.quiesce() || self.sent > limit {
                return false;
            }
            let next = self.controllers.iter().filter_map(Controller::deadline).min();
            let next = next.unwrap_or(end).clamp(self.server.now + 1, end.max(self.server.now + 1));
            if self.server.now >= end {
                return true;
            }
            self.pass(Duration::from_millis((next - self.server.now) as u64));
        }
    }
}

pub fn is_write(action: &Action) -> bool {
    !matches!(action, Action::GetClaim(_) | Action::GetHostPort(_) | Action::ListPods(_))
}

/// A request in a few words.
pub fn words(action: &Action) -> String {
    match action {
        Action::GetClaim(key) => format!("GET claim {key}"),
        Action::GetHostPort(port) => format!("GET {port}"),
        Action::ListPods(namespace) => {
            format!("LIST pods of {}", namespace.as_ref().map_or("all", Arc::as_ref))
        }
        Action::CreateHostPort(new) => format!("create {} for {}={}", new.port, new.key, new.uid),
        Action::PatchHostPort { port, version, change, .. } => format!("CAS {port}@{version} {change:?}"),
        Action::DeleteHostPort { port, version, .. } => format!("DELETE {port}@{version}"),
        Action::PatchClaimStatus { key, version, status } => {
            let (phase, reason) = (status.phase, status.conditions[0].reason);
            format!("status {key}@{version} {phase:?} {} {reason}", number(status.port))
        }
        Action::PatchFinalizers { key, version, finalizers, .. } => {
            format!("finalizers {key}@{version} {finalizers:?}")
        }
        Action::PatchClassStatus { name, status } => format!("status of class {name} {:?}", status.counts),
        Action::Tell(_) | Action::Audit(_) => String::new(),
    }
}

fn number(port: Option<allocator::Port>) -> String {
    port.map_or("-".to_owned(), |port| port.to_string())
}

/// An outcome in a few words.
pub fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Claim(it) => {
            format!("claim {}={}@{} {:?} {}", it.key, it.uid, it.version, it.phase, number(it.port))
        }
        Outcome::HostPort(it) => {
            let holder = it.holder.as_ref().map_or("nobody".into(), |holder| holder.uid.clone());
            format!("HostPort {}@{} {:?} of {holder}", it.port, it.version, it.phase)
        }
        Outcome::Class(it) => format!("class {}@{}", it.name, it.version),
        Outcome::Pods(pods) => format!("{} pods", pods.len()),
        other => format!("{other:?}"),
    }
}
