//! Time without faults: watches deliver, requests land, replies arrive, timers ring.

use std::time::Duration;

use crate::{controller::Controller, server::KINDS, world::World};

/// More requests than that at one moment: it never rests.
const BUSY: usize = 3000;
/// Rounds that pass in no time.
const LONG: u64 = 20;
/// More requests than that in all.
const ENDLESS: usize = 20_000;

impl World {
    /// One controller hears of everything, of all kinds but this one, and carries its requests through.
    pub fn round(&mut self, index: usize, but: Option<usize>) -> bool {
        let mut busy = false;
        for kind in (0..KINDS.len()).filter(|kind| but != Some(*kind)) {
            busy |= self.deliver(index, kind, usize::MAX) > 0;
        }
        // With no news it looks again only when its timer rings, as a process does.
        if !busy && self.controllers[index].deadline().is_some_and(|at| at <= self.server.now) {
            self.poll(index);
        }
        let ids: Vec<_> = self.controllers[index].requests.keys().copied().collect();
        busy |= !ids.is_empty();
        for id in ids {
            // A process that ended has none of them any more.
            match self.controllers[index].requests.get(&id).map(|it| it.outcome.is_none()) {
                Some(true) => self.land(index, id),
                Some(false) => {}
                None => continue,
            }
            self.reply(index, id);
        }
        busy
    }

    /// Delivers and carries out everything until nothing is left to do at this moment; false if it never ends.
    pub fn quiesce(&mut self) -> bool {
        let limit = self.sent + BUSY;
        for round in 1_u64.. {
            // Two leaders may correct each other's reason for as long as one of them waits for a LIST: requests
            // take time, so that ends.
            if round.is_multiple_of(LONG) {
                self.pass(Duration::from_millis(20 * LONG));
            }
            let mut busy = false;
            for index in 0..self.controllers.len() {
                busy |= self.round(index, None);
            }
            if !busy || self.sent > limit {
                return !busy;
            }
        }
        false
    }

    /// Lets everything work without faults for so long; false if it never rests.
    pub fn run(&mut self, time: Duration) -> bool {
        let end = self.server.now + time.as_millis() as i64;
        let limit = self.sent + ENDLESS;
        loop {
            if !self.quiesce() || self.sent > limit {
                return false;
            }
            if self.server.now >= end {
                return true;
            }
            let next = self.controllers.iter().filter_map(Controller::deadline).min();
            let next = next.unwrap_or(end).clamp(self.server.now + 1, end);
            self.pass(Duration::from_millis((next - self.server.now) as u64));
        }
    }
}
