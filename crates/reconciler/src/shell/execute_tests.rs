//! Against an API server that answers what these tests want.

use std::{future::pending, time::Duration};

use allocator::{Port, Spot};
use axum::{
    Json, Router,
    body::{Body, to_bytes},
    http::{Method, Request},
    response::{IntoResponse, Response},
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::time::timeout;

use super::*;
use crate::{
    action::NewHostPort,
    seen::Key,
    text::{ClaimStatus, Trouble, troubled},
};

/// Never answers a PUT; what it is to create, it created.
async fn serve(call: Request<Body>) -> Response {
    let (head, body) = call.into_parts();
    if head.method == Method::PUT {
        return pending().await;
    }
    let mut body: Value = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
    body["metadata"]["uid"] = "u1".into();
    body["metadata"]["resourceVersion"] = "1".into();
    Json(body).into_response()
}

fn told(name: &str) -> Action {
    let status = ClaimStatus {
        generation: 1,
        phase: ClaimPhase::Pending,
        class: None,
        run: None,
        conditions: troubled(&Trouble::class_not_found("games")),
        ready_since: 0,
    };
    Action::PutClaimStatus { key: Key::new("shop", name), version: Version(1), status: Box::new(status) }
}

fn grant() -> Action {
    Action::CreateHostPort(NewHostPort {
        spot: Spot::whole(Port::new(9000).unwrap()),
        class: "games".into(),
        key: Key::new("shop", "a"),
        uid: "u1".into(),
        policy: crds::ReclaimPolicy::Delete,
        block: None,
    })
}

#[tokio::test]
async fn a_grant_does_not_wait_until_a_thousand_claims_are_told() {
    let client = Client::new(Router::new().fallback(serve), "default");
    let (outcomes, mut answered) = mpsc::unbounded_channel();
    let executor = Executor::new(client, outcomes, Metrics::register(&mut Registry::default()));
    for id in 0..1000 {
        executor.start(ActionId(id), told(&format!("c{id}")));
    }
    tokio::task::yield_now().await;

    executor.start(ActionId(1000), grant());

    let (id, outcome) = timeout(Duration::from_secs(10), answered.recv()).await.unwrap().unwrap();
    assert_eq!(id, ActionId(1000));
    assert!(matches!(outcome, Outcome::HostPort(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_waits_for_its_turn_is_small() {
    let client = Client::new(Router::new().fallback(serve), "default");
    let executor =
        Executor::new(client, mpsc::unbounded_channel().0, Metrics::register(&mut Registry::default()));

    let size = size_of_val(&executor.inner.carry_out(grant()));

    assert!(size < 1024, "{size} bytes for each of thousands");
}
