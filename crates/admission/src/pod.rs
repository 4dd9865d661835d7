//! What admission reads of a pod. Writes go to the raw object, so that fields which this version does not know
//! survive.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// The annotation by which a kubelet marks the mirror of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    #[serde(deserialize_with = "nullable")]
    pub(crate) metadata: Metadata,
    #[serde(deserialize_with = "nullable")]
    pub(crate) spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    generate_name: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    owner_references: Vec<Owner>,
}

/// Whose a pod is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Owner {
    #[serde(deserialize_with = "nullable")]
    pub(crate) api_version: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) uid: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) controller: bool,
}

impl Owner {
    pub(crate) fn is_stateful_set(&self) -> bool {
        self.kind == "StatefulSet" && self.api_version.starts_with("apps/")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(deserialize_with = "nullable")]
    host_network: bool,
    #[serde(deserialize_with = "nullable")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    init_containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<ContainerPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerPort {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    /// Not yet validated by the API server when a mutating webhook sees it, so any number.
    #[serde(deserialize_with = "nullable")]
    pub(crate) container_port: i64,
    /// 0: none. As unvalidated as `container_port`.
    #[serde(deserialize_with = "nullable")]
    pub(crate) host_port: i64,
    #[serde(deserialize_with = "nullable")]
    protocol: String,
}

/// The API server writes an empty list or object as null or leaves it out; both mean the default.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Which list of the pod a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    App,
    /// Init containers, sidecars among them.
    Init,
}

impl List {
    /// The list's field in the pod's spec.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            List::App => "containers",
            List::Init => "initContainers",
        }
    }
}

/// One entry of one container's ports, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) list: List,
    /// Index of the container in its list.
    pub(crate) index: usize,
    /// Index of the entry in the container's ports.
    pub(crate) entry: usize,
    pub(crate) container: &'a Container,
    pub(crate) port: &'a ContainerPort,
}

impl Place<'_> {
    /// Whether both are entries of the same container.
    pub(crate) fn beside(&self, other: &Place<'_>) -> bool {
        (self.list, self.index) == (other.list, other.index)
    }

    /// Whether both are the same entry.
    pub(crate) fn is(&self, other: &Place<'_>) -> bool {
        self.beside(other) && self.entry == other.entry
    }
}

impl ContainerPort {
    pub(crate) fn protocol(&self) -> &str {
        if self.protocol.is_empty() { "TCP" } else { &self.protocol }
    }
}

/// A number of the node that a pod takes when it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried<'a> {
    pub(crate) number: i64,
    pub(crate) place: Place<'a>,
}

impl Pod {
    /// `pod "web"`; a pod whose name the API server makes is called by its generateName.
    pub(crate) fn title(&self) -> String {
        let metadata = &self.metadata;
        match (metadata.name.as_str(), metadata.generate_name.as_str()) {
            ("", "") => "pod".to_owned(),
            ("", start) => format!("pod {start:?}"),
            (name, _) => format!("pod {name:?}"),
        }
    }

    pub(crate) fn is_mirror(&self) -> bool {
        self.metadata.annotations.contains_key(MIRROR)
    }

    /// Its name, if it has one before it is stored.
    pub(crate) fn name(&self) -> Option<&str> {
        Some(self.metadata.name.as_str()).filter(|name| !name.is_empty())
    }

    /// What its name begins with, whoever makes the rest.
    pub(crate) fn stem(&self) -> &str {
        self.name().unwrap_or_else(|| self.metadata.generate_name.trim_end_matches('-'))
    }

    /// The workload that makes it again.
    pub(crate) fn controller(&self) -> Option<&Owner> {
        self.metadata.owner_references.iter().find(|owner| owner.controller)
    }

    pub(crate) fn has_controller(&self) -> bool {
        self.controller().is_some()
    }

    pub(crate) fn host_network(&self) -> bool {
        self.spec.host_network
    }

    /// Every container that can have ports: ephemeral ones cannot.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (List, usize, &Container)> {
        let app = self.spec.containers.iter().enumerate().map(|(index, one)| (List::App, index, one));
        let init = self.spec.init_containers.iter().enumerate().map(|(index, one)| (List::Init, index, one));
        app.chain(init)
    }

    /// Every port entry of every container.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Place<'_>> {
        self.containers().flat_map(|(list, index, container)| {
            let entries = container.ports.iter().enumerate();
            entries.map(move |(entry, port)| Place { list, index, entry, container, port })
        })
    }

    /// Every number of the node that the pod takes: hostPorts, with hostNetwork each containerPort too. An init
    /// container of a hostNetwork pod can have two that differ.
    pub(crate) fn carried(&self) -> impl Iterator<Item = Carried<'_>> {
        self.ports().flat_map(|place| {
            let ContainerPort { host_port, container_port, .. } = *place.port;
            let listens = self.host_network() && container_port != host_port;
            let numbers = [Some(host_port), listens.then_some(container_port)];
            let numbers = numbers.into_iter().flatten().filter(|number| *number != 0);
            numbers.map(move |number| Carried { number, place })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(value: &Value) -> Pod {
        Pod::deserialize(value).unwrap()
    }

    #[test]
    fn nulls_and_absent_lists_are_empty() {
        let pod = pod(&json!({
            "metadata": {"annotations": null, "name": null, "creationTimestamp": null},
            "spec": {"containers": null, "hostNetwork": null},
        }));

        assert_eq!(pod.containers().count(), 0);
        assert_eq!(pod.title(), "pod");
    }

    #[test]
    fn a_pod_without_a_name_is_called_by_its_generate_name() {
        assert_eq!(pod(&json!({"metadata": {"generateName": "echo-"}})).title(), r#"pod "echo-""#);
        assert_eq!(pod(&json!({"metadata": {"generateName": "e-", "name": "e-1"}})).title(), r#"pod "e-1""#);
    }

    #[test]
    fn with_host_network_every_container_port_is_carried() {
        let ports = json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]);
        let mut value = json!({"spec": {
            "containers": [{"ports": ports}],
            "initContainers": [{"ports": [{"containerPort": 90, "hostPort": 91}]}],
        }});
        let numbers = |value: &Value| pod(value).carried().map(|one| one.number).collect::<Vec<_>>();

        assert_eq!(numbers(&value), [81, 91]);

        value["spec"]["hostNetwork"] = json!(true);
        assert_eq!(numbers(&value), [80, 81, 91, 90]);
    }
}
