//! One process around a core: what its watches have not told it yet, its requests under way, its clocks.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use reconciler::{
    action::{Action, ActionId, Outcome},
    core::{Config, Core},
    seen::{Change, Event, Now},
};

use crate::{
    judge::Actor,
    server::{KINDS, Server},
};

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
    /// By kind: when it happened, and what.
    pub backlog: [VecDeque<(u64, Event)>; KINDS.len()],
    /// Its watches wait for revisions of a timeline that is gone, since this time.
    pub blind: Option<i64>,
    /// It may know of a timeline that is gone.
    pub outdated: bool,
    pub requests: BTreeMap<ActionId, Request>,
    /// Events and audit lines, in words.
    pub told: Vec<String>,
}

impl Controller {
    /// A process that knows nothing.
    pub fn new(config: Config, now: i64) -> Self {
        Self {
            core: Core::new(config),
            started: now,
            skew: 0,
            backlog: Default::default(),
            blind: None,
            outdated: false,
            requests: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    pub fn now(&self, server: &Server) -> Now {
        let mono = Duration::from_millis((server.now - self.started) as u64);
        Now { wall: server.now + self.skew, mono }
    }

    /// When its next timer rings, in true time.
    pub fn deadline(&self) -> Option<i64> {
        self.core.next_deadline().map(|mono| self.started + mono.as_millis() as i64)
    }

    /// Requests that have landed, or that have not.
    pub fn ids(&self, landed: bool) -> Vec<ActionId> {
        let all = self.requests.iter().filter(|(_, request)| request.outcome.is_some() == landed);
        all.map(|(id, _)| *id).collect()
    }

    /// A write of it is under way.
    pub fn is_writing(&self) -> bool {
        self.requests.values().any(|request| request.outcome.is_none() && is_write(&request.action))
    }

    /// As whom the judge sees it.
    pub fn actor(&self) -> Actor {
        if self.outdated { Actor::Outdated } else { Actor::Controller }
    }

    /// A watch has more to tell.
    pub fn is_behind(&self) -> bool {
        self.backlog.iter().any(|events| !events.is_empty())
    }

    /// This kind's next news is newer than what another kind has still to tell.
    pub fn is_ahead(&self, kind: usize) -> bool {
        let first = |events: &VecDeque<(u64, Event)>| events.front().map(|(revision, _)| *revision);
        let Some(mine) = first(&self.backlog[kind]) else { return false };
        self.backlog.iter().any(|events| first(events).is_some_and(|other| other < mine))
    }

    /// Objects that come and go within what a listing replaces: they are never seen.
    pub fn unseen(&self, kind: usize) -> bool {
        let gone = |event: &Event| {
            matches!(
                event,
                Event::Claim(Change::Deleted(_))
                    | Event::HostPort(Change::Deleted(_))
                    | Event::Class(Change::Deleted(_))
                    | Event::Pod(Change::Deleted(_))
            )
        };
        self.backlog[kind].iter().any(|(_, event)| gone(event))
    }
}

pub fn is_write(action: &Action) -> bool {
    !matches!(
        action,
        Action::GetClaim(_) | Action::GetHostPort(_) | Action::ListSlots(_) | Action::ListPods(_)
    )
}
