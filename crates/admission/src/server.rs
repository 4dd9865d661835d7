//! The webhooks around the pure functions: reads what they need, counts, answers. Every request ends in an
//! answer or a 4xx within a fixed time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use futures::{TryStreamExt, future::OptionFuture};
use k8s_openapi::ByteString;
use kube::Client;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::{
    Metrics,
    annotations::{Plan, told_before},
    grants::{Asking, Unsettled, settle},
    lookup::Lookup,
    making::{Maker, Making},
    metrics::{Outcome, Webhook},
    mutate::{Decision, Draft, targets},
    pod::Pod,
    reads::ReadError,
    refusal::Refusal,
    review::{Answer, Request, Verdict},
    standing::{Standing, Standings},
    validate::{self, Managed},
    wait::Waits,
    webhooks::{PATH_ANNOTATED, PATH_MANAGED, PATH_MUTATE, PATH_WORKLOADS},
    workloads,
};

/// The largest review that is read. A pod is at most half of it.
const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// A larger one is refused, but not before its end, up to this size: who still writes does not hear the answer.
const DROPPED_LIMIT: usize = 8 * BODY_LIMIT;
/// A review is answered within this time: below the 10 s after which the API server gives up.
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// What the webhooks answer from. Clones share everything.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    client: Client,
    lookup: Lookup,
    maker: Maker,
    waits: Waits,
    metrics: Metrics,
}

impl Admission {
    /// Reads claims, HostPorts, classes and namespaces by `client`; needs `get` on these, `list` on claims, HostPorts,
    /// classes and pods, and `watch` on claims. Makes claims that annotations ask for: `create` and `patch` on claims.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        let waits = Waits::new(metrics.waits.clone());
        Self(Arc::new(Inner {
            lookup: Lookup::new(client.clone()),
            maker: Maker::new(client.clone()),
            client,
            waits,
            metrics,
        }))
    }

    /// Watches claims, for as long as it is polled. Without it all is right, but each pod waits for more reads.
    pub async fn watch(&self, client: Client) {
        self.0.lookup.known().watch(client).await;
    }
}

/// The webhooks as a service, for [`serve`](crate::serve()) and for tests without TLS.
pub fn router(admission: Admission) -> Router {
    Router::new()
        .route(PATH_MUTATE, post(mutate_pods))
        .route(PATH_MANAGED, post(validate_managed))
        .route(PATH_ANNOTATED, post(validate_annotated))
        .route(PATH_WORKLOADS, post(warn_workloads))
        .with_state(admission)
}

async fn mutate_pods(State(admission): State<Admission>, body: Body) -> Response {
    admission.0.answer(Webhook::mutate, body, Inner::mutate).await
}

async fn validate_managed(State(admission): State<Admission>, body: Body) -> Response {
    let validate =
        async |inner: &Inner, request: &Request, pod: &Pod| inner.validate(request, pod, true).await;
    admission.0.answer(Webhook::validate, body, validate).await
}

async fn validate_annotated(State(admission): State<Admission>, body: Body) -> Response {
    let validate =
        async |inner: &Inner, request: &Request, pod: &Pod| inner.validate(request, pod, false).await;
    admission.0.answer(Webhook::validate, body, validate).await
}

/// Workloads are never denied.
async fn warn_workloads(State(admission): State<Admission>, body: Body) -> Response {
    let (inner, start) = (&admission.0, Instant::now());
    let (outcome, response) = match read(body).await {
        Err(refused) => (Outcome::error, refused),
        Ok(request) => {
            let warnings = workloads::warnings(&inner.client, inner.maker.classes(), &request).await;
            let verdict = Verdict::Allowed { patch: None, warnings };
            (Outcome::allowed, Json(Answer::new(request.uid, verdict)).into_response())
        }
    };
    inner.metrics.reviewed(Webhook::warn, outcome, start.elapsed());
    response
}

