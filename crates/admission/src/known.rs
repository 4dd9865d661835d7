//! Claims as a watch last showed them: which numbers a claim says that it holds. Never proof, only a proposal: who
//! believes it has read the HostPorts live, and found the very uid in them.

use std::collections::{BTreeSet, HashMap};

use crds::{HostPortClaim, Reason};
use futures::{Stream, StreamExt};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::watch, time::Instant};

use crate::{run::Run, standing::said};

/// A watch ends within this time, seconds, and is begun anew, so that a dead connection is noticed.
const WATCH_LIMIT: u32 = 24;

/// The reason of a claim that nobody has looked at.
const WAITING: &str = Reason::WaitingForController.as_str();

/// What a claim says that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) uid: Box<str>,
    pub(crate) run: Run,
}

/// What a claim says, if anything.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It is Bound and living.
    Holds(Saying),
    /// Why it is not bound, since it was looked at.
    Unbound,
}

type Names = HashMap<Box<str>, HashMap<Box<str>, Said>>;

/// What all claims say that were looked at and are not being deleted.
#[derive(Default)]
pub(crate) struct Known {
    sayings: Mutex<Sayings>,
    /// Each time something was told: when a claim was last seen to be Bound that was not before.
    told: watch::Sender<Option<Instant>>,
}

#[derive(Default)]
struct Sayings {
    by_name: Names,
    /// A listing under way: what was known is good until it is complete.
    listed: Names,
}

impl Known {
    /// What the claim says that it holds, if it was seen Bound and living.
    pub(crate) fn saying(&self, namespace: &str, name: &str) -> Option<Saying> {
        match self.sayings().by_name.get(namespace)?.get(name)? {
            Said::Holds(saying) => Some(saying.clone()),
            Said::Unbound => None,
        }
    }

    /// When the last claim was bound, whosever it is, as far as the watch has told.
    pub(crate) fn last_bound(&self) -> Option<Instant> {
        *self.told.borrow()
    }

    /// Until all these claims have been seen Bound and living: for ever, if the watch is silent.
    pub(crate) async fn all_say(&self, namespace: &str, names: &BTreeSet<&str>) {
        let mut told = self.told.subscribe();
        while !names.iter().all(|name| self.saying(namespace, name).is_some()) && told.changed().await.is_ok()
        {
        }
    }

    /// The same, or until one of them says why it is not bound.
    pub(crate) async fn settled(&self, namespace: &str, names: &BTreeSet<&str>) {
        let mut told = self.told.subscribe();
        while !self.are_settled(namespace, names) && told.changed().await.is_ok() {}
    }

    fn are_settled(&self, namespace: &str, names: &BTreeSet<&str>) -> bool {
        let sayings = self.sayings();
        let said = |name: &&str| sayings.by_name.get(namespace).and_then(|claims| claims.get(*name));
        let mut all = names.iter().map(said);
        let unbound = |said: &Option<&Said>| *said == Some(&Said::Unbound);
        all.clone().any(|said| unbound(&said)) || all.all(|said| said.is_some())
    }

    /// Takes in what the watch tells, until it ends.
    pub(crate) async fn watch(&self, client: Client) {
        let config = watcher::Config::default().timeout(WATCH_LIMIT);
        let claims = watcher(Api::<HostPortClaim>::all(client), config).default_backoff();
        self.follow(claims).await;
    }

    async fn follow(&self, claims: impl Stream<Item = watcher::Result<watcher::Event<HostPortClaim>>>) {
        let mut claims = std::pin::pin!(claims);
        while let Some(change) = claims.next().await {
            match change {
                Ok(change) => self.apply(change),
                Err(error) => tracing::warn!(%error, "the watch of claims failed, it is begun anew"),
            }
        }
    }

    pub(crate) fn apply(&self, change: watcher::Event<HostPortClaim>) {
        let mut sayings = self.sayings();
        let Sayings { by_name, listed } = &mut *sayings;
        let mut bound = None;
        match change {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(claim) => _ = put(listed, &claim),
            watcher::Event::InitDone => *by_name = std::mem::take(listed),
            watcher::Event::Apply(claim) => {
                bound = put(by_name, &claim).then(Instant::now);
            }
            watcher::Event::Delete(claim) => remove(by_name, &claim),
        }
        drop(sayings);
        self.told.send_modify(|last| *last = bound.or(*last));
    }

    fn sayings(&self) -> MutexGuard<'_, Sayings> {
        self.sayings.lock()
    }
}

