//! What holds for any body that is posted to a webhook. Also played, with the corpus, by the tests of this crate.

use admission::{Admission, Metrics, router};
use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use k8s_openapi::ByteString;
use kube::Client;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

const WEBHOOKS: [&str; 4] = ["/mutate-pods", "/validate-pods", "/validate-pods/annotated", "/warn-workloads"];

thread_local! {
    /// Its time passes when all wait: nobody waits for a claim that does not come.
    static SERVER: (Runtime, Router) = {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let inside = runtime.enter();
        let client = Client::new(Router::new().fallback(shop), "shop");
        let webhooks = router(Admission::new(client, Metrics::default()));
        drop(inside);
        (runtime, webhooks)
    };
}

/// Each webhook answers the body, or says that it is no review; and a patch of a pod can be applied to it. Whether there
/// was one.
pub fn answered(body: &[u8]) -> bool {
    let mut patched = false;
    SERVER.with(|(runtime, webhooks)| {
        runtime.block_on(async {
            for path in WEBHOOKS {
                patched |= answered_by(webhooks.clone(), path, body).await;
            }
        });
    });
    patched
}

async fn answered_by(webhooks: Router, path: &'static str, body: &[u8]) -> bool {
    let call = Request::post(Uri::from_static(path)).body(Body::from(body.to_vec())).unwrap();
    let response = webhooks.oneshot(call).await.unwrap();
    let code = response.status();
    if code != StatusCode::OK {
        assert!(code.is_client_error(), "{path} answers {code}");
        return false;
    }

    let answer = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    // In a field that no webhook reads, anything may stand.
    let Ok(review) = serde_json::from_slice::<Value>(body) else { return false };
    let response = &answer["response"];
    assert_eq!(response["uid"], review["request"]["uid"], "{path}: {answer}");
    assert!(response["allowed"].is_boolean(), "{path}: {answer}");
    let patch = response.get("patch");
    if let Some(patch) = patch {
        let ByteString(patch) = serde_json::from_value(patch.clone()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        let mut object = review["request"]["object"].clone();
        json_patch::patch(&mut object, &patch).unwrap_or_else(|error| panic!("{path}: {error} in {answer}"));
    }
    patch.is_some()
}

/// An API server where claim `web` of namespace `shop` holds 9000, and nothing else is.
async fn shop(call: Request) -> Response {
    let claim = "/apis/hostport.io/v1alpha1/namespaces/shop/hostportclaims/web";
    let object = match call.uri().path() {
        path if path == claim => json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-web", "generation": 1},
            "spec": {"hostPortClassName": "games"},
            "status": {
                "phase": "Bound", "port": 9000,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Bound", "message": "Bound to port 9000.",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        }),
        "/apis/hostport.io/v1alpha1/hostports/9000" => json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPort",
            "metadata": {"name": "9000", "uid": "u-9000", "resourceVersion": "1"},
            "spec": {
                "class": "games", "port": 9000, "phase": "Bound",
                "claimRef": {"namespace": "shop", "name": "web", "uid": "u-web"},
            },
        }),
        _ => {
            let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                "code": 404, "reason": "NotFound", "message": "not found"});
            return (StatusCode::NOT_FOUND, Json(status)).into_response();
        }
    };
    Json(object).into_response()
}
