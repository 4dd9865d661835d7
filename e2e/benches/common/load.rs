//! The load: claims created by several workers, a watch that notes when each is Bound, and the API server's own
//! count of writes.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use crds::{ClaimPhase, HostPortClaim, HostPortClaimSpec, HostPortClass};
use e2e::{devcluster::DevCluster, eventually};
use futures::{StreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use crate::samples;

const CLASS: &str = "bench";
const NAMESPACE: &str = "default";

/// Creates claims and waits for them.
pub(crate) struct Load {
    pub(crate) client: Client,
    workers: usize,
    bound: tokio::sync::Mutex<mpsc::UnboundedReceiver<(String, Instant)>>,
}

/// How long claims took from before their create to the sight of Bound.
pub(crate) struct Times {
    pub(crate) whole: Duration,
    sorted: Vec<Duration>,
}

impl Load {
    /// Applies the definitions and a class of these ports, and watches claims.
    pub(crate) async fn prepare(
        cluster: &DevCluster,
        workers: usize,
        (start, end): (u16, u16),
    ) -> Result<Self> {
        let client = cluster.client().await?;
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        for crd in crds::all() {
            definitions.create(&PostParams::default(), &crd).await?;
        }
        let class: HostPortClass = serde_json::from_value(json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass", "metadata": { "name": CLASS },
            "spec": { "pools": [{ "start": start, "end": end }] },
        }))?;
        eventually(Duration::from_secs(30), "the definitions to be served", || async {
            Ok(Api::all(client.clone()).create(&PostParams::default(), &class).await?)
        })
        .await?;

        let (tell, bound) = mpsc::unbounded_channel();
        let api = Api::<HostPortClaim>::namespaced(client.clone(), NAMESPACE);
        tokio::spawn(async move {
            let mut claims =
                watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Some(claim) = claims.next().await {
                let is_bound = |claim: &HostPortClaim| {
                    claim.status.as_ref().is_some_and(|status| status.phase == ClaimPhase::Bound)
                };
                if let Ok(claim) = claim
                    && is_bound(&claim)
                    && tell.send((claim.name_any(), Instant::now())).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { client, workers, bound: tokio::sync::Mutex::new(bound) })
    }

    /// Creates `count` claims and waits until all are Bound.
    pub(crate) async fn bind(&self, first: usize, count: usize) -> Result<Times> {
        let api = Api::<HostPortClaim>::namespaced(self.client.clone(), NAMESPACE);
        let created = Arc::new(Mutex::new(HashMap::new()));
        let start = Instant::now();
        let creates = stream::iter(first..first + count).map(|number| {
            let (api, created) = (api.clone(), created.clone());
            async move {
                let class = Some(CLASS.to_owned());
                let spec = HostPortClaimSpec { host_port_class_name: class, ..Default::default() };
                let claim = HostPortClaim::new(&format!("claim-{number}"), spec);
                created.lock().insert(claim.name_any(), Instant::now());
                api.create(&PostParams::default(), &claim).await
            }
        });
        let creating = async {
            let mut creates = creates.buffer_unordered(self.workers);
            while let Some(created) = creates.next().await {
                created.context("create a claim")?;
            }
            anyhow::Ok(())
        };
        let mut bound = self.bound.lock().await;
        let waiting = async {
            let mut ends = HashMap::new();
            while ends.len() < count {
                let next = timeout(Duration::from_secs(120), bound.recv()).await;
                let (name, at) = next
                    .with_context(|| format!("{} of {count} claims are Bound", ends.len()))?
                    .context("the watch ended")?;
                ends.entry(name).or_insert(at);
            }
            anyhow::Ok(ends)
        };
        let ((), ends) = tokio::try_join!(creating, waiting)?;
        let created = created.lock();
        let last = ends.values().max().context("no claim")?;
        let mut sorted: Vec<Duration> =
            created.iter().filter_map(|(name, at)| Some(ends.get(name)?.duration_since(*at))).collect();
        ensure!(sorted.len() == count, "{} of {count} claims were seen", sorted.len());
        sorted.sort_unstable();
        Ok(Times { whole: last.duration_since(start), sorted })
    }
}

impl Times {
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let index = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        self.sorted[index.clamp(1, self.sorted.len()) - 1]
    }
}

/// Writes that the API server has counted, of our kinds and of events.
#[derive(Clone, Debug)]
pub(crate) struct Writes(f64);

impl Writes {
    pub(crate) async fn read(client: &Client) -> Result<Self> {
        let counted = samples::read(client).await?.into_iter().filter(|(sample, _)| {
            let is = |label: &str, among: &[&str]| {
                sample.labels.get(label).is_some_and(|value| among.contains(&value))
            };
            sample.metric == "apiserver_request_total"
                && is("verb", &["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"])
                && is("resource", &["hostports", "hostportclaims", "hostportclasses", "events"])
        });
        Ok(Self(counted.map(|(_, count)| count).sum()))
    }

    pub(crate) fn since(&self, earlier: &Writes) -> Self {
        Self(self.0 - earlier.0)
    }

    pub(crate) fn all(&self) -> f64 {
        self.0
    }
}
