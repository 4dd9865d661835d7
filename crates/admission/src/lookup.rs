//! Live reads of claims and HostPorts. A remembered number only lets two reads start at once; what is believed
//! comes from the reads themselves, made for this very pod: its mutation's, which its validation takes over if
//! they are no older than [`FRESH`], or new ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crds::{
    HostPort, HostPortClaim, Port,
    names::{LABEL_ALLOW_HOST_NETWORK, LABEL_CLAIM_NAMESPACE, LABEL_POD_PORT, label_of_claim},
};
use futures::{StreamExt, TryStreamExt, future::OptionFuture, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PartialObjectMeta},
};
use tokio::time::Instant;

use crate::{
    run::Run,
    standing::{self, Holder, Standing, Standings},
};

/// A read that takes longer is given up; the whole answer has 8 s.
const READ_LIMIT: Duration = Duration::from_secs(3);
/// How long the validation of a pod believes what its mutation read. A port is freed only after 40 s without its
/// claim and a LIST of pods; a create is stored 34 s after its start at the latest. This is part of the other 6 s.
const FRESH: Duration = Duration::from_secs(1);
/// Pods whose containers may run.
const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Reads at the same time for one pod.
const AT_ONCE: usize = 16;
/// Claims whose port is remembered; past that the memory starts anew.
const MOST_REMEMBERED: usize = 20_000;
/// Names that a sentence offers for one that does not exist, and how many are looked at.
const OFFERED: usize = 3;
const LOOKED_AT: u32 = 200;

/// A read that did not succeed. It says nothing about the pod.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(
        "hostport could not read {what}: {source}. Nothing is wrong with the pod; create it again in a moment."
    )]
    Failed { what: String, source: Box<kube::Error> },
    #[error(
        "hostport could not read {what} in time. Nothing is wrong with the pod; create it again in a moment."
    )]
    Slow { what: String },
}

/// Reads claims and HostPorts.
pub(crate) struct Lookup {
    client: Client,
    remembered: Mutex<HashMap<(String, String), Remembered>>,
}

/// What a claim held when it was last read.
struct Remembered {
    run: Run,
    /// When a mutation began to read it; taken by the validation that follows.
    read: Option<Instant>,
}

