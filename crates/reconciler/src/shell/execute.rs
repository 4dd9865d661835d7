//! Carries actions out: each request has a timeout, repeats with backoff what may pass by itself, and is
//! measured. The one place in the code that writes.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use crds::{ClaimPhase, HostPortClass};
use futures::FutureExt;
use kube::{
    Api, Client, Error, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    metrics::{Kind, Metrics, Request},
    notices::Notices,
    patches::{adoption_patch, claim_with_status, class_status_patch, hostport_of, merge_patch_of},
    slim::{SlimHostPort, SlimHostPortClaim, SlimPod, SlimStatefulSet},
    watches::LIVE,
};
use crate::{
    action::{Action, ActionId, Audit, Deed, Outcome},
    seen::{HostPort, Pod, Version},
};

/// How long one attempt may take, with all the waits in it that the API server asks for (429, Retry-After): the client
/// keeps to them. Silence ends it sooner, by the client's read timeout.
const ATTEMPT: Duration = Duration::from_secs(600);
/// How many requests may be under way at once.
const CONCURRENCY: usize = 64;
/// How many of these may tell people something. A change of a pool or a quota may be told to thousands of claims at once:
/// grants do not wait until all have heard.
const TELLING: usize = 16;
/// Pods of a page of a LIST: a page is twice in memory while it is parsed.
const PAGE: u32 = 500;

/// Carries actions out and tells what came of them.
pub(super) struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    outcomes: mpsc::UnboundedSender<(ActionId, Outcome)>,
    metrics: Metrics,
    notices: Notices,
    room: Semaphore,
    telling: Semaphore,
}

impl Executor {
    pub(super) fn new(
        client: Client,
        outcomes: mpsc::UnboundedSender<(ActionId, Outcome)>,
        metrics: Metrics,
    ) -> Self {
        let notices = Notices::new(client.clone());
        let (room, telling) = (Semaphore::new(CONCURRENCY), Semaphore::new(TELLING));
        Self { inner: Arc::new(Inner { client, outcomes, metrics, notices, room, telling }) }
    }

    /// Starts an action; its outcome comes by the channel.
    pub(super) fn start(&self, id: ActionId, action: Action) {
        let inner = self.inner.clone();
        match action {
            Action::Audit(line) => inner.audit(&line),
            Action::Tell(notice) => drop(spawn(async move { inner.notices.tell(notice).await })),
            action => drop(spawn(async move {
                // A panic is no answer: what waits for it asks again.
                let outcome = AssertUnwindSafe(inner.carry_out(action)).catch_unwind().await;
                let outcome = outcome.unwrap_or_else(|_| Outcome::Failed("the request panicked".to_owned()));
                let _ = inner.outcomes.send((id, outcome)); // Nobody listens after shutdown.
            })),
        }
    }

