//! Nodes that exist in the API only, played by kwok: they are Ready, and pods on them run at once and go when they are
//! deleted. No container starts and no port is opened. kwok starts with the first of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{DevCluster, commands};
use crate::controlplane::Program;
use crate::kwok::Kwok;

/// How many are made at a time.
const AT_ONCE: usize = 16;

/// Some nodes of a kind.
#[derive(Debug, Clone)]
pub struct FakeNodes {
    /// They are called `NAME-0`, `NAME-1`, … and have this label: `hostport.io/fake-nodes: NAME`.
    pub name: String,
    /// From which number to which.
    pub numbers: Range<usize>,
    /// Whether only pods that ask for them get there ([`FakeNodes::only_here`]).
    pub reserved: bool,
}

impl FakeNodes {
    /// Nodes that only pods get to which have [`FakeNodes::only_here`] in their spec: others' pods stay as they are.
    pub fn reserved(name: &str, count: usize) -> FakeNodes {
        FakeNodes { name: name.to_owned(), numbers: 0..count, reserved: true }
    }

    /// The next ones of the same name, for the same pods.
    pub fn next(&self, count: usize) -> FakeNodes {
        let first = self.numbers.end;
        FakeNodes { numbers: first..first + count, ..self.clone() }
    }

    /// Their label.
    pub const LABEL: &str = "hostport.io/fake-nodes";

    /// Puts into a pod's spec that it is for these nodes and for no others.
    pub fn only_here(&self, spec: &mut serde_json::Value) {
        spec["nodeSelector"] = json!({ FakeNodes::LABEL: self.name });
        spec["tolerations"] = json!([{ "key": commands::FAKE_NODE, "operator": "Exists" }]);
        // There is nobody to mount a token, and none to use it.
        spec["automountServiceAccountToken"] = json!(false);
    }

    /// What they are called.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.numbers.clone().map(|number| format!("{}-{number}", self.name))
    }

    fn node(&self, name: &str) -> Result<Node> {
        let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "500" });
        let mut node = json!({
            "metadata": {
                "name": name,
                "annotations": { commands::FAKE_NODE: commands::FAKE },
                "labels": BTreeMap::from([
                    (FakeNodes::LABEL, self.name.as_str()),
                    ("kubernetes.io/hostname", name),
                    ("kubernetes.io/os", "linux"),
                    ("type", "kwok"),
                ]),
            },
            "status": { "allocatable": room, "capacity": room },
        });
        if self.reserved {
            let taint =
                json!({ "key": commands::FAKE_NODE, "value": commands::FAKE, "effect": "NoSchedule" });
            node["spec"] = json!({ "taints": [taint] });
        }
        Ok(serde_json::from_value(node)?)
    }
}

impl DevCluster {
    /// Makes these nodes and returns when all are Ready. The first time it starts kwok, and builds it if it is not there.
    pub async fn add_fake_nodes(&self, nodes: &FakeNodes) -> Result<()> {
        ensure!(
            self.is_own(),
            "nodes are played in a cluster of our own only, not in that of your kubeconfig"
        );
        self.plays_nodes.get_or_try_init(|| self.start_kwok()).await?;

        let api: Api<Node> = Api::all(self.client().await?);
        let parameters = PostParams::default();
        stream::iter(nodes.names())
            .map(async |name| api.create(&parameters, &nodes.node(&name)?).await.context("create a node"))
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await?;

        let label = ListParams::default().labels(&format!("{}={}", FakeNodes::LABEL, nodes.name));
        self.until("the fake nodes to be Ready", || async {
            let found = api.list(&label).await?;
            let ready: BTreeSet<String> =
                found.iter().filter(|node| is_ready(node)).map(ResourceExt::name_any).collect();
            let late = nodes.names().find(|name| !ready.contains(name));
            ensure!(late.is_none(), "{} are, {late:?} is not", ready.len());
            Ok(())
        })
        .await
    }

    /// Takes a node out of the API, as a cloud does whose machine is gone. Its pods stay: see
    /// [`DevCluster::collect_pods_of`].
    pub async fn remove_fake_node(&self, name: &str) -> Result<()> {
        let api: Api<Node> = Api::all(self.client().await?);
        api.delete(name, &DeleteParams::default()).await.with_context(|| format!("delete node {name}"))?;
        Ok(())
    }

    /// Takes the pods of a node that is gone out of the API, as the controller manager does 40 to 80 seconds later: they
    /// have failed, and then they are no more. How many there were.
    pub async fn collect_pods_of(&self, node: &str) -> Result<usize> {
        let client = self.client().await?;
        let of_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = Api::<Pod>::all(client.clone()).list(&of_node).await?.items;
        for pod in &pods {
            let (name, namespace) = (pod.name_any(), pod.namespace().context("a pod without namespace")?);
            let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let failed = Patch::Merge(json!({ "status": { "phase": "Failed" } }));
            api.patch_status(&name, &PatchParams::default(), &failed).await?;
            api.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        }
        Ok(pods.len())
    }

    async fn start_kwok(&self) -> Result<()> {
        let kwok = tokio::task::spawn_blocking(Kwok::find_or_build).await??;
        self.spawn_from(kwok.program(), Program::Kwok, commands::kwok(&kwok.stages()))
    }
}

pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == "True")
}