/// Whether the claim says that it holds something, and did not say so before.
fn put(sayings: &mut Names, claim: &HostPortClaim) -> bool {
    let lives = claim.metadata.deletion_timestamp.is_none();
    let said = match (said(claim), claim.uid()) {
        _ if !lives => None,
        (Some(run), Some(uid)) => Some(Said::Holds(Saying { uid: uid.into(), run })),
        _ => claim.ready_reason().filter(|reason| *reason != WAITING).map(|_| Said::Unbound),
    };
    let Some(said) = said else {
        remove(sayings, claim);
        return false;
    };
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let before = sayings.entry(namespace.into()).or_default().insert(name.into(), said.clone());
    said != Said::Unbound && before.is_none_or(|before| before != said)
}

fn remove(sayings: &mut Names, claim: &HostPortClaim) {
    let namespace = claim.namespace().unwrap_or_default();
    if let Some(names) = sayings.get_mut(&*namespace) {
        names.remove(&*claim.name_any());
        if names.is_empty() {
            sayings.remove(&*namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::testing::{bound_claim, claim, port, terminating};

    fn said_by(known: &Known, name: &str) -> Option<u16> {
        known.saying("shop", name).map(|saying| saying.run.first.get())
    }

    #[test]
    fn only_a_bound_and_living_claim_says_what_it_holds() {
        let known = Known::default();

        known.apply(Event::Apply(claim("web", None)));
        assert_eq!(said_by(&known, "web"), None);

        known.apply(Event::Apply(bound_claim("web", 9000)));
        let saying = Saying { uid: "uid-web".into(), run: Run::one(port(9000)) };
        assert_eq!(known.saying("shop", "web"), Some(saying));
        assert_eq!(known.saying("elsewhere", "web"), None);

        known.apply(Event::Apply(terminating(bound_claim("web", 9000))));
        assert_eq!(said_by(&known, "web"), None);
    }

    #[test]
    fn what_is_deleted_says_nothing_any_more() {
        let known = Known::default();
        known.apply(Event::Apply(bound_claim("web", 9000)));

        known.apply(Event::Delete(bound_claim("web", 9000)));

        assert_eq!(said_by(&known, "web"), None);
        assert!(known.sayings().by_name.is_empty());
    }

    #[test]
    fn a_new_listing_counts_once_it_is_complete() {
        let known = Known::default();
        known.apply(Event::Apply(bound_claim("old", 9000)));

        known.apply(Event::Init);
        known.apply(Event::InitApply(bound_claim("new", 9001)));
        assert_eq!((said_by(&known, "old"), said_by(&known, "new")), (Some(9000), None));

        known.apply(Event::InitDone);
        assert_eq!((said_by(&known, "old"), said_by(&known, "new")), (None, Some(9001)));
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_last_of_his_claims() {
        let known = Known::default();
        known.apply(Event::Apply(bound_claim("web", 9000)));
        let names = BTreeSet::from(["web", "voice"]);
        let mut wait = std::pin::pin!(known.all_say("shop", &names));
        assert!(futures::poll!(&mut wait).is_pending());

        known.apply(Event::Apply(claim("voice", None)));
        assert!(futures::poll!(&mut wait).is_pending());

        known.apply(Event::Apply(bound_claim("voice", 9001)));
        assert!(futures::poll!(&mut wait).is_ready());
    }

    #[tokio::test]
    async fn who_waits_hears_that_one_of_his_claims_is_not_bound() {
        let known = Known::default();
        let names = BTreeSet::from(["web", "voice"]);
        let mut wait = std::pin::pin!(known.settled("shop", &names));

        known.apply(Event::Apply(claim("web", Some(("WaitingForController", "…")))));
        assert!(futures::poll!(&mut wait).is_pending());

        known.apply(Event::Apply(claim("web", Some(("PoolExhausted", "No free port.")))));
        assert!(futures::poll!(&mut wait).is_ready());
        assert_eq!(known.saying("shop", "web"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_claim_that_is_bound_anew_is_a_sign_of_life() {
        let known = Known::default();
        known.apply(Event::Apply(claim("voice", None)));
        assert_eq!(known.last_bound(), None);

        known.apply(Event::Apply(bound_claim("web", 9000)));
        let then = known.last_bound();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        known.apply(Event::Apply(bound_claim("web", 9000)));

        assert!(then.is_some() && known.last_bound() == then);
    }
}
