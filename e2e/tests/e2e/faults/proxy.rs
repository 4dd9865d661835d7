//! A way to the API server that remembers every write as it was sent, and can lose it: before it arrives, or the answer
//! to it. What was lost or done can be sent again later.

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use e2e::eventually;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::world::{SOON, World};

/// A request that changes something.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) method: Method,
    pub(super) path: String,
    content_type: String,
    body: Bytes,
}

impl Write {
    /// Of a kind of ours, not of its status.
    pub(super) fn is(&self, method: &Method, kind: &str) -> bool {
        self.method == *method && self.path.contains(&format!("/{kind}")) && !self.path.contains("/status")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Sends it, maybe once more; what the API server says.
    pub(super) async fn send(&self, client: &Client) -> Result<StatusCode> {
        let request = http::Request::builder().method(&self.method).uri(&self.path);
        let request = request.header(header::CONTENT_TYPE, &self.content_type);
        let answer = client.send(request.body(self.body.to_vec().into())?).await?;
        Ok(answer.status())
    }
}

/// What becomes of a write.
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
}

type Judge = Box<dyn FnMut(&Write) -> Fate + Send>;

struct Shared {
    client: Client,
    judge: Mutex<Judge>,
    writes: Mutex<Vec<Write>>,
    lost: Mutex<Vec<Write>>,
}

/// Serves until dropped.
pub(super) struct Proxy {
    shared: Arc<Shared>,
    kubeconfig: String,
    server: JoinHandle<()>,
}

impl Proxy {
    /// `judge` decides on each write.
    pub(super) async fn start(
        world: &World,
        judge: impl FnMut(&Write) -> Fate + Send + 'static,
    ) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
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
            client: world.client(),
            judge: Mutex::new(Box::new(judge)),
            writes: Mutex::default(),
            lost: Mutex::default(),
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
    pub(super) fn writes(&self) -> Vec<Write> {
        lock(&self.shared.writes).clone()
    }

    /// Every write that was lost, or whose answer was.
    pub(super) fn lost(&self) -> Vec<Write> {
        lock(&self.shared.lost).clone()
    }

    /// Waits until a write was lost.
    pub(super) async fn until_lost(&self) -> Result<Write> {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let body = to_bytes(body, usize::MAX).await?;
        let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let content_type =
            head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let write = (head.method != Method::GET).then(|| Write {
            method: head.method.clone(),
            path: path.clone(),
            content_type: content_type.to_owned(),
            body: body.clone(),
        });
        let fate = write.as_ref().map_or(Fate::Pass, |write| lock(&self.judge)(write));
        if let Some(write) = write.clone().filter(|_| fate == Fate::Lost) {
            lock(&self.lost).push(write);
            return std::future::pending().await;
        }

        let mut onward = http::Request::builder().method(head.method).uri(path);
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = head.headers.get(&name) {
                onward = onward.header(name, value);
            }
        }
        let answer = self.client.send(onward.body(body.to_vec().into())?).await?;
        if let Some(write) = write {
            lock(&self.writes).push(write.clone());
            match fate {
                Fate::Disowned => return Ok(StatusCode::GATEWAY_TIMEOUT.into_response()),
                Fate::AnswerLost => lock(&self.lost).push(write),
                Fate::Pass | Fate::Lost => {}
            }
            if fate == Fate::AnswerLost {
                return std::future::pending().await;
            }
        }
        let (head, body) = answer.into_parts();
        let mut back = Response::builder().status(head.status);
        if let Some(value) = head.headers.get(header::CONTENT_TYPE) {
            back = back.header(header::CONTENT_TYPE, value);
        }
        Ok(back.body(Body::new(body))?)
    }
}
