//! Pods that run for real, in a world of a test.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use e2e::devcluster::Node;
use e2e::shared::cluster_with_nodes;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::scenarios::support::{World, pod_with};
use crate::talk::{OverUdp, over_tcp};

const NODES: usize = 2;

/// A namespace in the cluster with nodes, and the operator; nothing where the machine can have no nodes.
pub async fn world(name: &str) -> Result<Option<World>> {
    match cluster_with_nodes(NODES).await? {
        Some(_) => Ok(Some(World::new(name).await?)),
        None => Ok(None),
    }
}

/// A pod whose port "web" is claimed, and answers over TCP and UDP.
pub fn echo(name: &str, claim: &str) -> Value {
    let annotations = json!({ "claim.hostport.io/web": claim, "options.hostport.io/web": "TCPUDP" });
    let mut pod = pod_with(name, annotations, json!([{ "name": "web", "containerPort": 8080 }]));
    pod["spec"]["containers"][0]["image"] = json!("hostport.test/echo:1");
    // As the first process of its container it does not hear a SIGTERM.
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    pod
}

/// The same for a node.
pub fn echo_on(node: &Node, name: &str, claim: &str) -> Value {
    let mut pod = echo(name, claim);
    pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node.name() });
    pod
}

impl World {
    pub fn real_nodes(&self) -> &'static [Node] {
        self.env.cluster().nodes()
    }

    /// Waits until the kubelet says that the pod is Ready; the node it is on.
    pub async fn runs(&self, pod: &str) -> Result<&'static Node> {
        self.until(&format!("pod {pod} to be Ready"), || async {
            let found = self.api::<Pod>().get(pod).await?;
            let (spec, status) = (found.spec.context("no spec")?, found.status.context("no status")?);
            let ready =
                status.conditions.iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
            ensure!(ready, "it is {:?}; {}", status.phase, self.troubles().await?.join("; "));
            let name = spec.node_name.context("it has no node")?;
            self.real_nodes().iter().find(|node| node.name() == name).context("it is on none of our nodes")
        })
        .await
    }

    /// Deletes a pod as users do, and waits until its kubelet has ended it.
    pub async fn ends(&self, pod: &str) -> Result<()> {
        let pods = self.api::<Pod>();
        pods.delete(pod, &DeleteParams::default()).await?;
        self.until(&format!("pod {pod} to end"), || async {
            ensure!(pods.get_opt(pod).await?.is_none(), "it is still there");
            Ok(())
        })
        .await
    }

    /// Waits until the port of that address answers over TCP and UDP; an error if it is another pod that does.
    pub async fn answers(&self, client: &OverUdp, address: Ipv4Addr, port: u16, pod: &str) -> Result<()> {
        let what = format!("{address}:{port} to answer");
        let look = || async { Ok([over_tcp(address, port).await?, client.ask(address, port).await?]) };
        let answers = self.until(&what, look).await?;
        ensure!(answers.iter().all(|answer| answer == pod), "it is {answers:?} that answers, not {pod}");
        Ok(())
    }
}
