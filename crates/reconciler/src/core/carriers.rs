//! The consistent LIST of pods, shared: one per namespace and second, for all who ask within it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use allocator::Spot;

use super::{Alarm, Asker, Core};
use crate::{
    action::{Action, Outcome},
    seen::{Key, Pod},
};

const PAUSE: Duration = Duration::from_secs(1);

/// Who wants to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Curious {
    Claim(Key),
    Spot(Spot),
}

#[derive(Debug, Default)]
struct List {
    /// They asked before the LIST under way began.
    served: BTreeSet<Curious>,
    /// They asked later: that LIST may be too old for them.
    waiting: BTreeSet<Curious>,
    under_way: bool,
    resting: bool,
}

/// The LISTs, by namespace; `None` is all namespaces.
#[derive(Debug, Default)]
pub(super) struct Lists(BTreeMap<Option<Arc<str>>, List>);

impl Lists {
    /// Asks for a LIST that begins after this moment.
    pub(super) fn want(&mut self, namespace: Option<Arc<str>>, who: Curious) {
        self.0.entry(namespace).or_default().waiting.insert(who);
    }

    pub(super) fn ring(&mut self, namespace: Option<Arc<str>>) {
        if let Some(list) = self.0.get_mut(&namespace) {
            list.resting = false;
            if list.waiting.is_empty() && !list.under_way {
                self.0.remove(&namespace);
            }
        }
    }
}

impl Core {
    pub(super) fn start_lists(&mut self) {
        let mut starts = Vec::new();
        for (namespace, list) in &mut self.lists.0 {
            if !list.waiting.is_empty() && !list.under_way && !list.resting {
                list.served = std::mem::take(&mut list.waiting);
                list.under_way = true;
                list.resting = true;
                starts.push(namespace.clone());
            }
        }
        for namespace in starts {
            self.schedule.at(self.now.mono + PAUSE, Alarm::Carriers(namespace.clone()));
            self.ask(Asker::Carriers(namespace.clone()), Action::ListPods(namespace));
        }
    }

    pub(super) fn pods_answered(&mut self, namespace: Option<Arc<str>>, outcome: Outcome) {
        let Some(list) = self.lists.0.get_mut(&namespace) else { return };
        list.under_way = false;
        let served = std::mem::take(&mut list.served);
        let pods = if let Outcome::Pods(pods) = outcome { Ok(pods) } else { Err(outcome) };
        let pods: Result<&[Pod], &Outcome> = pods.as_deref();
        for who in served {
            match who {
                Curious::Claim(key) => self.claim_sees_pods(&key, pods),
                Curious::Spot(spot) => self.spot_sees_pods(spot, pods),
            }
        }
    }
}