/// What keeps a pod from being allowed.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refusal),
    Unread(ReadError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl From<Unsettled> for Stop {
    fn from((Unsettled::Final(refusal) | Unsettled::Waiting(refusal)): Unsettled) -> Self {
        Stop::Refused(refusal)
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Stop::Unread(error)
    }
}

/// The changed pod, if it is changed, and what its author should know.
type Judged = Result<(Option<serde_json::Value>, Vec<String>), Stop>;

impl Inner {
    async fn answer(
        &self,
        webhook: Webhook,
        body: Body,
        judge: impl AsyncFn(&Inner, &Request, &Pod) -> Judged,
    ) -> Response {
        let start = Instant::now();
        let (outcome, response) = match read(body).await {
            Err(refused) => (Outcome::error, refused),
            Ok(request) => {
                let left = TIME_LIMIT.saturating_sub(start.elapsed());
                let verdict = match timeout(left, self.verdict(&request, judge)).await {
                    Ok(verdict) => verdict,
                    Err(_) => Verdict::Failed(
                        "hostport could not judge the pod in time. Nothing is wrong with it; create it again in a \
                         moment."
                            .to_owned(),
                    ),
                };
                let outcome = match &verdict {
                    Verdict::Allowed { .. } => Outcome::allowed,
                    Verdict::Denied(_) => Outcome::denied,
                    Verdict::Failed(_) | Verdict::NotOurs(_) => Outcome::error,
                };
                (outcome, Json(Answer::new(request.uid, verdict)).into_response())
            }
        };
        self.metrics.reviewed(webhook, outcome, start.elapsed());
        response
    }

    async fn verdict(
        &self,
        request: &Request,
        judge: impl AsyncFn(&Inner, &Request, &Pod) -> Judged,
    ) -> Verdict {
        let allowed = |warnings| Verdict::Allowed { patch: None, warnings };
        if !request.is_pod() {
            return Verdict::NotOurs("hostport's webhooks judge pods and nothing else".to_owned());
        }
        if !request.is_create() {
            return allowed(Vec::new());
        }
        let pod = match Pod::deserialize(&request.object) {
            Ok(pod) => pod,
            Err(error) => return Verdict::NotOurs(format!("the object is not a pod: {error}")),
        };
        // A kubelet runs the static pod whatever is said about its mirror.
        if pod.is_mirror() && request.may_mirror() {
            return allowed(Vec::new());
        }
        let namespace = request.namespace().unwrap_or_default();
        match judge(self, request, &pod).await {
            Ok((None, warnings)) => allowed(warnings),
            Ok((Some(changed), warnings)) => {
                let patch = json_patch::diff(&request.object, &changed);
                match serde_json::to_vec(&patch) {
                    _ if patch.0.is_empty() => allowed(warnings),
                    Ok(patch) => Verdict::Allowed { patch: Some(ByteString(patch)), warnings },
                    Err(error) => Verdict::Failed(format!("hostport could not write its patch: {error}")),
                }
            }
            Err(Stop::Refused(refusal)) => {
                let sentence = format!("{} refused: {refusal}", pod.title());
                tracing::info!(namespace, "{sentence}");
                Verdict::Denied(sentence)
            }
            Err(Stop::Unread(error)) => {
                tracing::warn!(namespace, pod = pod.title(), "{error}");
                Verdict::Failed(format!("{} refused: {error}", pod.title()))
            }
        }
    }

    /// Annotations, ports, claims, then the pod with its numbers; a claim that may be bound in a moment is
    /// waited for by those who have nobody that tries again for them.
    async fn mutate(&self, request: &Request, pod: &Pod) -> Judged {
        let mut plan = Plan::of(pod)?;
        targets(pod, &plan)?;
        let asking = asking(request, pod)?;
        // Given up as it is dropped, also when the time is up.
        let mut making = self.maker.begin(pod, request.user(), asking.namespace);
        // I7: a dry run makes nothing.
        if !asking.dry_run && !plan.makes.is_empty() {
            self.maker.make(&mut plan, pod, asking, &mut making).await?;
        }
        let changed = self.decide(request, pod, &plan, asking, &making).await?;
        making.keep();
        Ok(changed)
    }

    async fn decide(
        &self,
        request: &Request,
        pod: &Pod,
        plan: &Plan,
        asking: Asking<'_>,
        making: &Making<'_>,
    ) -> Judged {
        let draft = Draft::new(&request.object, pod, plan)?;
        let claims = plan.claims();
        let known = self.lookup.known();
        let mut wait = if making.hopeful { self.waits.begin_made() } else { None };
        if let Some(wait) = &mut wait {
            let told = known.settled(asking.namespace, &claims);
            wait.pause_while_busy(told, || known.last_bound()).await;
        }
        loop {
            let standings = self.lookup.proposed(asking.namespace, claims.iter().copied()).await?;
            self.serves_nobody_else(asking.namespace, plan, making, &standings).await?;
            let refusal = match draft.decide(&standings, asking) {
                Decision::Allow { pod, warnings } => return Ok((Some(pod), warnings)),
                Decision::Deny(refusal) => return Err(refusal.into()),
                Decision::Wait(refusal) => refusal,
            };
            if wait.is_none() && !asking.retries {
                wait = self.waits.begin();
            }
            let Some(wait) = &mut wait else { return Err(refusal.into()) };
            let goes_on = match making.hopeful {
                true => {
                    let told = known.settled(asking.namespace, &claims);
                    wait.pause_while_busy(told, || known.last_bound()).await
                }
                false => wait.pause(known.all_say(asking.namespace, &claims)).await,
            };
            if !goes_on {
                return Err(refusal.into());
            }
        }
    }

    /// In scope Node a claim serves one pod. Two that come at the same moment may both pass; one of them is then Pending
    /// if there are no more nodes than slots. A claim that this admission gives to the pod is for no other.
    async fn serves_nobody_else(
        &self,
        namespace: &str,
        plan: &Plan,
        making: &Making<'_>,
        standings: &Standings,
    ) -> Result<(), Stop> {
        for used in plan.uses.iter().filter(|used| !making.gives(&used.claim)) {
            let Some(Standing::Held(run)) = standings.get(&used.claim) else { continue };
            if run.is_slot()
                && let Some(pod) = self.lookup.reads().live_pod(namespace, &used.claim, run.first).await?
            {
                let (claim, port) = (used.claim.clone(), used.port_name.clone());
                return Err(Refusal::Serving { claim, pod, port }.into());
            }
        }
        Ok(())
    }

    /// The final object: what it claims is still held and carried; in a managed namespace whatever it carries.
    async fn validate(&self, request: &Request, pod: &Pod, managed: bool) -> Judged {
        let plan = Plan::of(pod)?;
        let asking = asking(request, pod)?;
        let namespace = asking.namespace;
        let allows =
            (managed && pod.host_network()).then(|| self.lookup.reads().allows_host_network(namespace));
        let told = told(pod, &plan);
        let claims = self.lookup.believed(namespace, &told);
        let (standings, allowed) = futures::join!(claims, OptionFuture::from(allows));
        if let Some(allowed) = allowed {
            validate::host_network(pod, namespace, allowed?)?;
        }
        let grants = settle(&plan, &standings?, asking)?;
        validate::annotated(pod, &plan, &grants)?;
        if managed {
            let unexplained = validate::unexplained(pod, &plan, &grants);
            let holders = self.lookup.holders(namespace, unexplained).await?;
            validate::managed(pod, &plan, &grants, &Managed { namespace, holders: &holders })?;
        }
        Ok((None, Vec::new()))
    }
}

fn asking<'a>(request: &'a Request, pod: &Pod) -> Result<Asking<'a>, Refusal> {
    let namespace = request.namespace().ok_or(Refusal::NoNamespace)?;
    let retries = request.is_by_controller() || pod.has_controller();
    Ok(Asking { namespace, dry_run: request.dry_run(), retries })
}

