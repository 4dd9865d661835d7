//! /healthz, /readyz and /metrics.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;

/// How many parts of the process are not ready yet.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<AtomicUsize>);

impl Readiness {
    pub(crate) fn awaiting(parts: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(parts)))
    }

    /// One part is ready.
    pub(crate) fn one_is_ready(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!("ready");
        }
    }

    fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
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
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    let addr = listener.local_addr()?;
    tracing::info!(%addr, "listening");
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Shared { readiness, registry: Arc::new(registry) });
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await.context("the health server ended")
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match shared.readiness.is_complete() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "caches are not filled yet, or definitions are missing\n"),
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
