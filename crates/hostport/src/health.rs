//! /healthz, /readyz and /metrics.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::Context;
use axum::{
    Router, extract,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;

use crate::listening::listen as listen_on;

/// Whether the process may be sent work, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    /// How many parts of the process are not ready yet.
    missing: AtomicUsize,
    /// Another process leads.
    stands_by: AtomicBool,
    /// It was asked to end.
    stops: AtomicBool,
}

impl Readiness {
    pub(crate) fn awaiting(parts: usize) -> Self {
        let missing = AtomicUsize::new(parts);
        Self(Arc::new(State { missing, stands_by: AtomicBool::new(false), stops: AtomicBool::new(false) }))
    }

    /// One part is ready.
    pub(crate) fn one_is_ready(&self) {
        if self.0.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!("ready");
        }
    }

    /// Another process leads, or this one does. Either is ready: an update waits for the new process to be ready before
    /// it ends the old one, which leads until then.
    pub(crate) fn stands_by(&self, stands_by: bool) {
        self.0.stands_by.store(stands_by, Ordering::Relaxed);
    }

    /// From now on it is not ready, so that nobody sends it more.
    pub(crate) fn stops(&self) {
        self.0.stops.store(true, Ordering::Relaxed);
    }

    fn say(&self) -> (StatusCode, &'static str) {
        let State { missing, stands_by, stops } = &*self.0;
        let unready = StatusCode::SERVICE_UNAVAILABLE;
        match (
            stops.load(Ordering::Relaxed),
            missing.load(Ordering::Relaxed),
            stands_by.load(Ordering::Relaxed),
        ) {
            (true, ..) => (unready, "stopping\n"),
            (_, 1.., _) => {
                (unready, "not yet: caches are being filled, or definitions or the certificate are missing\n")
            }
            (_, 0, true) => (StatusCode::OK, "standby\n"),
            (_, 0, false) => (StatusCode::OK, "ok\n"),
        }
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    registry: Arc<Registry>,
}

/// Serves until `shutdown` ends. Logs the address, which may have been asked for as port 0.
pub(crate) async fn serve(
    listen: SocketAddr,
    readiness: Readiness,
    registry: Registry,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = listen_on(listen).with_context(|| format!("--listen {listen}"))?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let addr = listener.local_addr()?;
    tracing::info!(%addr, "listening");
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Shared { readiness, registry: Arc::new(registry) });
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await.context("the health server ended")
}

async fn readyz(extract::State(shared): extract::State<Shared>) -> (StatusCode, &'static str) {
    shared.readiness.say()
}

async fn metrics(extract::State(shared): extract::State<Shared>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_ready_and_says_what_it_is() {
        let readiness = Readiness::awaiting(1);
        readiness.stands_by(true);
        assert_eq!(readiness.say().0, StatusCode::SERVICE_UNAVAILABLE);

        readiness.one_is_ready();

        assert_eq!(readiness.say(), (StatusCode::OK, "standby\n"));
        readiness.stands_by(false);
        assert_eq!(readiness.say(), (StatusCode::OK, "ok\n"));
    }

    #[test]
    fn who_stops_is_not_ready() {
        let readiness = Readiness::awaiting(0);

        readiness.stops();

        assert_eq!(readiness.say(), (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"));
    }
}
