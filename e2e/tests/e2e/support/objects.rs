//! Objects as their authors write them, and what is read off stored ones.

use anyhow::{Context, Result};
use crds::{Pool, Port};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Class;

pub fn pool(start: u16, end: u16) -> Pool {
    let port = |number| Port::new(number).expect("a port number");
    Pool { start: port(start), end: port(end) }
}

pub async fn create<K>(api: &Api<K>, object: Value) -> Result<K>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let object = serde_json::from_value(object).context("not an object of that kind")?;
    Ok(api.create(&PostParams::default(), &object).await?)
}

/// A pod whose port "web" is claimed.
pub fn pod(name: &str, claim: &str) -> Value {
    pod_with(name, json!({"claim.hostport.io/web": claim}), json!([web(80)]))
}

/// A pod of one container "app" with these annotations and ports.
#[allow(clippy::needless_pass_by_value, reason = "json!(…) is written at each call")]
pub fn pod_with(name: &str, annotations: Value, ports: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "none", "ports": ports}]},
    })
}

pub fn web(container_port: u16) -> Value {
    json!({"name": "web", "containerPort": container_port})
}

/// A Deployment of pods that claim their port "web".
pub fn deployment(name: &str, claim: &str) -> Value {
    let mut template = pod(name, claim);
    template["metadata"]["labels"] = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": template["metadata"]["annotations"]},
                "spec": template["spec"],
            },
        },
    })
}

/// The same as YAML for kubectl: one document after the other.
pub fn yaml(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("---\n{document}\n")).collect()
}

/// A claim as its author writes it.
pub fn claim_yaml(name: &str, class: &Class) -> Value {
    json!({
        "apiVersion": "hostport.io/v1alpha1",
        "kind": "HostPortClaim",
        "metadata": {"name": name},
        "spec": {"hostPortClassName": class.name},
    })
}

/// The numbers of its node that a pod carries.
pub fn host_ports(pod: &Pod) -> Vec<i32> {
    let spec = pod.spec.iter();
    let containers =
        spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(|port| port.host_port).collect()
}

pub fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A variable of the pod's first container.
pub fn variable(pod: &Pod, name: &str) -> Option<String> {
    let env = pod.spec.as_ref()?.containers.first()?.env.as_ref()?;
    env.iter().find(|variable| variable.name == name)?.value.clone()
}

/// A file or folder of `examples/`. Their classes and namespaces have names of their own, which no test changes.
pub fn example(path: &str) -> String {
    format!("{}/../examples/{path}", env!("CARGO_MANIFEST_DIR"))
}