/// The claims of a mutated pod, with the numbers that it was told.
fn told<'a>(pod: &Pod, plan: &'a Plan) -> BTreeMap<&'a str, Option<crds::Port>> {
    let annotations = &pod.metadata.annotations;
    let named = plan.claims();
    let told = plan.told().filter(|told| named.contains(told.claim));
    told.map(|told| (told.claim, told_before(annotations, told.name))).collect()
}

async fn read(body: Body) -> Result<Request, Response> {
    let refused = |code: StatusCode, text: String| (code, text).into_response();
    let bytes = match timeout(TIME_LIMIT, whole(body)).await {
        Err(_) => {
            return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n".to_owned()));
        }
        Ok(Err(error)) => {
            return Err(refused(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}\n")));
        }
        Ok(Ok(None)) => {
            let text = format!("the body is larger than {BODY_LIMIT} bytes, no review of a pod is\n");
            return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(Ok(Some(bytes))) => bytes,
    };
    Request::parse(&bytes).map_err(|error| refused(StatusCode::BAD_REQUEST, format!("{error}\n")))
}

/// The body, unless it is larger than [`BODY_LIMIT`].
async fn whole(body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut frames = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(frame) = frames.try_next().await?
        && length <= DROPPED_LIMIT
    {
        length += frame.len();
        if length <= BODY_LIMIT {
            bytes.extend_from_slice(&frame);
        }
    }
    Ok((length <= BODY_LIMIT).then_some(bytes))
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
