//! A process that watches while another one decides. It keeps what is known, and nothing of what that might have
//! changed: who begins to lead looks at everything once.

use super::Core;
use crate::action::ActionId;

impl Core {
    /// In place of [`Core::poll`] while another process leads: what was told is known, and not to be looked at.
    pub fn stand_by(&mut self) {
        self.known.touched.clear();
        // No request is under way, so nobody tells late of what is gone.
        let next = ActionId(self.next_id);
        self.known.requests(next, next);
    }

    /// This process leads from now on: everything is to be looked at.
    pub fn lead(&mut self) {
        self.known.touch_all();
    }
}

#[cfg(test)]
#[path = "standby_tests.rs"]
mod tests;
