//! hostport as it is installed: controllers with a Lease that keep the certificates, admissions that serve them behind
//! one address, and somebody who creates pods all the while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::operator::Operator;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::balancer::Balancer;
use crate::faults::world::{SOON, World};
use crate::support::pod;

/// The namespace of the Lease and the Secret.
pub(super) const SYSTEM: &str = "hostport-system";
pub(super) const SECRET: &str = "hostport-webhook-cert";

/// A controller of this user, ready.
pub(super) async fn controller(world: &World, user: &str, more: &[&str]) -> Result<Operator> {
    start(world, "controller", user, more).await
}

/// An admission that serves the Secret's certificate, ready.
pub(super) async fn admission(world: &World) -> Result<Operator> {
    let args = ["--webhook-listen", "127.0.0.1:0", "--certificate-secret", SECRET];
    start(world, "admission", "controller", &args).await
}

async fn start(world: &World, role: &str, user: &str, more: &[&str]) -> Result<Operator> {
    let kubeconfig = world.cluster().kubeconfig_of(user).display().to_string();
    let args = [&[role, "--log", "info,hostport=debug,certificates=debug"], more].concat();
    Operator::start(world.cluster(), &args, &[("KUBECONFIG", &kubeconfig)]).await
}

/// Waits until `/readyz` has this code and text.
pub(super) async fn says(operator: &Operator, code: u16, text: &str) -> Result<()> {
    eventually(SOON, &format!("/readyz to say {text:?}"), || async {
        let said = operator.get("/readyz").await?;
        ensure!(said.0 == code && said.1.trim() == text, "it says {said:?}");
        Ok(())
    })
    .await
}

/// Where it serves the webhooks.
pub(super) fn webhooks_of(operator: &Operator) -> Result<SocketAddr> {
    let log = std::fs::read_to_string(operator.log())?;
    let lines = log.lines().filter(|line| line.contains("\"serving webhooks\""));
    let addr = lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?.get("addr")?.as_str()?.parse().ok());
    addr.last().context("no line of its log says where it serves the webhooks")
}

/// The webhook configurations without a CA, as a chart installs them.
pub(super) async fn configure(world: &World, balancer: &Balancer) -> Result<()> {
    let target = admission::Target::Url(format!("https://{}", balancer.address()));
    let (mutating, validating) = admission::configurations(&target, "", SYSTEM);
    let client = world.client();
    Api::<MutatingWebhookConfiguration>::all(client.clone())
        .create(&PostParams::default(), &mutating)
        .await?;
    Api::<ValidatingWebhookConfiguration>::all(client).create(&PostParams::default(), &validating).await?;
    Ok(())
}

/// What the API server is told to trust.
pub(super) async fn bundle(client: &Client) -> Result<Vec<u8>> {
    let api = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let webhooks = api.get("pods.hostport.io").await?.webhooks.unwrap_or_default();
    let bundle = webhooks.into_iter().next().and_then(|it| it.client_config.ca_bundle);
    Ok(bundle.map(|bundle| bundle.0).unwrap_or_default())
}

pub(super) async fn secret(client: &Client) -> Result<Secret> {
    Ok(Api::<Secret>::namespaced(client.clone(), SYSTEM).get(SECRET).await?)
}

pub(super) fn text(secret: &Secret, key: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
    String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

/// Somebody who creates pods with a claimed port, one after the other, and counts them.
pub(super) struct Churn {
    created: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

impl Churn {
    /// Pods that use this claim of namespace "default".
    pub(super) fn start(client: Client, claim: &str) -> Churn {
        let (created, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped, claim) = (created.clone(), stop.clone(), claim.to_owned());
        let task = tokio::spawn(async move {
            let api = Api::<Pod>::namespaced(client, "default");
            while !stopped.load(Ordering::Relaxed) {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                let name = format!("churn-{number}");
                let pod = serde_json::from_value(pod(&name, &claim))?;
                api.create(&PostParams::default(), &pod).await.with_context(|| format!("pod {number}"))?;
                api.delete(&name, &DeleteParams::default().grace_period(0)).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        });
        Churn { created, stop, task }
    }

    pub(super) fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    /// None was refused so far.
    pub(super) fn is_well(&self) -> bool {
        !self.task.is_finished()
    }

    /// How many were created, all of them admitted; or why one was not.
    pub(super) async fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.created.load(Ordering::Relaxed))
    }
}
