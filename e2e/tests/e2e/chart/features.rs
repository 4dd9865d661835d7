//! All that hostport does, once, for the rights that it needs.

use anyhow::{Context, Result, ensure};
use crds::{HostPortClaim, HostPortClass};
use e2e::{chart, eventually};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::installed::{Installed, Tenant, refusal};
use crate::support::{SOON, host_ports, pod, pod_with, web};

pub async fn all(installed: &Installed) -> Result<()> {
    let tenant = installed.tenant("features", json!({"example.com/team": "red"})).await?;
    let managed = json!({"hostport.io/managed": "true", "hostport.io/allow-host-network": "true"});
    let managed = installed.tenant("managed-features", managed).await?;
    classes(installed).await?;

    a_claim_and_its_pod(&tenant).await.context("a claim and its pod")?;
    a_retained_port(installed, &tenant).await.context("a retained port")?;
    a_block(&tenant).await.context("a block")?;
    scope_node(&tenant).await.context("scope Node")?;
    an_exhausted_pool(&tenant).await.context("an exhausted pool")?;
    claims_by_annotation(&tenant).await.context("claims by annotation")?;
    a_place_that_is_scaled_away(&tenant).await.context("a place that is scaled away")?;
    host_network(&managed).await.context("hostNetwork")?;
    metrics_have_what_alerts_ask_for(installed).await.context("metrics")
}

async fn classes(installed: &Installed) -> Result<()> {
    installed.class("f-plain", 13_000, 13_063, "Delete").await?;
    installed.class("f-retain", 13_100, 13_107, "Retain").await?;
    installed.class("f-tiny", 13_200, 13_200, "Delete").await?;
    let class = |name: &str, annotations: Value, spec: Value| {
        json!({"apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass",
            "metadata": {"name": name, "annotations": annotations}, "spec": spec})
    };
    let pools = |start: u16| json!([{"start": start, "end": start + 31}]);
    installed
        .apply(&[
            class("f-node", json!({}), json!({"pools": pools(13_300), "scope": "Node", "reuseDelay": "1s"})),
            class("f-one", json!({}), json!({"pools": pools(13_400), "maxPerNamespace": 1, "reuseDelay": "1s"})),
            class(
                "f-default",
                json!({"hostportclass.hostport.io/is-default-class": "true"}),
                json!({"pools": pools(13_500), "namespaceSelector": {"matchLabels": {"example.com/team": "red"}}}),
            ),
        ])
        .await
}

async fn create_pod(tenant: &Tenant, pod: Value) -> Result<Pod> {
    let name = pod["metadata"]["name"].to_string();
    let created = tenant.api().create(&PostParams::default(), &serde_json::from_value(pod)?).await;
    created.with_context(|| format!("create pod {name}"))
}

