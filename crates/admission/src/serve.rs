//! The HTTPS server: how connections begin and, above all, how they end.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    extract::State,
    http::{HeaderValue, header},
    middleware::map_response_with_state,
    response::Response,
};
use axum_server::{Handle, tls_rustls::from_tcp_rustls};
use hyper_util::rt::TokioTimer;
use tokio::time::sleep;

use crate::{Admission, Serving, router};

/// A connection without a request is closed after this time. The API server closes first, after 90 s.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// At the end, requests in flight have this long.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Serves the webhooks until `shutdown` ends, and for the time of `drain` after it: who has not heard yet that we end is
/// answered, and each answer ends its connection. Then requests in flight are let finish.
///
/// # Errors
/// The listener cannot be used, or the server ends by itself.
pub async fn serve(
    admission: Admission,
    listener: TcpListener,
    tls: &Serving,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true).context("the admission listener")?;
    let handle = Handle::new();
    let mut server = from_tcp_rustls(listener, tls.config())?.http1_only().handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(IDLE_LIMIT);
    let draining = Arc::new(AtomicBool::new(false));
    let router = router(admission).layer(map_response_with_state(draining.clone(), end_connection));
    let end = async {
        shutdown.await;
        draining.store(true, Ordering::Relaxed);
        sleep(drain).await;
    };
    let serving = server.serve(router.into_make_service());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended.context("the admission server ended"),
        () = end => handle.graceful_shutdown(Some(DRAIN_LIMIT)),
    }
    serving.await.context("the admission server ended")
}

/// While draining an answer is the last one of its connection: the caller hears so, and takes another for what follows.
async fn end_connection(State(draining): State<Arc<AtomicBool>>, mut response: Response) -> Response {
    if draining.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
