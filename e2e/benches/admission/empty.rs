//! A webhook that reads a review and allows it: the least that any webhook costs.

use std::net::TcpListener;

use anyhow::Result;
use axum::{Json, Router, routing::post};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

const NAME: &str = "pods.empty.bench";

pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let serving = admission::self_signed(&["127.0.0.1".to_owned()])?;
    let client = Client::try_default().await?;
    install(&client, &format!("https://{addr}/"), serving.ca_pem()).await?;
    let app = Router::new().route("/", post(allow));
    axum_server::from_tcp_rustls(listener, serving.config())?.serve(app.into_make_service()).await?;
    Ok(())
}

async fn allow(Json(review): Json<Value>) -> Json<Value> {
    Json(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": { "uid": review["request"]["uid"], "allowed": true },
    }))
}

async fn install(client: &Client, url: &str, ca: &str) -> Result<()> {
    let webhook = json!({
        "name": NAME,
        "admissionReviewVersions": ["v1"],
        "clientConfig": { "url": url, "caBundle": k8s_openapi::ByteString(ca.as_bytes().to_vec()) },
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "namespaceSelector": { "matchLabels": { "bench": "empty" } },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
    });
    let configuration = json!({ "metadata": { "name": NAME }, "webhooks": [webhook] });
    let mutating: MutatingWebhookConfiguration = serde_json::from_value(configuration.clone())?;
    let validating: ValidatingWebhookConfiguration = serde_json::from_value(configuration)?;
    Api::all(client.clone()).create(&PostParams::default(), &mutating).await?;
    Api::all(client.clone()).create(&PostParams::default(), &validating).await?;
    Ok(())
}

/// Both configurations are there; the warm-up makes sure that they are called.
pub(crate) async fn installed(client: &Client) -> Result<()> {
    Api::<MutatingWebhookConfiguration>::all(client.clone()).get(NAME).await?;
    Api::<ValidatingWebhookConfiguration>::all(client.clone()).get(NAME).await?;
    Ok(())
}
