//! The lines of a class: who waits gets the next number, or hears why there is none.

use std::sync::Arc;

use allocator::{Scope, Spot};

use super::Core;
use crate::{
    seen::{Claim, Run},
    text::Trouble,
};

impl Core {
    /// Serves the lines of a class while there are numbers and room: the largest blocks first, for which there is
    /// the least room.
    pub(super) fn serve(&mut self, class: &Arc<str>) {
        for count in self.queue.counts(class) {
            while self.queue.has_waiters(class, count) {
                if self.binds >= self.config.binds_in_flight {
                    return; // The end of each of them names the line again.
                }
                let Some(run) = self.pick(class, count) else { break };
                let Some(key) = self.queue.next(class, count) else { break };
                self.class_status.insert(class.clone());
                let Some(claim) = self.known.claim(&key).cloned() else { continue };
                if self.claim_jobs.contains_key(&key) {
                    continue; // The end of its job names it again.
                }
                if !self.stands_in_line(&claim, class, count) {
                    self.claims.push(key);
                    continue;
                }
                self.bind_run(&claim, class.clone(), run);
            }
            self.tell_exhausted(class, count);
        }
    }

    /// The claim is the one that joined the line: not another of that name, made since, that asks for something else.
    fn stands_in_line(&self, claim: &Claim, class: &Arc<str>, count: u16) -> bool {
        let of_class = matches!(self.class_for(claim), Ok(Some(its)) if its == *class);
        claim.is_pending() && !claim.deleting && claim.wanted.is_none() && claim.count == count && of_class
    }

    /// The next number of the class, or the first of so many.
    fn pick(&mut self, class: &Arc<str>, count: u16) -> Option<Run> {
        let idle = |spot: &Spot| {
            let other = self.known.other_form_stands(*spot);
            !other && !self.is_busy(*spot) && !self.known.foreign_to(*spot, "")
        };
        let available = (count == 1).then(|| self.known.available(class).find(idle)).flatten();
        if let Some(Scope::Node { .. }) = self.known.ledger.scope(class) {
            return available
                .or_else(|| self.known.ledger.pick_slot(class))
                .and_then(|spot| Run::at(spot, count));
        }
        if let Some(spot) = available {
            return Run::at(spot, count);
        }
        self.known.ledger.pick_run(class, count.into()).and_then(|first| Run::new(first, count))
    }

    fn tell_exhausted(&mut self, class: &Arc<str>, count: u16) {
        let pools = self.known.ledger.pools(class).unwrap_or_default().to_owned();
        for key in self.queue.take_untold(class, count) {
            if let Some(claim) = self.known.claim(&key).cloned()
                && !self.claim_jobs.contains_key(&key)
            {
                let trouble = self.exhausted(class, &pools, count);
                self.tell(&claim, Some(class.clone()), trouble);
            }
        }
    }

    /// Why the class has nothing to give.
    fn exhausted(&self, class: &Arc<str>, pools: &str, count: u16) -> Trouble {
        let counts = self.known.ledger.counts(class);
        match self.known.ledger.scope(class) {
            _ if counts.blocked => Trouble::class_blocked(class, pools),
            _ if counts.capacity == 0 => Trouble::class_empty(class, pools),
            Some(Scope::Node { most: Some(most) }) => Trouble::slots_exhausted(class, pools, most),
            _ => Trouble::pool_exhausted(class, pools, count),
        }
    }
}