impl Lookup {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, remembered: Mutex::default() }
    }

    /// How the claims stand, read live.
    pub(crate) async fn claims(
        &self,
        namespace: &str,
        names: impl IntoIterator<Item = &str>,
    ) -> Result<Standings, ReadError> {
        let reads: Vec<_> = names.into_iter().map(|name| self.for_mutation(namespace, name)).collect();
        together(reads).await
    }

    /// How the claims of a pod stand that was mutated a moment ago: `told` has the numbers that it was told.
    pub(crate) async fn claims_again(
        &self,
        namespace: &str,
        told: &BTreeMap<&str, Option<Port>>,
    ) -> Result<Standings, ReadError> {
        let reads: Vec<_> =
            told.iter().map(|(name, number)| self.for_validation(namespace, name, *number)).collect();
        together(reads).await
    }

    async fn for_mutation(&self, namespace: &str, name: &str) -> Result<(String, Standing), ReadError> {
        let start = Instant::now();
        let standing = self.claim(namespace, name, None).await?;
        self.note_reading(namespace, name, start);
        Ok((name.to_owned(), standing))
    }

    async fn for_validation(
        &self,
        namespace: &str,
        name: &str,
        told: Option<Port>,
    ) -> Result<(String, Standing), ReadError> {
        let reading =
            told.and_then(|told| self.take_reading(namespace, name).filter(|run| run.contains(told)));
        let standing = match reading {
            Some(run) => Standing::Held(run),
            None => self.claim(namespace, name, told).await?,
        };
        Ok((name.to_owned(), standing))
    }

    /// Who holds the numbers, as far as it is this namespace's. Ends with the first that no claim of it holds.
    pub(crate) async fn holders(
        &self,
        namespace: &str,
        numbers: Vec<Port>,
    ) -> Result<BTreeMap<Port, Holder>, ReadError> {
        let read = |number: Port| async move { Ok((number, self.holder(namespace, number).await?)) };
        let reads: Vec<_> = numbers.into_iter().map(read).collect();
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        let mut holders = BTreeMap::new();
        while let Some((number, holder)) = reads.try_next().await? {
            let last = holder != Holder::Claim;
            holders.insert(number, holder);
            if last {
                break;
            }
        }
        Ok(holders)
    }

    /// The live pod that a claim of scope Node has already, if it has one. One that is being deleted does not count.
    pub(crate) async fn live_pod(
        &self,
        namespace: &str,
        claim: &str,
        number: Port,
    ) -> Result<Option<String>, ReadError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let label = format!("{LABEL_POD_PORT}{number}={}", label_of_claim(claim));
        // No resourceVersion: a consistent read.
        let params = ListParams::default().labels(&label).fields(LIVE);
        let pods = within(format!("the pods of HostPortClaim {claim:?}"), api.list_metadata(&params)).await?;
        let mut live = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(live.next().map(ResourceExt::name_any))
    }

    /// Whether the namespace's label allows hostNetwork.
    pub(crate) async fn allows_host_network(&self, namespace: &str) -> Result<bool, ReadError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = within(format!("namespace {namespace:?}"), api.get_metadata_opt(namespace)).await?;
        let label =
            |found: PartialObjectMeta<Namespace>| found.labels().get(LABEL_ALLOW_HOST_NETWORK).cloned();
        Ok(found.and_then(label).is_some_and(|value| value == "true"))
    }

    async fn claim(&self, namespace: &str, name: &str, hint: Option<Port>) -> Result<Standing, ReadError> {
        let key = (namespace.to_owned(), name.to_owned());
        let remembered = self.remembered().get(&key).map(|last| last.run);
        let probable = remembered.or_else(|| hint.map(Run::one));
        let early = OptionFuture::from(probable.map(|run| self.read_ports(namespace, run)));
        let (claim, early) = futures::join!(self.read_claim(namespace, name), early);
        let Some(claim) = claim? else {
            self.remembered().remove(&key);
            return Ok(self.absent(namespace, name).await);
        };
        if let Some(Ok(ports)) = early {
            let standing = standing::believe(&claim, &ports);
            if !matches!(standing, Standing::Disproved(_)) {
                self.remember(key, &standing);
                return Ok(standing);
            }
        }
        // Disbelief needs a HostPort that was read after the claim: it may have been bound between the two.
        let ports = match standing::said(&claim) {
            Some(run) => self.read_ports(namespace, run).await?,
            None => Vec::new(),
        };
        let standing = standing::believe(&claim, &ports);
        self.remember(key, &standing);
        Ok(standing)
    }

    async fn holder(&self, namespace: &str, number: Port) -> Result<Holder, ReadError> {
        let Some(port) = self.read_port(&number.to_string()).await? else { return Ok(Holder::Nobody) };
        let Some(name) = standing::claim_of(&port, namespace) else { return Ok(Holder::Nobody) };
        let claim = self.read_claim(namespace, name).await?;
        Ok(claim.map_or(Holder::Nobody, |claim| standing::holder(&port, &claim)))
    }

    async fn read_claim(&self, namespace: &str, name: &str) -> Result<Option<HostPortClaim>, ReadError> {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), namespace);
        within(format!("HostPortClaim {name:?}"), api.get_opt(name)).await
    }

    async fn read_port(&self, name: &str) -> Result<Option<HostPort>, ReadError> {
        let api: Api<HostPort> = Api::all(self.client.clone());
        within(format!("HostPort {name}"), api.get_opt(name)).await
    }

    /// The HostPorts of these numbers. Those of a block come by one LIST, with all others of the namespace.
    async fn read_ports(&self, namespace: &str, run: Run) -> Result<Vec<HostPort>, ReadError> {
        if !run.is_block() {
            return Ok(self.read_port(&run.name()).await?.into_iter().collect());
        }
        let api: Api<HostPort> = Api::all(self.client.clone());
        let params = ListParams::default().labels(&format!("{LABEL_CLAIM_NAMESPACE}={namespace}"));
        let mut ports = within(format!("HostPorts {run}"), api.list(&params)).await?.items;
        ports.retain(|port| run.contains(port.spec.port));
        Ok(ports)
    }

    /// Names of claims that do exist. Without them the answer is the same, so a failed read is none.
    async fn absent(&self, namespace: &str, name: &str) -> Standing {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), namespace);
        let params = ListParams::default().limit(LOOKED_AT);
        match within("HostPortClaims".to_owned(), api.list_metadata(&params)).await {
            Err(_) => Standing::Absent { others: Vec::new(), more: true },
            Ok(list) => {
                let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
                let more = names.len() > OFFERED;
                Standing::Absent { others: nearest(names, name), more }
            }
        }
    }

    fn remember(&self, key: (String, String), standing: &Standing) {
        let mut remembered = self.remembered();
        let Standing::Held(run) = *standing else {
            remembered.remove(&key);
            return;
        };
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, Remembered { run, read: None });
    }

    /// A mutation has read the claim; if it holds its number, one validation may believe that.
    fn note_reading(&self, namespace: &str, name: &str, start: Instant) {
        if let Some(last) = self.remembered().get_mut(&(namespace.to_owned(), name.to_owned())) {
            last.read = Some(start);
        }
    }

    /// What a mutation has just read, for one validation.
    fn take_reading(&self, namespace: &str, name: &str) -> Option<Run> {
        let mut remembered = self.remembered();
        let last = remembered.get_mut(&(namespace.to_owned(), name.to_owned()))?;
        let read = last.read.take()?;
        (read.elapsed() <= FRESH).then_some(last.run)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn together(
    reads: Vec<impl Future<Output = Result<(String, Standing), ReadError>>>,
) -> Result<Standings, ReadError> {
    stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
}

async fn within<T>(what: String, read: impl Future<Output = kube::Result<T>>) -> Result<T, ReadError> {
    match tokio::time::timeout(READ_LIMIT, read).await {
        Err(_) => Err(ReadError::Slow { what }),
        Ok(Err(source)) => Err(ReadError::Failed { what, source: Box::new(source) }),
        Ok(Ok(read)) => Ok(read),
    }
}

/// Those that contain the wanted name, or are part of it, come first; then by the alphabet.
fn nearest(mut names: Vec<String>, wanted: &str) -> Vec<String> {
    names.sort_by_key(|name| (!(name.contains(wanted) || wanted.contains(name.as_str())), name.clone()));
    names.truncate(OFFERED);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_offered_are_those_most_like_the_wanted_one() {
        let names = ["api", "zz-web", "db", "cache", "staging-web"].map(str::to_owned).to_vec();

        assert_eq!(nearest(names, "web"), ["staging-web", "zz-web", "api"]);
    }
}