/// A force delete: there is no kubelet here that would end it.
async fn delete_pod(tenant: &Tenant, name: &str) -> Result<()> {
    tenant.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

async fn says(tenant: &Tenant, claim: &str, reason: &str) -> Result<()> {
    eventually(SOON, &format!("claim {claim} to say {reason}"), || async {
        let found = tenant.api::<HostPortClaim>().get(claim).await?;
        ensure!(found.ready_reason() == Some(reason), "{:?}", found.ready_message());
        Ok(())
    })
    .await
}

async fn is_gone(tenant: &Tenant, claim: &str) -> Result<()> {
    eventually(SOON, &format!("claim {claim} to be gone"), || async {
        let found = tenant.api::<HostPortClaim>().get_opt(claim).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// Bound, carried, protected, and free again.
async fn a_claim_and_its_pod(tenant: &Tenant) -> Result<()> {
    let port = tenant.claim("web", "f-plain").await?;
    let stored = create_pod(tenant, pod("web", "web")).await?;
    ensure!(host_ports(&stored) == [i32::from(port)]);
    let claims = tenant.api::<HostPortClaim>();
    eventually(SOON, "the claim to be protected", || async {
        let finalizers = claims.get("web").await?.metadata.finalizers.unwrap_or_default();
        ensure!(!finalizers.is_empty(), "no finalizer");
        Ok(())
    })
    .await?;
    claims.delete("web", &DeleteParams::default()).await?;
    says(tenant, "web", "InUse").await?;
    delete_pod(tenant, "web").await?;
    is_gone(tenant, "web").await?;

    let missing = refusal(create_pod_raw(tenant, pod("missing", "nowhere")).await?)?;
    ensure!(missing.contains("does not exist"), "{missing}");
    Ok(())
}

async fn create_pod_raw(tenant: &Tenant, pod: Value) -> Result<kube::Result<Pod>> {
    Ok(tenant.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(pod)?).await)
}

async fn a_retained_port(installed: &Installed, tenant: &Tenant) -> Result<()> {
    let port = tenant.claim("kept", "f-retain").await?;
    tenant.api::<HostPortClaim>().delete("kept", &DeleteParams::default()).await?;
    installed.host_port(port, "Released").await?;
    let hostports: Api<crds::HostPort> = Api::all(installed.cluster.client().await?);
    let patch = Patch::Merge(json!({"spec": {"claimRef": null}}));
    hostports.patch(&port.to_string(), &PatchParams::default(), &patch).await?;
    installed.host_port(port, "Available").await?;
    Ok(())
}

async fn a_block(tenant: &Tenant) -> Result<()> {
    let claim = json!({"apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": "rtp"}, "spec": {"hostPortClassName": "f-plain", "count": 4}});
    let claims = tenant.api::<HostPortClaim>();
    claims.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
    says(tenant, "rtp", "Bound").await?;
    let stored = create_pod(tenant, pod("rtp", "rtp")).await?;
    ensure!(host_ports(&stored).len() == 4, "{:?}", host_ports(&stored));
    Ok(())
}

async fn scope_node(tenant: &Tenant) -> Result<()> {
    tenant.claim("lobby", "f-node").await?;
    create_pod(tenant, pod("lobby", "lobby")).await?;
    let second = refusal(create_pod_raw(tenant, pod("second", "lobby")).await?)?;
    ensure!(second.contains("already has a live pod"), "{second}");
    tenant.api::<HostPortClaim>().delete("lobby", &DeleteParams::default()).await?;
    delete_pod(tenant, "lobby").await?;
    is_gone(tenant, "lobby").await
}

async fn an_exhausted_pool(tenant: &Tenant) -> Result<()> {
    tenant.claim("first", "f-tiny").await?;
    let claim = json!({"apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": "second"}, "spec": {"hostPortClassName": "f-tiny"}});
    let claims = tenant.api::<HostPortClaim>();
    claims.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
    says(tenant, "second", "PoolExhausted").await?;
    claims.delete("first", &DeleteParams::default()).await?;
    says(tenant, "second", "Bound").await
}

/// For one pod, of the default class, and given up because its namespace has as much as it may.
async fn claims_by_annotation(tenant: &Tenant) -> Result<()> {
    for (name, class) in [("own", "f-plain"), ("by-default", "")] {
        let annotations = json!({"class.hostport.io/web": class});
        let stored = eventually(SOON, "the pod to be admitted", || async {
            create_pod(tenant, pod_with(name, annotations.clone(), json!([web(80)]))).await
        })
        .await?;
        ensure!(host_ports(&stored).len() == 1);
    }
    tenant.claim("the-one", "f-one").await?;
    let too_much = pod_with("too-much", json!({"class.hostport.io/web": "f-one"}), json!([web(80)]));
    for _ in 0..2 {
        let said = refusal(create_pod_raw(tenant, too_much.clone()).await?)?;
        ensure!(said.contains("is not Bound"), "{said}");
    }
    delete_pod(tenant, "own").await
}

async fn a_place_that_is_scaled_away(tenant: &Tenant) -> Result<()> {
    let mut template = pod_with(
        "sip",
        json!({
            "claim.hostport.io/web": "sip-$(POD_INDEX)",
            "class.hostport.io/web": "f-plain",
            "hostport.io/when-scaled": "Delete",
        }),
        json!([web(80)]),
    );
    template["metadata"] =
        json!({"labels": {"app": "sip"}, "annotations": template["metadata"]["annotations"]});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "sip"},
        "spec": {
            "serviceName": "sip", "replicas": 1, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "sip"}},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    });
    let sets = tenant.api::<StatefulSet>();
    sets.create(&PostParams::default(), &serde_json::from_value(set)?).await?;
    eventually(SOON, "the StatefulSet's pod", || async { Ok(tenant.api::<Pod>().get("sip-0").await?) })
        .await?;
    says(tenant, "sip-0", "Bound").await?;
    let scale = Patch::Merge(json!({"spec": {"replicas": 0}}));
    sets.patch("sip", &PatchParams::default(), &scale).await?;
    eventually(SOON, "the pod to be on its way out", || async {
        let pod = tenant.api::<Pod>().get_opt("sip-0").await?;
        ensure!(pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()), "it is there");
        Ok(())
    })
    .await?;
    let _ = delete_pod(tenant, "sip-0").await;
    is_gone(tenant, "sip-0").await
}

/// Whether a namespace allows it is read when such a pod comes.
async fn host_network(tenant: &Tenant) -> Result<()> {
    let mut pod = pod_with("node-exporter", json!({}), json!([]));
    pod["spec"]["hostNetwork"] = json!(true);
    create_pod(tenant, pod).await.map(drop)
}

/// Every metric of the alerts and the dashboard is there, or a rule would never fire.
async fn metrics_have_what_alerts_ask_for(installed: &Installed) -> Result<()> {
    let class: Api<HostPortClass> = Api::all(installed.cluster.client().await?);
    class.get("f-plain").await?;
    let rules = std::fs::read_to_string(chart::dir().join("templates/monitoring/prometheusrule.yaml"))?;
    let dashboard = std::fs::read_to_string(chart::dir().join("files/dashboard.json"))?;
    let mut names: Vec<&str> = [&*rules, &*dashboard]
        .into_iter()
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| word.starts_with("hostport_"))
        .collect();
    names.sort_unstable();
    names.dedup();
    ensure!(names.len() > 8, "{names:?}");
    // Of namespaces and classes the controller tells once a second.
    eventually(SOON, "every metric to be told", || async {
        let told = installed.metrics().await?;
        let of =
            |name: &str, line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let untold: Vec<&&str> =
            names.iter().filter(|name| !told.lines().any(|line| of(name, line))).collect();
        ensure!(untold.is_empty(), "no process tells {untold:?}");
        Ok(())
    })
    .await
}
