//! Claims that admission made. A pod adopts those that were made for it alone; one that nobody has adopted goes when
//! no pod with it can be on its way any more; one that was made by name goes when its StatefulSet was scaled down,
//! if that was asked for. Claims that users applied are never looked at (I6).
//!
//! As the core it decides and never does it, and what it remembers is speed: a removal hits only the version that
//! this process has known for as long as a create can be in flight, after a consistent look at the pods.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    action::{Action, ActionId, Outcome},
    core::schedule::{Dirty, Schedule},
    seen::{Change, Claim, Event, Key, Made, Ordinal, Own, Owner, Pod, Uid, Version},
};

/// A pod that was admitted with a claim is stored within this time, or never; as the core has it.
const IN_FLIGHT: Duration = Duration::from_secs(40);
/// How long to wait before deciding anew after a request without an answer.
const AGAIN: Duration = Duration::from_secs(2);
/// How long to wait after the API server has refused something.
const REFUSED: Duration = Duration::from_secs(30);
/// A StatefulSet whose pod is not there is looked at this often.
const LOOK: Duration = Duration::from_secs(30);
/// The LISTs of a namespace's pods begin so far apart.
const PAUSE: Duration = Duration::from_secs(1);

/// A claim that admission made.
#[derive(Debug)]
struct Tended {
    uid: Uid,
    version: Version,
    deleting: bool,
    made: Arc<Made>,
    /// When this process first saw this version.
    since: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Alarm {
    Claim(Key),
    List(Arc<str>),
}

/// The LIST of a namespace's pods, shared by all who ask within a second.
#[derive(Debug, Default)]
struct List {
    /// They asked before the LIST under way began, about this version.
    served: Vec<(Key, Version)>,
    waiting: BTreeSet<Key>,
    /// Under way, or not to be begun yet.
    rests: bool,
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Adoption {
    now: Duration,
    next_id: u64,
    out: Vec<(ActionId, Action)>,
    asked: HashMap<ActionId, (Option<Key>, Action)>,
    /// Claims with a request under way; one at a time for each.
    busy: HashSet<Key>,
    dirty: Dirty<Key>,
    schedule: Schedule<Alarm>,
    lists: BTreeMap<Arc<str>, List>,

    claims: HashMap<Key, Tended>,
    /// Live pods with host ports, and what they own.
    pods: HashMap<Key, Option<Box<Own>>>,
    /// By the claims that were made for them.
    owning: HashMap<Key, BTreeSet<Key>>,
    /// By the name of the pod that they are for.
    scaled: HashMap<Key, BTreeSet<Key>>,
    /// What a listing under way has named; `None` before the first and between two.
    listed_claims: Option<HashSet<Key>>,
    listed_pods: Option<HashSet<Key>>,
    knows_claims: bool,
    knows_pods: bool,
}

impl Adoption {
    /// Takes in what a watch told. From now on it is known, also while another process leads.
    pub fn observe(&mut self, event: &Event, now: Duration) {
        self.now = now;
        match event {
            Event::Claim(change) => self.observe_claim(change),
            Event::Pod(change) => self.observe_pod(change),
            _ => {}
        }
    }

    /// Takes in what an answer to somebody else showed: it comes before the watch tells. One that comes after the
    /// claim's end is found out when the claim is looked at.
    pub fn learn(&mut self, outcome: &Outcome, now: Duration) {
        self.now = now;
        if let Outcome::Claim(claim) = outcome {
            self.put_claim(claim);
        }
    }

    /// In place of [`Adoption::poll`] while another process leads: what was told is known, and not to be looked at.
    pub fn stand_by(&mut self, now: Duration) {
        self.now = now;
        self.dirty = Dirty::default();
    }

    /// This process leads from now on: all claims are to be looked at.
    pub fn lead(&mut self) {
        let mut claims: Vec<_> = self.claims.keys().cloned().collect();
        claims.sort_unstable();
        claims.into_iter().for_each(|key| self.dirty.push(key));
    }

    /// When [`Adoption::poll`] has something to do even if nothing is told before.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.schedule.next()
    }

    /// What to do now. Each action's outcome is to be told by [`Adoption::done`].
    pub fn poll(&mut self, now: Duration) -> Vec<(ActionId, Action)> {
        self.now = now;
        if self.knows_claims && self.knows_pods {
            while let Some(alarm) = self.schedule.due(now) {
                match alarm {
                    Alarm::Claim(key) => self.dirty.push(key),
                    Alarm::List(namespace) => self.end_rest(&namespace),
                }
            }
            while let Some(key) = self.dirty.pop() {
                self.decide(&key);
            }
            self.start_lists();
        }
        std::mem::take(&mut self.out)
    }

