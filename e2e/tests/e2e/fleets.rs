//! One template, many pods: claims named after pods, made for pods, and what becomes of them.

mod enabled;
mod kept;
mod own;
mod warned;

use std::collections::BTreeMap;

use anyhow::Result;
use crds::HostPortClaim;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{World, host_ports};

impl World {
    /// All claims of the namespace, by name.
    async fn claims(&self) -> Result<BTreeMap<String, HostPortClaim>> {
        let all = self.api::<HostPortClaim>().list(&ListParams::default()).await?;
        Ok(all.items.into_iter().map(|claim| (claim.name_any(), claim)).collect())
    }

    async fn scale(&self, set: &str, replicas: usize) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api::<StatefulSet>().patch(set, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// A workload of pods with these annotations and a port "web".
fn workload(kind: &str, name: &str, replicas: usize, annotations: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": "none", "ports": [
                    {"name": "web", "containerPort": 80},
                ]}]},
            },
        },
    })
}

/// The same as a StatefulSet; without nodes none of its pods is ever ready, so they do not wait for each other.
fn stateful_set(name: &str, replicas: usize, annotations: &Value) -> Value {
    let mut set = workload("StatefulSet", name, replicas, annotations);
    set["spec"]["serviceName"] = json!(name);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    set
}

/// The numbers of pods, by the pods' names.
fn numbers(pods: &[Pod]) -> BTreeMap<String, Vec<i32>> {
    pods.iter().map(|pod| (pod.name_any(), host_ports(pod))).collect()
}
