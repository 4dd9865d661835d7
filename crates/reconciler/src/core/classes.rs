//! A class's status: its counts and conditions, written at most once a second and only if they read
//! differently from what is stored.

use std::{sync::Arc, time::Duration};

use allocator::{Counts, Port, PortRange};

use super::{Alarm, Asker, Core, REFUSED};
use crate::{
    action::{Action, Outcome},
    seen::{Class, Truth},
    text::{self, ClassStatus, Condition},
};

const PAUSE: Duration = Duration::from_secs(1);
/// NodePorts by default, and the source ports of outgoing connections (`ip_local_port_range`).
const RISKY: [(u16, u16); 2] = [(30000, 32767), (32768, 60999)];

/// The last write of a class's status.
#[derive(Debug)]
pub(super) struct Writing {
    under_way: bool,
    not_before: Duration,
    /// Its reply shows the class of which a listing raised doubt.
    clears: bool,
}

impl Core {
    pub(super) fn write_class_status(&mut self) {
        for name in std::mem::take(&mut self.class_status) {
            let Some(class) = self.known.class(&name) else {
                self.class_writes.remove(&name);
                continue;
            };
            match self.class_writes.get(&name) {
                Some(writing) if writing.under_way => continue, // The answer names the class again.
                Some(writing) if writing.not_before > self.now.mono => {
                    self.schedule.at(writing.not_before, Alarm::ClassStatus(name));
                    continue;
                }
                _ => {}
            }
            let status = self.status_of(class);
            if status.digest() == class.status_digest && !self.known.doubted_classes.contains(&name) {
                continue; // I9
            }
            let clears = self.known.doubted_classes.contains(&name);
            let not_before = self.now.mono + PAUSE;
            self.class_writes.insert(name.clone(), Writing { under_way: true, not_before, clears });
            let action = Action::PatchClassStatus { name: name.clone(), status: Box::new(status) };
            self.ask(Asker::Class(name), action);
        }
    }

    pub(super) fn class_answered(&mut self, name: &Arc<str>, outcome: &Outcome) {
        let refused = matches!(outcome, Outcome::Refused(_));
        if let Some(writing) = self.class_writes.get_mut(name) {
            writing.under_way = false;
            if writing.clears && !refused {
                self.known.doubted_classes.remove(name);
            }
            if refused {
                writing.not_before = self.now.mono + REFUSED;
            }
        }
        self.class_status.insert(name.clone());
    }

    fn status_of(&self, class: &Class) -> ClassStatus {
        let counts = self.known.counts(&class.name);
        let pools = self.known.ledger.pools(&class.name).unwrap_or_default().to_owned();
        let conditions = conditions(class, &pools, &counts, self.older_than(class, &counts));
        let since = |condition: &Condition| {
            let stored = class.conditions.iter().find(|(kind, _)| **kind == *condition.kind);
            text::since(stored.map(|(_, ready)| ready), condition.status, self.now.wall)
        };
        let since = conditions.iter().map(since).collect();
        let waiting = self.queue.len(&class.name);
        let band = self.known.ledger.static_band(&class.name);
        let static_band = band.map(|(first, last)| format!("{first}-{last}"));
        ClassStatus { generation: class.generation, pools, static_band, counts, waiting, conditions, since }
    }

    /// The class that owns the lowest number of the pools that this one does not own.
    fn older_than(&self, class: &Class, counts: &Counts) -> Option<&str> {
        if counts.conflict == 0 && !counts.blocked {
            return None;
        }
        let excluded = |port: &Port| class.exclude.iter().any(|range| range.contains(*port));
        let ports = class.pools.iter().flat_map(|pool| pool.iter()).filter(|port| !excluded(port));
        ports.filter_map(|port| self.known.ledger.owner(port)).find(|owner| *owner != &*class.name)
    }
}

/// `older`: a class that owns numbers of the pools.
fn conditions(class: &Class, pools: &str, counts: &Counts, older: Option<&str>) -> Vec<Condition> {
    let older = older.map_or("an older class".to_owned(), |name| format!("the older class \"{name}\""));
    if counts.blocked {
        return blocked_by_scope(pools, &older);
    }
    let conflict = counts.conflict > 0;
    let overlap = format!(
        "Some numbers of the pools belong to {older} and are not granted from this one; the rest is. Take them out of \
         one of the two classes."
    );
    let risky = class.pools.iter().any(|pool| RISKY.iter().any(|(start, end)| overlaps(*pool, *start, *end)));
    let shared = "The pools reach into 30000-32767 (NodePorts by default) or 32768-60999 (source ports of outgoing \
                  connections on Linux): a node may use such a number for something else at any time. Choose other \
                  numbers, or keep them free on the nodes (ip_local_reserved_ports).";
    let (status, reason, message) = match (counts.capacity, conflict, risky) {
        (0, ..) => (
            Truth::False,
            "PoolEmpty",
            format!(
                "Hands out nothing of {pools}: every number is excluded, reserved for Kubernetes (allowReserved) or \
                 belongs to {older}. Extend the pools; claims that wait bind by themselves."
            ),
        ),
        (_, true, _) => (Truth::True, "PoolConflict", format!("Hands out ports {pools}. {overlap}")),
        (_, _, true) => (Truth::True, "RiskyRange", format!("Hands out ports {pools}. {shared}")),
        _ => (Truth::True, "Ready", format!("Hands out ports {pools}.")),
    };
    let mut all = vec![Condition { kind: "Ready", status, reason, message }];
    if conflict {
        let (kind, reason) = ("PoolConflict", "OlderClass");
        all.push(Condition { kind, status: Truth::True, reason, message: overlap });
    }
    if risky {
        let (kind, reason) = ("RiskyRange", "SharedRange");
        all.push(Condition { kind, status: Truth::True, reason, message: shared.to_owned() });
    }
    all
}

/// A number that one class grants and of which another grants slots would be granted by neither safely.
fn blocked_by_scope(pools: &str, older: &str) -> Vec<Condition> {
    let message = format!(
        "Hands out nothing of {pools}: some of the numbers belong to {older} of the other scope, and a number is \
         granted either on all nodes or node by node. What was granted stays. Take the common numbers out of one of the \
         two classes."
    );
    let (status, reason) = (Truth::False, "PoolConflict");
    let ready = Condition { kind: "Ready", status, reason, message: message.clone() };
    vec![ready, Condition { kind: "PoolConflict", status: Truth::True, reason: "OtherScope", message }]
}

fn overlaps(pool: PortRange, start: u16, end: u16) -> bool {
    pool.start().get() <= end && pool.end().get() >= start
}
