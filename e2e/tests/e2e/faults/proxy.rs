//! A way to the API server on which things go wrong: requests are lost, late, refused or cut off, watches go silent. It
//! remembers every call as it was sent; what was lost or done can be sent again later.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use e2e::eventually;
use futures::{StreamExt, stream};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::world::{SOON, World};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// Of a kind of ours, not of its status.
    pub(super) fn is(&self, method: &Method, kind: &str) -> bool {
        self.method == *method && self.path.contains(&format!("/{kind}")) && !self.path.contains("/status")
    }

    /// It changes something.
    pub(super) fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    pub(super) fn is_watch(&self) -> bool {
        self.method == Method::GET && self.path.contains("watch=true")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Sends it, maybe once more; what the API server says.
    pub(super) async fn send(&self, client: &Client) -> Result<StatusCode> {
        Ok(client.send(self.onward()?).await?.status())
    }

    fn onward(&self) -> Result<http::Request<kube::client::Body>> {
        let mut request = http::Request::builder().method(&self.method).uri(&self.path);
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = self.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        Ok(request.body(self.body.to_vec().into())?)
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, and so does its answer.
    Pass,
    /// It does not arrive.
    Lost,
    /// It arrives, its answer does not.
    AnswerLost,
    /// It arrives, and is answered as if nobody knew.
    Disowned,
    /// It arrives, but not before.
    Late(Duration),
    /// It does not arrive; the answer says that somebody else was quicker.
    Conflict,
    /// It does not arrive; the answer tells to come again after so many seconds.
    TooMany(u64),
    /// It does not arrive; the answer is 500.
    Broken,
    /// It does not arrive, the connection is reset.
    ResetBefore,
    /// It arrives, the connection is reset instead of an answer.
    ResetAfter,
    /// Of a watch: from then on nothing comes any more, not even the end.
    Stalled(Duration),
    /// Of a watch: then it is told that its version is too old.
    Gone(Duration),
}

/// A call, what became of it, and when its answer was begun.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) call: Call,
    pub(super) fate: Fate,
    pub(super) began: Instant,
    pub(super) answered: Option<Instant>,
}

type Judge = Box<dyn FnMut(&Call) -> Fate + Send>;

struct Shared {
    client: Client,
    judge: Mutex<Judge>,
    writes: Mutex<Vec<Call>>,
    lost: Mutex<Vec<Call>>,
    attempts: Mutex<Vec<Attempt>>,
}

/// Serves until dropped.
pub(super) struct Proxy {
    shared: Arc<Shared>,
    kubeconfig: String,
    server: JoinHandle<()>,
}

impl Proxy {
    /// `judge` decides on each call.
    pub(super) async fn start(
        world: &World,
        judge: impl FnMut(&Call) -> Fate + Send + 'static,
    ) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // A connection that ends before its answer is reset, not closed.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_zero_linger();
        });
        let kubeconfig = world.cluster().dir().join(format!("proxy-{}.kubeconfig", address.port()));
        let name = "proxy";
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{ "name": name, "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": name, "user": {} }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        });
        fs::write(&kubeconfig, content.to_string())?;
        let shared = Arc::new(Shared {
            client: world.controllers_client().await?,
            judge: Mutex::new(Box::new(judge)),
            writes: Mutex::default(),
            lost: Mutex::default(),
            attempts: Mutex::default(),
        });
        let app = Router::new().fallback(forward).with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await; // It does not end.
        });
        Ok(Proxy { shared, kubeconfig: kubeconfig.display().to_string(), server })
    }

    /// For those who shall come this way.
    pub(super) fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Every write that has arrived.
    pub(super) fn writes(&self) -> Vec<Call> {
        self.shared.writes.lock().clone()
    }

    /// Every write that was lost, or whose answer was.
    pub(super) fn lost(&self) -> Vec<Call> {
        self.shared.lost.lock().clone()
    }

    /// Every call, in the order in which they came.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.shared.attempts.lock().clone()
    }

    /// Waits until a write was lost.
    pub(super) async fn until_lost(&self) -> Result<Call> {
        eventually(SOON, "a write to be lost", || async {
            let writes = self.writes();
            self.lost().pop().with_context(|| format!("of {} writes all arrived: {writes:?}", writes.len()))
        })
        .await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match shared.forward(request).await {
        Ok(answer) => answer,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

impl Shared {
    async fn forward(&self, request: Request) -> Result<Response> {
        let (head, body) = request.into_parts();
        let call = Call {
            method: head.method,
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers,
            body: to_bytes(body, usize::MAX).await?,
        };
        let fate = self.judge.lock()(&call);
        let number = {
            let mut attempts = self.attempts.lock();
            attempts.push(Attempt { call: call.clone(), fate, began: Instant::now(), answered: None });
            attempts.len() - 1
        };
        let answer = self.answer(call, fate).await;
        self.attempts.lock()[number].answered = Some(Instant::now());
        answer
    }

    async fn answer(&self, call: Call, fate: Fate) -> Result<Response> {
        match fate {
            Fate::Lost => {
                self.lost.lock().push(call);
                return std::future::pending().await;
            }
            Fate::Late(delay) => tokio::time::sleep(delay).await,
            Fate::Conflict => return Ok(conflict(&call)),
            Fate::TooMany(seconds) => {
                return Ok((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], "later")
                    .into_response());
            }
            Fate::Broken => return Ok((StatusCode::INTERNAL_SERVER_ERROR, "broken").into_response()),
            Fate::ResetBefore => return Ok(reset()),
            _ => {}
        }

        let answer = self.client.send(call.onward()?).await?;
        if call.is_write() {
            self.writes.lock().push(call.clone());
        }
        match fate {
            Fate::Disowned => return Ok(StatusCode::GATEWAY_TIMEOUT.into_response()),
            Fate::ResetAfter => return Ok(reset()),
            Fate::AnswerLost => {
                self.lost.lock().push(call);
                return std::future::pending().await;
            }
            _ => {}
        }
        let (head, body) = answer.into_parts();
        let mut back = Response::builder().status(head.status);
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = head.headers.get(&name) {
                back = back.header(name, value);
            }
        }
        let told = Body::new(body).into_data_stream();
        Ok(back.body(match fate {
            Fate::Stalled(after) => {
                Body::from_stream(told.take_until(tokio::time::sleep(after)).chain(stream::pending()))
            }
            Fate::Gone(after) => {
                let gone = Ok(Bytes::from(format!("{GONE}\n")));
                Body::from_stream(told.take_until(tokio::time::sleep(after)).chain(stream::iter([gone])))
            }
            _ => Body::from_stream(told),
        })?)
    }
}

/// What the API server says in a watch whose version it has forgotten.
const GONE: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;

/// The API server has another word for names that are taken.
fn conflict(call: &Call) -> Response {
    let reason = if call.method == Method::POST { "AlreadyExists" } else { "Conflict" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "somebody else was quicker", "reason": reason, "code": 409,
    });
    (StatusCode::CONFLICT, axum::Json(status)).into_response()
}

/// An answer that breaks before its first byte: the server gives the connection up.
fn reset() -> Response {
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("reset on purpose"))]);
    Body::from_stream(broken).into_response()
}
