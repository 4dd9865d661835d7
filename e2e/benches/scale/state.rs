//! The large state: claims, HostPorts, statuses and pods written by a concurrent loader. What a grant looks like is
//! copied from one that the controller has made.

use std::time::Instant;

use anyhow::{Context, Result};
use crds::{ClaimPhase, HostPort, HostPortClaim, HostPortClass};
use e2e::eventually;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// The number of the one real grant, and words that stand for what differs in the copies.
const NUMBER: u16 = 65_535;
const CLASS: &str = "pattern-class";
const NAMESPACE: &str = "pattern-namespace";
const CLAIM: &str = "pattern-claim";

const NAMESPACES: u16 = 100;
const PORTS_PER_CLASS: u16 = 3_000;
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) struct State {
    pub(crate) client: Client,
    pub(crate) claims: u16,
    pub(crate) pods: u16,
    pub(crate) workers: usize,
}

/// One grant as the controller has written it.
pub(crate) struct Pattern {
    hostport: String,
    uid: String,
    status: String,
    /// Of a claim whose port a pod carries.
    finalizers: Vec<String>,
}

impl State {
    /// Has the controller bind a claim that a pod uses, and reads what became of it.
    pub(crate) async fn pattern(&self) -> Result<Pattern> {
        self.class(CLASS, NUMBER, NUMBER).await?;
        self.namespace(NAMESPACE).await?;
        let claims: Api<HostPortClaim> = Api::namespaced(self.client.clone(), NAMESPACE);
        claims.create(&PostParams::default(), &claim(CLAIM, CLASS, &[])?).await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let pod = pods.create(&PostParams::default(), &pod(CLAIM, NUMBER)?).await?;
        let claim = eventually(SOON, "the pattern to be bound and protected", || async {
            let claim = claims.get(CLAIM).await?;
            let bound = claim.status.as_ref().is_some_and(|status| status.phase == ClaimPhase::Bound);
            anyhow::ensure!(bound && !claim.finalizers().is_empty(), "{:?}", claim.status);
            Ok(claim)
        })
        .await?;
        let hostport = Api::<HostPort>::all(self.client.clone()).get(&NUMBER.to_string()).await?;
        let body = json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPort",
            "metadata": { "name": hostport.name_any(), "labels": hostport.labels() },
            "spec": hostport.spec,
        });
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        Ok(Pattern {
            hostport: body.to_string(),
            uid: claim.uid().context("a claim without uid")?,
            status: json!({ "status": claim.status }).to_string(),
            finalizers: claim.finalizers().to_vec(),
        })
    }

    /// Writes everything; the controller does not run.
    pub(crate) async fn load(&self, pattern: &Pattern) -> Result<()> {
        for first in (1..=self.claims).step_by(PORTS_PER_CLASS.into()) {
            let last = (first - 1 + PORTS_PER_CLASS).min(self.claims);
            self.class(&class_of(first), first, last).await?;
        }
        let namespaces =
            (0..NAMESPACES).map(|number| async move { self.namespace(&namespace_of(number)).await });
        stream::iter(namespaces).buffer_unordered(8).try_collect::<Vec<_>>().await?;

        let start = Instant::now();
        let grants = (1..=self.claims).map(|port| self.grant(pattern, port));
        let mut grants = stream::iter(grants).buffer_unordered(self.workers);
        let mut done = 0;
        while grants.try_next().await?.is_some() {
            done += 1;
            if done % 5_000 == 0 {
                eprintln!("  {done} claims after {:.0?}", start.elapsed());
            }
        }
        let carriers = (1..=self.pods.min(self.claims)).map(|port| async move {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace_of(port));
            api.create(&PostParams::default(), &pod(&name_of(port), port)?).await.context("create a pod")
        });
        stream::iter(carriers).buffer_unordered(self.workers).try_for_each(async |_| Ok(())).await?;
        eprintln!("  {} pods after {:.0?}", self.pods.min(self.claims), start.elapsed());
        Ok(())
    }

    /// A bound claim: three writes, one more than a bind has, for the claim itself.
    async fn grant(&self, pattern: &Pattern, port: u16) -> Result<()> {
        let (name, class, namespace) = (name_of(port), class_of(port), namespace_of(port));
        let claims: Api<HostPortClaim> = Api::namespaced(self.client.clone(), &namespace);
        let finalizers = if port <= self.pods { pattern.finalizers.as_slice() } else { &[] };
        let claim = claims.create(&PostParams::default(), &claim(&name, &class, finalizers)?).await?;
        let uid = claim.uid().context("a claim without uid")?;
        let copy = |text: &str| {
            text.replace(&NUMBER.to_string(), &port.to_string())
                .replace(CLASS, &class)
                .replace(NAMESPACE, &namespace)
                .replace(CLAIM, &name)
                .replace(&pattern.uid, &uid)
        };
        let hostport: HostPort = serde_json::from_str(&copy(&pattern.hostport))?;
        Api::all(self.client.clone()).create(&PostParams::default(), &hostport).await?;
        let status: Value = serde_json::from_str(&copy(&pattern.status))?;
        claims.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    async fn class(&self, name: &str, start: u16, end: u16) -> Result<()> {
        let class: HostPortClass = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": { "pools": [{ "start": start, "end": end }], "allowReserved": true },
        }))?;
        Api::all(self.client.clone()).create(&PostParams::default(), &class).await?;
        Ok(())
    }

    /// A namespace in which pods can be created.
    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        eventually(SOON, "the default ServiceAccount", || async {
            anyhow::ensure!(accounts.get_opt("default").await?.is_some(), "there is none");
            Ok(())
        })
        .await
    }
}

fn class_of(port: u16) -> String {
    format!("scale-{}", (port - 1) / PORTS_PER_CLASS)
}

fn namespace_of(number: u16) -> String {
    format!("tenant-{}", number % NAMESPACES)
}

fn name_of(port: u16) -> String {
    format!("claim-{port}")
}

fn claim(name: &str, class: &str, finalizers: &[String]) -> Result<HostPortClaim> {
    Ok(serde_json::from_value(json!({
        "metadata": { "name": name, "finalizers": finalizers },
        "spec": { "hostPortClassName": class },
    }))?)
}

/// As admission would have stored it.
fn pod(claim: &str, port: u16) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": claim,
            "annotations": { "claim.hostport.io/web": claim, "port.hostport.io/web": port.to_string() },
        },
        "spec": {
            // Nobody schedules it: the scheduler's work is not what is measured.
            "schedulerName": "nobody",
            "containers": [{
                "name": "app", "image": "registry.k8s.io/pause:3.10",
                "env": [{ "name": "HOSTPORT_WEB", "value": port.to_string() }],
                "ports": [{ "name": "web", "containerPort": 8080, "hostPort": port }],
            }],
        },
    }))?)
}
