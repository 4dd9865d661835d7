//! Whatever arrives at the webhook's address, it answers, and goes on answering.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Client;
use kube::api::Api;
use kube::client::Body;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::support::{World, pod};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn whatever_is_sent_is_answered_and_the_next_is_too() -> Result<()> {
    let world = World::new("reviews").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let webhook = Webhook::of(&world).await?;
    let good = review(&world, pod("echo", "web")).to_string();

    let mut bodies: Vec<(String, Vec<u8>)> = vec![
        ("nothing".into(), Vec::new()),
        ("not JSON".into(), b"\x00\xff{[".to_vec()),
        ("JSON of something else".into(), b"[1, null, {\"a\": 2}]".to_vec()),
        ("nesting without end".into(), "[".repeat(200_000).into_bytes()),
        ("another kind".into(), changed(&world, "/kind", json!("ConversionReview"))),
        ("another version".into(), changed(&world, "/apiVersion", json!("admission.k8s.io/v1beta1"))),
        ("no request".into(), changed(&world, "/request", json!(null))),
        ("no object".into(), changed(&world, "/request/object", json!(null))),
        (
            "a Service".into(),
            changed(&world, "/request/kind", json!({"group": "", "version": "v1", "kind": "Service"})),
        ),
        ("a pod that is a list".into(), changed(&world, "/request/object", json!([1]))),
        (
            "containers that are a word".into(),
            changed(&world, "/request/object/spec/containers", json!("none")),
        ),
        (
            "a number beyond ports".into(),
            changed(&world, "/request/object/spec/containers/0/ports/0/hostPort", json!(1e300)),
        ),
        ("a namespace that is a path".into(), changed(&world, "/request/namespace", json!("../../x"))),
        (
            "annotations of numbers".into(),
            changed(&world, "/request/object/metadata/annotations", json!({"claim.hostport.io/web": 1})),
        ),
    ];
    let cuts = (0..good.len()).step_by(good.len().div_ceil(40));
    bodies.extend(cuts.map(|cut| (format!("cut at {cut}"), good.as_bytes()[..cut].to_vec())));
    bodies.extend((0..40).map(|seed| (format!("damage {seed}"), damaged(good.as_bytes(), seed))));

    for (what, body) in bodies {
        for path in ["/mutate-pods", "/validate-pods", "/validate-pods/annotated"] {
            let (code, answer) =
                webhook.send(path, body.clone()).await.with_context(|| format!("{what} at {path}"))?;
            match code {
                200 => {
                    let answer: Value =
                        serde_json::from_str(&answer).with_context(|| format!("{what}: {answer}"))?;
                    ensure!(answer["response"]["allowed"].is_boolean(), "{what} at {path}: {answer}");
                }
                400..500 => ensure!(!answer.trim().is_empty(), "{what} at {path}: {code} without a word"),
                _ => bail!("{what} at {path}: {code} {answer}"),
            }
        }
    }

    let huge = [good.as_bytes(), &vec![b' '; 4 * MIB]].concat();
    let (code, answer) = webhook.send("/mutate-pods", huge).await?;
    ensure!(code == 413, "{code} {answer}");

    let (code, answer) = webhook.send("/mutate-pods", good.into_bytes()).await?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(code == 200 && answer["response"]["allowed"] == true, "{answer}");
    ensure!(
        answer["response"]["uid"] == "u1" && answer["response"]["patch"].is_string(),
        "{answer} for port {port}"
    );
    let log = std::fs::read_to_string(world.operator.log())?;
    ensure!(
        !log.contains("panicked") && world.operator.exited().is_none(),
        "it panicked: {}",
        world.operator.log().display()
    );
    Ok(())
}

struct Webhook(Client);

impl Webhook {
    /// At the address, and with the CA, that the API server was told.
    async fn of(world: &World) -> Result<Webhook> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(world.client());
        let configuration = configurations.get("pods.hostport.io").await?;
        let webhook =
            configuration.webhooks.unwrap_or_default().into_iter().next().context("it has a webhook")?;
        let address = webhook.client_config.url.context("it has an address")?;
        let ca = webhook.client_config.ca_bundle.context("it has a CA")?;
        let mut config = kube::Config::new(address.trim_end_matches("/mutate-pods").parse()?);
        config.root_cert = Some(vec![CertificateDer::from_pem_slice(&ca.0)?.to_vec()]);
        Ok(Webhook(Client::try_from(config)?))
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> Result<(u16, String)> {
        let request =
            http::Request::post(path).header("content-type", "application/json").body(Body::from(body))?;
        let answer = async {
            let answer = self.0.send(request).await?;
            let code = answer.status().as_u16();
            let text = answer.into_body().collect_bytes().await?;
            Ok((code, String::from_utf8_lossy(&text).into_owned()))
        };
        tokio::time::timeout(Duration::from_secs(30), answer).await.context("no answer")?
    }
}

fn review(world: &World, mut pod: Value) -> Value {
    pod["metadata"]["namespace"] = json!(world.ns());
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": world.ns(), "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": pod, "dryRun": false,
        },
    })
}

fn changed(world: &World, pointer: &str, value: Value) -> Vec<u8> {
    let mut review = review(world, pod("echo", "web"));
    let (parent, field) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(parent) = review.pointer_mut(parent) {
        parent[field] = value;
    }
    review.to_string().into_bytes()
}

/// Some bytes of the body are others. A linear congruential generator: the same each time.
fn damaged(body: &[u8], seed: u64) -> Vec<u8> {
    let mut body = body.to_vec();
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    for _ in 0..5 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize % body.len();
        body[at] = (state >> 24) as u8;
    }
    body
}
