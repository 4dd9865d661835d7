//! Live reads: each is bounded, and one that fails says nothing about the pod. [`within`] bounds writes as well.

use std::time::Duration;

use crds::{
    HostPort, HostPortClaim, Port,
    names::{LABEL_ALLOW_HOST_NETWORK, LABEL_MADE, LABEL_POD_PORT, label_of_claim},
};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PartialObjectMeta},
};

use crate::{run::Run, standing::Standing};

/// A request that takes longer is given up; the whole answer has 8 s.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);
/// Pods whose containers may run.
const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";
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

impl ReadError {
    /// The API server has answered with one of these codes.
    pub(crate) fn is_code(&self, codes: &[u16]) -> bool {
        let ReadError::Failed { source, .. } = self else { return false };
        matches!(&**source, kube::Error::Api(status) if codes.contains(&status.code))
    }
}

/// Reads from the API server, never from a cache.
pub(crate) struct Reads {
    client: Client,
}

impl Reads {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) async fn claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<HostPortClaim>, ReadError> {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), namespace);
        within(format!("HostPortClaim {name:?}"), api.get_opt(name)).await
    }

    pub(crate) async fn port(&self, name: &str) -> Result<Option<HostPort>, ReadError> {
        let api: Api<HostPort> = Api::all(self.client.clone());
        within(format!("HostPort {name}"), api.get_opt(name)).await
    }

    /// The HostPorts of these numbers. Those of a block come by one LIST: all that say that they are of it.
    pub(crate) async fn ports(&self, run: Run) -> Result<Vec<HostPort>, ReadError> {
        if !run.is_block() {
            return Ok(self.port(&run.name()).await?.into_iter().collect());
        }
        let api: Api<HostPort> = Api::all(self.client.clone());
        let params = ListParams::default().fields(&format!("spec.block.first={}", run.first));
        Ok(within(format!("HostPorts {run}"), api.list(&params)).await?.items)
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

    /// Names of claims that do exist. Without them the answer is the same, so a failed read is none.
    pub(crate) async fn absent(&self, namespace: &str, name: &str) -> Standing {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), namespace);
        let params = ListParams::default().limit(LOOKED_AT);
        match within("HostPortClaims".to_owned(), api.list_metadata(&params)).await {
            Err(_) => Standing::Absent { others: Vec::new(), more: true },
            Ok(list) => {
                let is_made =
                    |claim: &PartialObjectMeta<HostPortClaim>| claim.labels().contains_key(LABEL_MADE);
                let all: Vec<_> = list.items.iter().map(|it| (is_made(it), it.name_any())).collect();
                let more = all.len() > OFFERED;
                Standing::Absent { others: nearest(all, name), more }
            }
        }
    }

    /// Whether the namespace's label allows hostNetwork.
    pub(crate) async fn allows_host_network(&self, namespace: &str) -> Result<bool, ReadError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = within(format!("namespace {namespace:?}"), api.get_metadata_opt(namespace)).await?;
        let label =
            |found: PartialObjectMeta<Namespace>| found.labels().get(LABEL_ALLOW_HOST_NETWORK).cloned();
        Ok(found.and_then(label).is_some_and(|value| value == "true"))
    }
}

/// Bounds a request.
pub(crate) async fn within<T>(
    what: String,
    read: impl Future<Output = kube::Result<T>>,
) -> Result<T, ReadError> {
    match tokio::time::timeout(REQUEST_LIMIT, read).await {
        Err(_) => Err(ReadError::Slow { what }),
        Ok(Err(source)) => Err(ReadError::Failed { what, source: Box::new(source) }),
        Ok(Ok(read)) => Ok(read),
    }
}

/// Those that people made come first; of these that contain the wanted name, or are part of it; then by the alphabet.
fn nearest(mut all: Vec<(bool, String)>, wanted: &str) -> Vec<String> {
    let is_like = |name: &str| name.contains(wanted) || wanted.contains(name);
    all.sort_by_cached_key(|(made, name)| (*made, !is_like(name), name.clone()));
    all.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_offered_are_those_most_like_the_wanted_one() {
        let names = ["api", "zz-web", "db", "cache", "staging-web"].map(|name| (false, name.to_owned()));

        assert_eq!(nearest(names.to_vec(), "web"), ["staging-web", "zz-web", "api"]);
    }

    #[test]
    fn claims_that_admission_made_are_offered_last() {
        let all = [(true, "a-web-x7k2p"), (true, "b-web-x7k2p"), (false, "cache"), (false, "shop-web")];

        let offered = nearest(all.map(|(made, name)| (made, name.to_owned())).to_vec(), "web");

        assert_eq!(offered, ["shop-web", "cache", "a-web-x7k2p"]);
    }
}
