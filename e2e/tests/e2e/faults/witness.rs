//! Sees every version of every claim and HostPort, in the order in which they were stored, and notes each that should
//! never have been. One that is told to be patient outlives outages: an API server that starts anew has forgotten what
//! happened before, so there it lists again and compares with what it saw last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use crds::{ClaimPhase, HostPort, HostPortClaim, HostPortPhase};
use e2e::eventually;
use futures::{StreamExt, pin_mut};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::world::SOON;

/// How long a patient one waits before it asks again.
const PAUSE: Duration = Duration::from_millis(200);

/// Watches until dropped.
pub(super) struct Witness {
    client: Client,
    notes: Arc<Mutex<Notes>>,
    watches: JoinSet<Result<()>>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Notes {
    /// Versions that should never have been.
    pub(super) violations: Vec<String>,
    /// How many versions of claims were seen.
    pub(super) statuses: usize,
    /// How many versions of claims said that the pool is exhausted.
    pub(super) exhausted: usize,
    /// How many claims became Bound.
    pub(super) binds: usize,
    /// How many ports were given back.
    pub(super) frees: usize,
    /// How often a port changed its holder without being given back: a claim made again.
    pub(super) rebinds: usize,
    /// How often something may have happened unseen.
    pub(super) gaps: usize,
    /// The port of each claim uid that is or was Bound.
    ports: BTreeMap<String, u16>,
    /// The claim that is Bound to each port, by uid and name.
    holders: BTreeMap<u16, (String, String)>,
    /// Each HostPort as it is.
    hostports: BTreeMap<String, HostPort>,
    /// The last version of each object.
    claim_versions: Versions,
    hostport_versions: Versions,
}

type Versions = BTreeMap<String, String>;

impl Witness {
    /// Begins with what is there now. A gap is an error.
    pub(super) async fn start(client: Client) -> Result<Witness> {
        Witness::watching(client, false).await
    }

    /// The same, for a control plane that goes away and comes back.
    pub(super) async fn patient(client: Client) -> Result<Witness> {
        Witness::watching(client, true).await
    }

    async fn watching(client: Client, patient: bool) -> Result<Witness> {
        let notes = Arc::default();
        let mut witness = Witness { client, notes, watches: JoinSet::new() };
        witness.watch::<HostPortClaim>(patient, Notes::see_claim, Notes::only_claims).await?;
        witness.watch::<HostPort>(patient, Notes::see_hostport, Notes::only_hostports).await?;
        Ok(witness)
    }

    /// Waits until all that is stored now was seen; then what was wrong is an error.
    pub(super) async fn testify(mut self) -> Result<Notes> {
        eventually(SOON, "the witness to have seen everything", || async {
            let claims = versions(self.client.clone(), "claims", Api::<HostPortClaim>::all).await?;
            let hostports = versions(self.client.clone(), "hostports", Api::<HostPort>::all).await?;
            let notes = self.notes.lock();
            ensure!(notes.claim_versions == claims, "it has not seen all claims");
            ensure!(notes.hostport_versions == hostports, "it has not seen all HostPorts");
            Ok(())
        })
        .await?;
        if let Some(ended) = self.watches.try_join_next() {
            ended?.context("a watch of the witness ended")?;
        }
        self.watches.shutdown().await;
        let notes = std::mem::take(&mut *self.notes.lock());
        let wrong = &notes.violations;
        ensure!(wrong.is_empty(), "{} versions should not have been:\n{}", wrong.len(), wrong.join("\n"));
        Ok(notes)
    }

    async fn watch<K>(
        &mut self,
        patient: bool,
        see: fn(&mut Notes, K, bool),
        only: fn(&mut Notes, &BTreeSet<String>),
    ) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (api, notes) = (Api::<K>::all(self.client.clone()), self.notes.clone());
        let mut version = list(&api, &notes, see, only).await?;
        self.watches.spawn(async move {
            loop {
                let Err(error) = follow(&api, &notes, see, &mut version).await else { continue };
                if !patient {
                    return Err(error);
                }
                tokio::time::sleep(PAUSE).await;
                if error.downcast_ref::<Forgotten>().is_some()
                    && let Ok(listed) = list(&api, &notes, see, only).await
                {
                    version = listed;
                    notes.lock().gaps += 1;
                }
            }
        });
        Ok(())
    }
}

/// The API server does not know any more what happened since.
#[derive(Debug)]
struct Forgotten;

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the version to go on from is too old")
    }
}

impl std::error::Error for Forgotten {}

/// Sees all there is, and that there is no more; the version of that.
async fn list<K>(
    api: &Api<K>,
    notes: &Mutex<Notes>,
    see: fn(&mut Notes, K, bool),
    only: fn(&mut Notes, &BTreeSet<String>),
) -> Result<String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let list = api.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.context("a list without a version")?;
    let mut notes = notes.lock();
    only(&mut notes, &list.items.iter().filter_map(ResourceExt::uid).collect());
    list.items.into_iter().for_each(|object| see(&mut notes, object, true));
    Ok(version)
}

