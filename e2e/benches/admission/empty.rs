//! A webhook that reads a review and allows it: the least that any webhook costs. And the least that costs one which
//! writes a number into the pod: its patch is always the same, and nothing is looked up.

use std::net::TcpListener;

use anyhow::Result;
use axum::{Json, Router, routing::post};
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

/// What it writes into a pod, and the label of namespaces where it is asked.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    label: &'static str,
    mutation: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind { name: "pods.empty.bench", label: "empty", mutation: "allow" },
    Kind { name: "pods.patching.bench", label: "patching", mutation: "patch" },
];

pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let serving = admission::self_signed(&["127.0.0.1".to_owned()])?;
    let client = Client::try_default().await?;
    for kind in KINDS {
        install(&client, kind, &format!("https://{addr}"), serving.ca_pem()).await?;
    }
    let app = Router::new().route("/allow", post(allow)).route("/patch", post(patch));
    axum_server::from_tcp_rustls(listener, serving.config())?.serve(app.into_make_service()).await?;
    Ok(())
}

async fn allow(Json(review): Json<Value>) -> Json<Value> {
    Json(answer(&review, json!({})))
}

/// As ours changes a pod with one port.
async fn patch(Json(review): Json<Value>) -> Json<Value> {
    let patch = json!([
        { "op": "add", "path": "/metadata/annotations", "value": { "port.hostport.io/web": "20000" } },
        { "op": "add", "path": "/spec/containers/0/ports/0/hostPort", "value": 20000 },
        { "op": "add", "path": "/spec/containers/0/env", "value": [{ "name": "HOSTPORT_WEB", "value": "20000" }] },
    ]);
    let patch = ByteString(patch.to_string().into_bytes());
    Json(answer(&review, json!({ "patchType": "JSONPatch", "patch": patch })))
}

fn answer(review: &Value, more: Value) -> Value {
    let mut response = json!({ "uid": review["request"]["uid"], "allowed": true });
    for (key, value) in more.as_object().into_iter().flatten() {
        response[key] = value.clone();
    }
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
}

async fn install(client: &Client, kind: Kind, url: &str, ca: &str) -> Result<()> {
    let configuration = |path: &str| {
        json!({ "metadata": { "name": kind.name }, "webhooks": [{
            "name": kind.name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": { "url": format!("{url}/{path}"), "caBundle": ByteString(ca.as_bytes().to_vec()) },
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "namespaceSelector": { "matchLabels": { "bench": kind.label } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
        }] })
    };
    let mutating: MutatingWebhookConfiguration = serde_json::from_value(configuration(kind.mutation))?;
    let validating: ValidatingWebhookConfiguration = serde_json::from_value(configuration("allow"))?;
    Api::all(client.clone()).create(&PostParams::default(), &mutating).await?;
    Api::all(client.clone()).create(&PostParams::default(), &validating).await?;
    Ok(())
}

/// All configurations are there; the warm-up makes sure that they are called.
pub(crate) async fn installed(client: &Client) -> Result<()> {
    for kind in KINDS {
        Api::<MutatingWebhookConfiguration>::all(client.clone()).get(kind.name).await?;
        Api::<ValidatingWebhookConfiguration>::all(client.clone()).get(kind.name).await?;
    }
    Ok(())
}
