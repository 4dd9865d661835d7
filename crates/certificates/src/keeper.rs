//! Reads, asks the plan, does what it says: one write at a time, each on the version that was read. Two that do it at
//! once are as good as one: the second meets a conflict and reads what the first has written.

use std::{
    collections::BTreeSet,
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::Context;
use crds::names::{WEBHOOK_MUTATE, WEBHOOK_VALIDATE};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Error, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    inject::Configurations,
    metrics::Expiry,
    pair::Authority,
    plan::{Lifetimes, Step, next},
    stored::{Stored, Trusted},
};

pub(crate) const FIELD_MANAGER: &str = "hostport-certificates";
/// A watch ends within this time, seconds, and is begun anew, so that a dead connection is noticed.
const WATCH_LIMIT: u32 = 24;
/// How long to wait after a request that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to wait after a conflict: who wrote before us may be at the next step already.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);
/// All is looked at so often, even if no watch says that something has changed.
const LOOK: Duration = Duration::from_secs(600);

/// What is to be kept, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// Hosts and addresses by which the API server calls the webhooks.
    pub hosts: BTreeSet<String>,
    /// How long certificates live.
    pub lifetimes: Lifetimes,
}

/// Keeps the certificates.
pub struct Keeper {
    secrets: Api<Secret>,
    configurations: Configurations,
    settings: Settings,
    expiry: Expiry,
    /// The bundle that is in every configuration, and since when we have seen it there.
    told: Option<(Vec<Trusted>, Instant)>,
    changes: Pin<Box<dyn Stream<Item = ()> + Send>>,
}

impl Keeper {
    /// One that has seen nothing yet. Needs `get` and `patch` on the Secret and on the two webhook configurations, `list`
    /// and `watch` on each by its name, and `create` on Secrets of that namespace.
    pub fn new(client: &Client, watching: &Client, settings: Settings, expiry: Expiry) -> Self {
        let changes = stream::select_all([
            changes::<Secret>(Api::namespaced(watching.clone(), &settings.namespace), &settings.secret),
            changes::<MutatingWebhookConfiguration>(Api::all(watching.clone()), WEBHOOK_MUTATE),
            changes::<ValidatingWebhookConfiguration>(Api::all(watching.clone()), WEBHOOK_VALIDATE),
        ]);
        Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            configurations: Configurations::new(client),
            settings,
            expiry,
            told: None,
            changes: changes.boxed(),
        }
    }

    /// Keeps them, for as long as it is polled.
    pub async fn keep(mut self) {
        let _forget = Forget(self.expiry.clone());
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(until)) => self.rest(until).await,
                Err(error) if is_conflict(&error) => sleep(AFTER_CONFLICT).await,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "certificates cannot be looked after; trying again");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// One look, and one write if one is due; else until when there is nothing to do.
    async fn step(&mut self) -> anyhow::Result<Option<Timestamp>> {
        let name = self.settings.secret.clone();
        let secret = self.secrets.get_opt(&name).await.with_context(|| format!("read Secret {name}"))?;
        let data = secret.as_ref().and_then(|it| it.data.as_ref());
        let stored = data.map(Stored::read).unwrap_or_default();
        let bundle = stored.bundle();
        let differing =
            self.configurations.differing(&bundle).await.context("read the webhook configurations")?;
        let told_for = self.told_for(&stored, differing.is_nothing());

        let (hosts, lifetimes, now) = (&self.settings.hosts, self.settings.lifetimes, Timestamp::now());
        let mut step = next(&stored, hosts, told_for, now, lifetimes);
        if matches!(step, Step::Rest(_)) && data != Some(&stored.data()?) {
            step = Step::Tidy; // Somebody has changed what follows from what is kept.
        }
        match step {
            Step::Rest(until) => {
                self.show(&stored);
                return Ok(Some(until));
            }
            Step::Inject => self.configurations.write(differing).await.context("write caBundle")?,
            step => {
                let after = stored.after(step, hosts, now, lifetimes)?;
                self.store(secret.as_ref(), &after).await.with_context(|| format!("write Secret {name}"))?;
                report(step, &after);
            }
        }
        Ok(None)
    }

    /// How long this process has seen this bundle in every configuration.
    fn told_for(&mut self, stored: &Stored, is_told: bool) -> Option<Duration> {
        if !is_told || stored.trusted.is_empty() {
            self.told = None;
        } else if self.told.as_ref().is_none_or(|(told, _)| *told != stored.trusted) {
            self.told = Some((stored.trusted.clone(), Instant::now()));
        }
        self.told.as_ref().map(|(_, since)| since.elapsed())
    }

    async fn store(&mut self, secret: Option<&Secret>, stored: &Stored) -> anyhow::Result<Secret> {
        let manager = Some(FIELD_MANAGER.to_owned());
        let name = &self.settings.secret;
        let Some(secret) = secret else {
            let secret = Secret {
                metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
                type_: Some("kubernetes.io/tls".to_owned()),
                data: Some(stored.data()?),
                ..Secret::default()
            };
            let params = PostParams { field_manager: manager, ..PostParams::default() };
            return Ok(self.secrets.create(&params, &secret).await?);
        };
        let patch = json!({
            "metadata": { "uid": secret.uid(), "resourceVersion": secret.resource_version() },
            "data": stored.data()?,
        });
        let params = PatchParams { field_manager: manager, ..PatchParams::default() };
        Ok(self.secrets.patch(name, &params, &Patch::Merge(patch)).await?)
    }

    fn show(&self, stored: &Stored) {
        stored.signing.iter().for_each(|it| self.expiry.ca(it.term.ends));
        stored.serving.iter().for_each(|it| self.expiry.serving(it.term.ends));
    }

    async fn rest(&mut self, until: Timestamp) {
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::select! {
            () = sleep(left.min(LOOK)) => {}
            Some(()) = self.changes.next() => {}
        }
    }
}

/// Who does not keep certificates says nothing of them.
struct Forget(Expiry);

impl Drop for Forget {
    fn drop(&mut self) {
        self.0.forget();
    }
}

fn report(step: Step, stored: &Stored) {
    let authority = |ca: &Option<Authority>| ca.as_ref().map(|ca| ca.term.ends.to_string());
    let ends = stored.serving.as_ref().map(|it| it.term.ends.to_string());
    match step {
        Step::Begin => tracing::info!(ends = authority(&stored.signing), "a CA for the webhooks is made"),
        Step::Prepare => {
            tracing::info!(ends = authority(&stored.next), "the next CA for the webhooks is made")
        }
        Step::Tidy => tracing::info!(
            trusted = stored.trusted.len(),
            "the Secret is put in order: a CA has ended, or it was changed"
        ),
        Step::Issue => tracing::info!(ends, "a serving certificate is issued"),
        Step::Switch => tracing::info!(ends, "a serving certificate is issued, by the next CA"),
        Step::Inject | Step::Rest(_) => {}
    }
}

/// Somebody else wrote in between.
fn is_conflict(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| matches!(cause.downcast_ref::<Error>(), Some(Error::Api(status)) if status.code == 409))
}

/// Says when the object has changed. Reads no more of it than its metadata.
fn changes<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> Pin<Box<dyn Stream<Item = ()> + Send>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_LIMIT);
    let changes = watcher(api, config).default_backoff();
    changes
        .filter_map(async |change| match change {
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => Some(()),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            Err(error) => {
                tracing::debug!(kind = %K::kind(&()), %error, "watch failed, it is begun anew");
                None
            }
        })
        .boxed()
}