    /// Takes in what came of an action.
    pub fn done(&mut self, id: ActionId, outcome: Outcome, now: Duration) {
        self.now = now;
        let Some((key, action)) = self.asked.remove(&id) else { return };
        if let Action::ListPods(Some(namespace)) = &action {
            return self.pods_answered(namespace, outcome);
        }
        let Some(key) = key else { return };
        self.busy.remove(&key);
        match (action, outcome) {
            (_, Outcome::Claim(claim)) => {
                self.put_claim(&claim);
                self.dirty.push(key);
            }
            (Action::GetStatefulSet(_), Outcome::StatefulSet { uid, end }) => {
                self.scale_known(key, &uid, end);
            }
            // The set is gone: what was made for it stays, or goes with it by its ownerReference.
            (Action::GetStatefulSet(_), Outcome::NotFound) => {}
            (_, Outcome::NotFound) => self.remove_claim(&key),
            // What was known of the claim is old.
            (_, Outcome::Conflict) => self.ask(&key, Action::GetClaim(key.clone())),
            // The watch tells of its end; a finalizer may hold it until then.
            (_, Outcome::Done) => {}
            (action, Outcome::Refused(words)) => {
                tracing::warn!(claim = %key, ?action, error = %words, "the API server refused a request");
                self.schedule.at(now + REFUSED, Alarm::Claim(key));
            }
            _ => self.schedule.at(now + AGAIN, Alarm::Claim(key)),
        }
    }

    fn decide(&mut self, key: &Key) {
        if self.busy.contains(key) {
            return; // The answer names the claim again.
        }
        let Some(claim) = self.claims.get(key).filter(|claim| !claim.deleting) else { return };
        match &*claim.made {
            Made::ForPod { foreign: true, .. } => {}
            Made::ForPod { owners, .. } => {
                let mut all = owners.clone();
                all.extend(self.owners_of(key).filter(|owner| !owners.contains(owner)));
                if all.len() > owners.len() {
                    let (uid, version) = (claim.uid.clone(), claim.version);
                    self.ask(key, Action::AdoptClaim { key: key.clone(), uid, version, owners: all });
                } else if owners.is_empty() {
                    let until = claim.since + IN_FLIGHT;
                    if until > self.now {
                        self.schedule.at(until, Alarm::Claim(key.clone()));
                    } else {
                        self.lists.entry(key.namespace.clone()).or_default().waiting.insert(key.clone());
                    }
                }
            }
            Made::ByName { scaled_with: Some(ordinal) } if !self.pods.contains_key(&pod_of(key, ordinal)) => {
                let set = Key { namespace: key.namespace.clone(), name: ordinal.set.clone() };
                self.ask(key, Action::GetStatefulSet(set));
            }
            Made::ByName { .. } => {}
        }
    }

    /// The pods that say that the claim was made for them.
    fn owners_of(&self, claim: &Key) -> impl Iterator<Item = Owner> {
        let pods = self.owning.get(claim).into_iter().flatten();
        pods.filter_map(|pod| {
            let own = self.pods.get(pod)?.as_ref()?;
            Some(Owner { name: pod.name.clone(), uid: own.uid.clone() })
        })
    }

    /// How many pods the claim's StatefulSet is to have.
    fn scale_known(&mut self, key: Key, uid: &Uid, end: i64) {
        let Some(claim) = self.claims.get(&key) else { return };
        let Made::ByName { scaled_with: Some(ordinal) } = &*claim.made else { return };
        if ordinal.index >= end && ordinal.uid == *uid {
            self.lists.entry(key.namespace.clone()).or_default().waiting.insert(key);
        } else {
            self.schedule.at(self.now + LOOK, Alarm::Claim(key));
        }
    }

    fn start_lists(&mut self) {
        let mut starts = Vec::new();
        for (namespace, list) in &mut self.lists {
            if !list.rests && !list.waiting.is_empty() {
                let versioned = |key: Key| Some((key.clone(), self.claims.get(&key)?.version));
                list.served = std::mem::take(&mut list.waiting).into_iter().filter_map(versioned).collect();
                list.rests = true;
                starts.push(namespace.clone());
            }
        }
        for namespace in starts {
            self.say(None, Action::ListPods(Some(namespace)));
        }
    }

    fn pods_answered(&mut self, namespace: &Arc<str>, outcome: Outcome) {
        let Some(list) = self.lists.get_mut(namespace) else { return };
        let served = std::mem::take(&mut list.served);
        self.schedule.at(self.now + PAUSE, Alarm::List(namespace.clone()));
        let Outcome::Pods(pods) = outcome else {
            let again = self.now + AGAIN;
            served.into_iter().for_each(|(key, _)| self.schedule.at(again, Alarm::Claim(key)));
            return;
        };
        for (key, version) in served {
            let Some(claim) = self.claims.get(&key) else { continue };
            let has = |pod: &&Pod| match &*claim.made {
                Made::ForPod { .. } => pod.own.as_ref().is_some_and(|own| own.claims.contains(&key.name)),
                Made::ByName { scaled_with: Some(ordinal) } => pod.key == pod_of(&key, ordinal),
                Made::ByName { .. } => true,
            };
            match pods.iter().find(has) {
                // The watch is behind.
                Some(pod) if pod.own.is_some() => {
                    self.put_pod(pod);
                    self.dirty.push(key);
                }
                // Or ahead, and the pod has ended: nothing would take it from what is known.
                Some(_) => self.schedule.at(self.now + AGAIN, Alarm::Claim(key)),
                None if claim.version == version && !claim.deleting => {
                    let uid = claim.uid.clone();
                    tracing::info!(claim = %key, "no pod came, or none is to come any more: the claim is removed");
                    self.ask(&key, Action::DeleteClaim { key: key.clone(), uid, version });
                }
                None => self.dirty.push(key),
            }
        }
    }

