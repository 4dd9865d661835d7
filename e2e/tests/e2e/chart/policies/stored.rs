//! Pods that are stored: what they were admitted with stays.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::chart::installed::{installed, refusal};
use crate::support::{annotation, host_ports, pod};

#[tokio::test]
async fn our_annotations_and_labels_of_a_stored_pod_cannot_be_changed_and_others_can() -> Result<()> {
    let installed = installed().await?;
    installed.class("stored", 12_000, 12_007, "Delete").await?;
    let tenant = installed.tenant("stored-pods", json!({"hostport.io/managed": "true"})).await?;
    let port = tenant.claim("web", "stored").await?;
    let pods = tenant.api::<Pod>();
    let stored = pods.create(&PostParams::default(), &serde_json::from_value(pod("p", "web"))?).await?;
    ensure!(host_ports(&stored) == [i32::from(port)]);
    ensure!(annotation(&stored, "port.hostport.io/web") == Some(port.to_string().as_str()));
    let patch = async |metadata: Value| {
        pods.patch("p", &PatchParams::default(), &Patch::Merge(json!({"metadata": metadata}))).await
    };

    for annotations in [
        json!({"claim.hostport.io/web": "other"}),
        json!({"claim.hostport.io/web": null}),
        json!({"claim.hostport.io/more": "web"}),
        json!({"port.hostport.io/web": "1"}),
        json!({"port.hostport.io/web": null}),
        json!({"hostport.io/enabled": "true"}),
    ] {
        let said = refusal(patch(json!({"annotations": annotations})).await)?;
        ensure!(said.contains("cannot be changed"), "{annotations}: {said}");
    }
    let said = refusal(patch(json!({"labels": {"hostport.io/port-12000": "web"}})).await)?;
    ensure!(said.contains("cannot be changed"), "{said}");
    let relabelled = Patch::Merge(json!({"metadata": {"labels": {"hostport.io/port-12000": "web"}}}));
    // No role of a tenant has the right to statuses.
    let statuses = Api::<Pod>::namespaced(installed.cluster.client().await?, "stored-pods");
    let said = refusal(statuses.patch_status("p", &PatchParams::default(), &relabelled).await)?;
    ensure!(said.contains("cannot be changed"), "{said}");
    let message = Patch::Merge(json!({"status": {"message": "as a scheduler writes it"}}));
    statuses.patch_status("p", &PatchParams::default(), &message).await?;

    patch(json!({"annotations": {"example.com/note": "a", "hostport.io.example.com/x": "b"}})).await?;
    patch(json!({"labels": {"app": "web"}})).await?;
    patch(json!({"annotations": {"example.com/note": null}})).await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_without_any_annotation_or_label_can_be_changed() -> Result<()> {
    let installed = installed().await?;
    let tenant = installed.tenant("plain-pods", json!({})).await?;
    let pods = tenant.api::<Pod>();
    let spec = json!({"containers": [{"name": "app", "image": "none"}]});
    let plain = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec}))?;
    pods.create(&PostParams::default(), &plain).await?;

    let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "web"}}}));
    pods.patch("p", &PatchParams::default(), &patch).await?;
    Ok(())
}
