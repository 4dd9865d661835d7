//! A webhook of somebody else that takes its time: the pod is stored long after we have said yes to it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use axum_server::tls_rustls::{RustlsConfig, from_tcp_rustls};
use e2e::eventually;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::witness::Witness;
use super::world::{SOON, World, in_world, port_of};

const PORT: u16 = 27_000;

/// How long the other webhook takes.
const SLOW: Duration = Duration::from_secs(8);

/// Longer than a create is in flight here, as the 40 s of the documentation are longer than it can be anywhere.
const REUSE_DELAY: &str = "15s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_stored_eight_seconds_late_keeps_its_port() -> Result<()> {
    in_world("slow-webhook", async |world| {
        for namespace in ["shop", "other"] {
            world.namespace(namespace).await?;
        }
        world.class("one", PORT, PORT, json!({ "reuseDelay": REUSE_DELAY })).await?;
        let witness = Witness::start(world.client()).await?;
        let kubeconfig = world.cluster().kubeconfig_of("controller").display().to_string();
        let _operator = world.operator("dev", &kubeconfig).await?;
        let asked = slow_webhook(world, "shop").await?;
        world.claim("shop", "web", "one").await?;
        world.bound("shop", "web").await?;
        let pods: Api<Pod> = Api::namespaced(world.client(), "shop");

        // The claim goes while its pod is under way: admitted, not stored.
        let create = tokio::spawn({
            let pods = pods.clone();
            async move { pods.create(&PostParams::default(), &pod()?).await.context("create the pod") }
        });
        tokio::time::timeout(SOON, asked.notified()).await.context("the slow webhook is never asked")?;
        ensure!(pods.get_opt("late").await?.is_none(), "the pod is stored already");
        world.delete_claim("shop", "web").await?;
        ensure!(world.claims("shop").get_opt("web").await?.is_none(), "the claim is still there");
        world.claim("other", "waiter", "one").await?;
        let stored = create.await??;

        ensure!(
            host_port(&stored) == Some(PORT.into()),
            "the pod was stored without its port: {:?}",
            stored.spec
        );
        eventually(SOON, "the port to say who keeps it", || async {
            let spec = world.hostports().get(&PORT.to_string()).await?.spec;
            ensure!(spec.held_by.as_deref() == Some("pod shop/late"), "{spec:?}");
            Ok(())
        })
        .await?;
        // Nothing to wait for: that the port goes to nobody has no end but the pod's.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let hostport = world.hostports().get(&PORT.to_string()).await?;
        ensure!(
            hostport.spec.claim_ref.is_some_and(|claim| claim.namespace == "shop"),
            "the port went to another"
        );
        ensure!(
            port_of(&world.claims("other").get("waiter").await?).is_none(),
            "the waiter got a port in use"
        );

        pods.delete("late", &DeleteParams::default().grace_period(0)).await?;
        ensure!(world.bound("other", "waiter").await? == PORT);
        world.settled().await?;
        witness.testify().await?;
        Ok(())
    })
    .await
}

fn pod() -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": { "name": "late", "annotations": { "claim.hostport.io/web": "web" } },
        "spec": { "containers": [{
            "name": "app", "image": "app", "ports": [{ "name": "web", "containerPort": 8080 }],
        }] },
    }))?)
}

fn host_port(pod: &Pod) -> Option<i32> {
    pod.spec.as_ref()?.containers.first()?.ports.as_ref()?.first()?.host_port
}

/// Says yes to every pod of the namespace, after a while; tells when it is asked.
async fn slow_webhook(world: &World, namespace: &str) -> Result<Arc<Notify>> {
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let pem = certificate.cert.pem().into_bytes();
    let key = certificate.signing_key.serialize_pem().into_bytes();
    let tls = RustlsConfig::from_pem(pem.clone(), key).await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("https://{}", listener.local_addr()?);
    let asked = Arc::new(Notify::new());
    let app = Router::new().fallback(post(says_yes)).with_state(asked.clone());
    tokio::spawn(from_tcp_rustls(listener, tls)?.serve(app.into_make_service()));

    let configuration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": { "name": "slow" },
        "webhooks": [{
            "name": "slow.example.com",
            "clientConfig": { "url": url, "caBundle": ByteString(pem) },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"],
            }],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 30,
        }],
    }))?;
    Api::all(world.client()).create(&PostParams::default(), &configuration).await?;
    // It takes the API server a moment to know of it.
    let pods: Api<Pod> = Api::namespaced(world.client(), namespace);
    eventually(SOON, "the slow webhook to be asked", || async {
        let probe: Pod = serde_json::from_value(json!({
            "metadata": { "name": "probe" },
            "spec": { "containers": [{ "name": "app", "image": "app" }] },
        }))?;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        pods.create(&dry, &probe).await?;
        tokio::time::timeout(Duration::ZERO, asked.notified()).await.context("it was not")
    })
    .await?;
    Ok(asked)
}

async fn says_yes(State(asked): State<Arc<Notify>>, Json(review): Json<Value>) -> Json<Value> {
    asked.notify_one();
    let dry_run = review["request"]["dryRun"] == true;
    if !dry_run {
        tokio::time::sleep(SLOW).await;
    }
    Json(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": { "uid": review["request"]["uid"], "allowed": true },
    }))
}
