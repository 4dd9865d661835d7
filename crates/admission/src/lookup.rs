//! Live reads of claims and HostPorts. What is remembered only lets two reads start at once; what is believed
//! comes from the reads themselves.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crds::{HostPort, HostPortClaim, Port, names::LABEL_ALLOW_HOST_NETWORK};
use futures::{StreamExt, TryStreamExt, future::OptionFuture, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PartialObjectMeta},
};

use crate::standing::{self, Holder, Standing, Standings};

/// A read that takes longer is given up; the whole answer has 8 s.
const READ_LIMIT: Duration = Duration::from_secs(3);
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
    remembered: Mutex<HashMap<(String, String), Port>>,
}

impl Lookup {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, remembered: Mutex::default() }
    }

    /// How the claims stand. A hint, if given, is a number that a claim probably has.
    pub(crate) async fn claims(
        &self,
        namespace: &str,
        wanted: Vec<(&str, Option<Port>)>,
    ) -> Result<Standings, ReadError> {
        let read = |(name, hint): (&str, Option<Port>)| {
            let name = name.to_owned();
            async move {
                let standing = self.claim(namespace, &name, hint).await?;
                Ok((name, standing))
            }
        };
        let reads: Vec<_> = wanted.into_iter().map(read).collect();
        stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
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
        let probable = hint.or_else(|| self.remembered().get(&key).copied());
        let early = OptionFuture::from(probable.map(|number| self.read_port(number)));
        let (claim, early) = futures::join!(self.read_claim(namespace, name), early);
        let Some(claim) = claim? else {
            self.remembered().remove(&key);
            return Ok(self.absent(namespace, name).await);
        };
        if let Some(Ok(Some(port))) = early {
            let standing = standing::believe(&claim, Some(&port));
            if !matches!(standing, Standing::Disproved(_)) {
                return Ok(standing);
            }
        }
        // Disbelief needs a HostPort that was read after the claim: it may have been bound between the two.
        let port = match standing::said(&claim) {
            Some(number) => self.read_port(number).await?,
            None => None,
        };
        let standing = standing::believe(&claim, port.as_ref());
        if let Standing::Held(number) = standing {
            self.remember(key, number);
        }
        Ok(standing)
    }

    async fn holder(&self, namespace: &str, number: Port) -> Result<Holder, ReadError> {
        let Some(port) = self.read_port(number).await? else { return Ok(Holder::Nobody) };
        let Some(name) = standing::claim_of(&port, namespace) else { return Ok(Holder::Nobody) };
        let claim = self.read_claim(namespace, name).await?;
        Ok(claim.map_or(Holder::Nobody, |claim| standing::holder(&port, &claim)))
    }

    async fn read_claim(&self, namespace: &str, name: &str) -> Result<Option<HostPortClaim>, ReadError> {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), namespace);
        within(format!("HostPortClaim {name:?}"), api.get_opt(name)).await
    }

    async fn read_port(&self, number: Port) -> Result<Option<HostPort>, ReadError> {
        let api: Api<HostPort> = Api::all(self.client.clone());
        within(format!("HostPort {number}"), api.get_opt(&number.to_string())).await
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

    fn remember(&self, key: (String, String), number: Port) {
        let mut remembered = self.remembered();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, number);
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Port>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