/// Sees what happens until the watch ends.
async fn follow<K>(
    api: &Api<K>,
    notes: &Mutex<Notes>,
    see: fn(&mut Notes, K, bool),
    version: &mut String,
) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + 'static,
{
    let events = api.watch(&WatchParams::default(), version).await?;
    pin_mut!(events);
    while let Some(event) = events.next().await {
        // A gap would hide what this looks for: every error is one.
        let (object, lives) = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(error) if error.code == 410 => bail!(Forgotten),
            WatchEvent::Error(error) => bail!("watching {}: {error:?}", K::kind(&())),
        };
        *version = object.resource_version().context("an object without a version")?;
        see(&mut notes.lock(), object, lives);
    }
    Ok(())
}

async fn versions<K>(client: Client, what: &str, api: fn(Client) -> Api<K>) -> Result<Versions>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let list = api(client).list(&ListParams::default()).await.with_context(|| format!("list {what}"))?;
    Ok(list.items.iter().filter_map(|it| Some((it.uid()?, it.resource_version()?))).collect())
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notes { statuses, exhausted, binds, rebinds, frees, gaps, .. } = self;
        write!(
            f,
            "{statuses} statuses ({exhausted} PoolExhausted), {binds} binds, {rebinds} re-binds, {frees} frees, {gaps} \
             gaps"
        )
    }
}

impl Notes {
    /// After a gap: what is not among these went away unseen.
    fn only_claims(&mut self, uids: &BTreeSet<String>) {
        self.claim_versions.retain(|uid, _| uids.contains(uid));
        self.holders.retain(|_, holder| uids.contains(&holder.0));
    }

    fn only_hostports(&mut self, uids: &BTreeSet<String>) {
        self.hostport_versions.retain(|uid, _| uids.contains(uid));
        self.hostports.retain(|_, hostport| hostport.uid().is_some_and(|uid| uids.contains(&uid)));
    }

    fn see_claim(&mut self, claim: HostPortClaim, lives: bool) {
        let (Some(uid), Some(version)) = (claim.uid(), claim.resource_version()) else { return };
        let name = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
        if !lives {
            self.claim_versions.remove(&uid);
            self.holders.retain(|_, holder| holder.0 != uid);
            return;
        }
        self.statuses += 1;
        self.exhausted += usize::from(claim.ready_reason() == Some("PoolExhausted"));
        self.claim_versions.insert(uid.clone(), version);
        let status = claim.status.unwrap_or_default();
        let port = status.port.filter(|_| status.phase == ClaimPhase::Bound).map(crds::Port::get);
        let before = self.ports.get(&uid).copied();
        if before.is_some() && port != before {
            self.violations.push(format!("I2: claim {name} ({uid}) had port {before:?}, then {status:?}"));
        }
        let Some(port) = port else { return };
        if before.is_none() {
            self.binds += 1;
        }
        self.ports.insert(uid.clone(), port);
        let holder = self.holders.insert(port, (uid.clone(), name.clone()));
        if let Some((other, other_name)) = holder.filter(|(other, _)| *other != uid) {
            self.violations
                .push(format!("I1: {name} ({uid}) is Bound to {port}, {other_name} ({other}) is too"));
        }
    }

    fn see_hostport(&mut self, hostport: HostPort, lives: bool) {
        let (Some(uid), Some(version)) = (hostport.uid(), hostport.resource_version()) else { return };
        let name = hostport.name_any();
        let before = self.hostports.get(&name).cloned();
        if !lives {
            self.hostport_versions.remove(&uid);
            self.hostports.remove(&name);
            self.given_back(&name, &before.unwrap_or(hostport));
            return;
        }
        self.hostport_versions.insert(uid, version);
        if let Some(before) = before {
            self.changed(&name, &before, &hostport);
        }
        self.hostports.insert(name, hostport);
    }

    fn changed(&mut self, name: &str, before: &HostPort, after: &HostPort) {
        let (Some(old), Some(new)) = (&before.spec.claim_ref, &after.spec.claim_ref) else { return };
        if (&old.namespace, &old.name) != (&new.namespace, &new.name) {
            self.violations.push(format!("I4: {name} went from {old:?} to {new:?} without a rest"));
        } else if old.uid != new.uid {
            self.rebinds += 1;
        }
    }

    /// Nobody else can have the number before: its name is taken for as long as the HostPort is there.
    fn given_back(&mut self, name: &str, last: &HostPort) {
        self.frees += 1;
        let (released, delay) = (&last.spec.released_at, &last.spec.reuse_delay);
        let due = released.as_ref().zip(delay.as_ref());
        match due.map(|(released, delay)| SystemTime::from(released.0) + delay.get()) {
            Some(due) if last.spec.phase == HostPortPhase::Released => {
                if SystemTime::now() < due {
                    self.violations.push(format!("I4: {name} was freed before {due:?}: {:?}", last.spec));
                }
            }
            _ => self
                .violations
                .push(format!("C4: {name} was deleted without being Released: {:?}", last.spec)),
        }
    }
}