    fn end_rest(&mut self, namespace: &Arc<str>) {
        if let Some(list) = self.lists.get_mut(namespace) {
            list.rests = false;
            if list.waiting.is_empty() {
                self.lists.remove(namespace);
            }
        }
    }

    fn ask(&mut self, key: &Key, action: Action) {
        self.busy.insert(key.clone());
        self.say(Some(key.clone()), action);
    }

    fn say(&mut self, key: Option<Key>, action: Action) {
        let id = ActionId(self.next_id);
        self.next_id += 1;
        self.asked.insert(id, (key, action.clone()));
        self.out.push((id, action));
    }

    fn observe_claim(&mut self, change: &Change<Claim>) {
        match change {
            Change::Listing => self.listed_claims = Some(HashSet::new()),
            Change::Listed(claim) => {
                if claim.made.is_some() {
                    self.listed_claims.get_or_insert_default().insert(claim.key.clone());
                }
                self.put_claim(claim);
            }
            Change::ListDone => {
                let listed = self.listed_claims.take().unwrap_or_default();
                let gone: Vec<_> = self.claims.keys().filter(|key| !listed.contains(key)).cloned().collect();
                gone.iter().for_each(|key| self.remove_claim(key));
                self.knows_claims = true;
            }
            Change::Applied(claim) => self.put_claim(claim),
            Change::Deleted(claim) => {
                if self.claims.get(&claim.key).is_some_and(|known| known.uid == claim.uid) {
                    self.remove_claim(&claim.key);
                }
            }
        }
    }

    fn put_claim(&mut self, claim: &Claim) {
        let key = &claim.key;
        if self.claims.get(key).is_some_and(|known| known.version >= claim.version) {
            return;
        }
        let Some(made) = claim.made.clone() else { return self.remove_claim(key) };
        self.index_scaled(key, false);
        let (uid, version, deleting) = (claim.uid.clone(), claim.version, claim.deleting);
        self.claims.insert(key.clone(), Tended { uid, version, deleting, made, since: self.now });
        self.index_scaled(key, true);
        self.dirty.push(key.clone());
    }

    fn remove_claim(&mut self, key: &Key) {
        self.index_scaled(key, false);
        self.claims.remove(key);
    }

    fn index_scaled(&mut self, key: &Key, there: bool) {
        let Some(claim) = self.claims.get(key) else { return };
        let Made::ByName { scaled_with: Some(ordinal) } = &*claim.made else { return };
        keep(&mut self.scaled, pod_of(key, ordinal), key, there);
    }

    fn observe_pod(&mut self, change: &Change<Pod>) {
        match change {
            Change::Listing => self.listed_pods = Some(HashSet::new()),
            Change::Listed(pod) => {
                self.listed_pods.get_or_insert_default().insert(pod.key.clone());
                self.put_pod(pod);
            }
            Change::ListDone => {
                let listed = self.listed_pods.take().unwrap_or_default();
                let gone: Vec<_> = self.pods.keys().filter(|key| !listed.contains(key)).cloned().collect();
                gone.iter().for_each(|key| self.remove_pod(key));
                self.knows_pods = true;
            }
            Change::Applied(pod) => self.put_pod(pod),
            Change::Deleted(pod) => self.remove_pod(&pod.key),
        }
    }

    fn put_pod(&mut self, pod: &Pod) {
        if self.pods.get(&pod.key) == Some(&pod.own) {
            return;
        }
        self.remove_pod(&pod.key);
        for claim in pod.own.iter().flat_map(|own| &own.claims) {
            let claim = Key { namespace: pod.key.namespace.clone(), name: claim.clone() };
            keep(&mut self.owning, claim.clone(), &pod.key, true);
            self.dirty.push(claim);
        }
        self.pods.insert(pod.key.clone(), pod.own.clone());
    }

    fn remove_pod(&mut self, key: &Key) {
        let Some(own) = self.pods.remove(key) else { return };
        for claim in own.iter().flat_map(|own| &own.claims) {
            let claim = Key { namespace: key.namespace.clone(), name: claim.clone() };
            keep(&mut self.owning, claim.clone(), key, false);
            self.dirty.push(claim);
        }
        self.scaled.get(key).into_iter().flatten().cloned().for_each(|claim| self.dirty.push(claim));
    }
}

/// The pod that the claim was made for.
fn pod_of(claim: &Key, ordinal: &Ordinal) -> Key {
    Key { namespace: claim.namespace.clone(), name: format!("{}-{}", ordinal.set, ordinal.index).into() }
}

fn keep(index: &mut HashMap<Key, BTreeSet<Key>>, at: Key, key: &Key, there: bool) {
    if there {
        index.entry(at).or_default().insert(key.clone());
    } else if let Some(keys) = index.get_mut(&at) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(&at);
        }
    }
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