    /// Waits until what is under way has been answered. A grant of which only the HostPort is written is completed by
    /// the next process, as after a crash.
    pub(super) async fn drain(&self, limit: Duration) {
        let all = u32::try_from(CONCURRENCY).unwrap_or(u32::MAX);
        let _ = timeout(limit, self.inner.room.acquire_many(all)).await;
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Inner {
    /// Given up when nobody hears what comes of it: the lease is lost, another process decides.
    async fn carry_out(&self, action: Action) -> Outcome {
        tokio::select! {
            biased;
            () = self.outcomes.closed() => Outcome::Failed("nobody waits for it any more".to_owned()),
            outcome = self.in_turn(action) => outcome,
        }
    }

    async fn in_turn(&self, action: Action) -> Outcome {
        let telling =
            async { if tells(&action) { self.telling.acquire().await.map(Some) } else { Ok(None) } };
        let (Ok(_telling), Ok(_room)) = (telling.await, self.room.acquire().await) else {
            return Outcome::Failed("no request is begun any more".to_owned());
        };
        let request = name(&action);
        let started = std::time::Instant::now();
        let policy = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_times(6)
            .with_jitter();
        // Boxed: thousands may wait for their turn, and need no room yet for what only 64 do at once.
        let attempt = || {
            let answer = Box::pin(timeout(ATTEMPT, self.request(&action)));
            answer.map(|answer| answer.unwrap_or(Err(Fault::Silence)))
        };
        let answer = attempt.retry(policy).when(Fault::may_pass).await;
        let outcome = answer.unwrap_or_else(|fault| fault.outcome(&action));
        let labels = Request { request, outcome: outcome.name() };
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.seconds.get_or_create(&Kind { request }).observe(started.elapsed().as_secs_f64());
        if let Outcome::Failed(error) = &outcome {
            tracing::warn!(request, error, "no answer from the API server; the request will be repeated");
        }
        outcome
    }

    async fn request(&self, action: &Action) -> Result<Outcome, Fault> {
        let client = self.client.clone();
        let merge = PatchParams::default();
        match action {
            Action::GetClaim(key) => {
                let api = Api::<SlimHostPortClaim>::namespaced(client, &key.namespace);
                claim(api.get(&key.name).await?)
            }
            Action::GetHostPort(spot) => {
                hostport(Api::<SlimHostPort>::all(client).get(&spot.to_string()).await?)
            }
            Action::ListSlots(port) => {
                // No resourceVersion: a consistent read.
                let params = ListParams::default().fields(&format!("spec.port={port}"));
                let found = Api::<SlimHostPort>::all(client).list(&params).await?.items.into_iter();
                let found: Result<Vec<HostPort>, _> = found.map(HostPort::try_from).collect();
                let mut found = found.map_err(|error| senseless(&error))?;
                found.retain(|hostport| !hostport.spot.is_whole());
                Ok(Outcome::HostPorts(found))
            }
            Action::ListPods(namespace) => {
                let api = match namespace {
                    Some(namespace) => Api::<SlimPod>::namespaced(client, namespace),
                    None => Api::all(client),
                };
                live_pods(&api).await.map(Outcome::Pods)
            }
            Action::CreateHostPort(new) => {
                // Sent as the full type, read back as the slim one.
                let body = serde_json::to_vec(&hostport_of(new)).map_err(Error::SerdeError)?;
                let request = kube::core::Request::new(SlimHostPort::url_path(&(), None));
                let request = request.create(&PostParams::default(), body).map_err(Error::BuildRequest)?;
                hostport(client.request(request).await?)
            }
            Action::PatchHostPort { spot, version, change, .. } => {
                let api = Api::<SlimHostPort>::all(client);
                let patch = Patch::Merge(merge_patch_of(*spot, *version, change));
                hostport(api.patch(&spot.to_string(), &merge, &patch).await?)
            }
            Action::DeleteHostPort { spot, uid, version } => {
                let preconditions =
                    Preconditions { uid: Some(uid.to_string()), resource_version: Some(version.to_string()) };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                // Whoever still stands is in the answer.
                let deleted = Api::<SlimHostPort>::all(client).delete(&spot.to_string(), &params).await?;
                Ok(match deleted.left() {
                    None => Outcome::Done,
                    Some(_) => Outcome::Refused(format!(
                        "HostPort {spot} has a finalizer of somebody else and stays until that is taken off"
                    )),
                })
            }
            Action::PutClaimStatus { key, version, status } => {
                let body = serde_json::to_vec(&claim_with_status(key, *version, status));
                let body = body.map_err(Error::SerdeError)?;
                let request =
                    kube::core::Request::new(SlimHostPortClaim::url_path(&(), Some(&key.namespace)));
                let request = request.replace_subresource("status", &key.name, &PostParams::default(), body);
                claim(client.request(request.map_err(Error::BuildRequest)?).await?)
            }
            Action::PatchFinalizers { key, uid, version, finalizers } => {
                let api = Api::<SlimHostPortClaim>::namespaced(client, &key.namespace);
                let finalizers: Vec<&str> = finalizers.iter().map(|it| &**it).collect();
                let Version(version) = version;
                let patch = json!({ "metadata": {
                    "uid": &**uid, "resourceVersion": version.to_string(), "finalizers": finalizers,
                } });
                claim(api.patch(&key.name, &merge, &Patch::Merge(patch)).await?)
            }
            Action::AdoptClaim { key, uid, version, owners } => {
                let api = Api::<SlimHostPortClaim>::namespaced(client, &key.namespace);
                let patch = Patch::Merge(adoption_patch(uid, *version, owners));
                claim(api.patch(&key.name, &merge, &patch).await?)
            }
            Action::DeleteClaim { key, uid, version } => {
                let preconditions =
                    Preconditions { uid: Some(uid.to_string()), resource_version: Some(version.to_string()) };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                Api::<SlimHostPortClaim>::namespaced(client, &key.namespace)
                    .delete(&key.name, &params)
                    .await?;
                Ok(Outcome::Done)
            }
            Action::GetStatefulSet(key) => {
                let set = Api::<SlimStatefulSet>::namespaced(client, &key.namespace).get(&key.name).await?;
                set.try_into().map_err(|error| senseless(&error))
            }
            Action::PatchClassStatus { name, status } => {
                let api = Api::<HostPortClass>::all(client);
                let class = api.patch_status(name, &merge, &Patch::Merge(class_status_patch(status))).await?;
                let class = class.try_into().map_err(|error: super::convert::Senseless| senseless(&error))?;
                Ok(Outcome::Class(Box::new(class)))
            }
            Action::Tell(_) | Action::Audit(_) => Ok(Outcome::Done),
        }
    }

    fn audit(&self, line: &Audit) {
        let deed = match line.deed {
            Deed::Grant => "grant",
            Deed::Release => "release",
            Deed::Free => "free",
        };
        match line.deed {
            Deed::Grant => drop(self.metrics.grants.inc()),
            Deed::Free => drop(self.metrics.frees.inc()),
            Deed::Release => {}
        }
        let (claim, uid) = line.holder.as_ref().map(|(key, uid)| (key.to_string(), uid.to_string())).unzip();
        let (port, slot) = (line.spot.port().get(), line.spot.slot());
        tracing::info!(target: "audit", deed, port, slot, class = %line.class, claim, uid);
    }
}

/// Nothing waits for it but people.
fn tells(action: &Action) -> bool {
    match action {
        Action::PutClaimStatus { status, .. } => status.phase == ClaimPhase::Pending,
        Action::PatchClassStatus { .. } => true,
        _ => false,
    }
}

fn claim(found: SlimHostPortClaim) -> Result<Outcome, Fault> {
    found.try_into().map(|found| Outcome::Claim(Box::new(found))).map_err(|error| senseless(&error))
}

fn hostport(found: SlimHostPort) -> Result<Outcome, Fault> {
    found.try_into().map(|found| Outcome::HostPort(Box::new(found))).map_err(|error| senseless(&error))
}

fn senseless(error: &super::convert::Senseless) -> Fault {
    Fault::Senseless(error.to_string())
}

/// All live pods with ports, as one version of the store has them: the first page is a consistent read (no
/// resourceVersion), the others are of its version.
async fn live_pods(api: &Api<SlimPod>) -> Result<Vec<Pod>, Fault> {
    let mut params = ListParams::default().fields(LIVE).limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        for pod in page.items {
            let pod = Pod::try_from(pod).map_err(|error| senseless(&error))?;
            if !pod.ports.is_empty() {
                found.push(pod);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(found),
            Some(token) => params = params.continue_token(&token),
        }
    }
}

/// Why a request has no result.
#[derive(Debug)]
enum Fault {
    /// The API server, or the way to it, said no.
    Api(Box<Error>),
    /// No answer in time.
    Silence,
    /// An answer that makes no sense.
    Senseless(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Api(Box::new(error))
    }
}

impl Fault {
    /// The same request may succeed a little later.
    fn may_pass(&self) -> bool {
        match self {
            Fault::Api(error) => match &**error {
                // 410: the pages of a LIST took too long.
                Error::Api(status) => matches!(status.code, 410 | 429 | 500..),
                Error::SerdeError(_) | Error::BuildRequest(_) => false,
                _ => true,
            },
            Fault::Silence => true,
            Fault::Senseless(_) => false,
        }
    }

    fn outcome(self, action: &Action) -> Outcome {
        match self {
            Fault::Silence => Outcome::Failed(format!("no answer within {} s", ATTEMPT.as_secs())),
            Fault::Senseless(words) => Outcome::Refused(words),
            Fault::Api(error) => match *error {
                Error::Api(status) => match (status.code, status.reason.as_str()) {
                    // To create something where there is no such resource: our definitions are missing.
                    (404, _) if matches!(action, Action::CreateHostPort(_)) => {
                        Outcome::Refused(status.message)
                    }
                    (404, _) => Outcome::NotFound,
                    (409, "AlreadyExists") => Outcome::Exists,
                    (409, _) => Outcome::Conflict,
                    (410 | 429 | 500.., _) => Outcome::Failed(status.message),
                    _ => Outcome::Refused(status.message),
                },
                error @ (Error::SerdeError(_) | Error::BuildRequest(_)) => {
                    Outcome::Refused(error.to_string())
                }
                other => Outcome::Failed(other.to_string()),
            },
        }
    }
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Outcome::Claim(_)
            | Outcome::HostPort(_)
            | Outcome::HostPorts(_)
            | Outcome::Class(_)
            | Outcome::Pods(_)
            | Outcome::StatefulSet { .. }
            | Outcome::Done => "ok",
            Outcome::NotFound => "not_found",
            Outcome::Conflict => "conflict",
            Outcome::Exists => "exists",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        }
    }
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::GetClaim(_) => "get_claim",
        Action::GetHostPort(_) => "get_hostport",
        Action::ListSlots(_) => "list_slots",
        Action::ListPods(_) => "list_pods",
        Action::CreateHostPort(_) => "create_hostport",
        Action::PatchHostPort { .. } => "patch_hostport",
        Action::DeleteHostPort { .. } => "delete_hostport",
        Action::PutClaimStatus { .. } => "put_claim_status",
        Action::PatchFinalizers { .. } => "patch_claim_finalizers",
        Action::AdoptClaim { .. } => "adopt_claim",
        Action::DeleteClaim { .. } => "delete_claim",
        Action::GetStatefulSet(_) => "get_statefulset",
        Action::PatchClassStatus { .. } => "patch_class_status",
        Action::Tell(_) => "event",
        Action::Audit(_) => "audit",
    }
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
