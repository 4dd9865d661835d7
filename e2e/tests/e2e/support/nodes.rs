//! Pods that run: nodes that are played, and workloads on them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::controlplane::Program;
use e2e::devcluster::FakeNodes;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{World, create, host_ports};

impl World {
    /// Whether pods can run here: nobody wants fake nodes in a cluster that is not ours, and ready-made binaries may lack
    /// the scheduler. The test then says so and ends.
    pub fn plays_nodes(&self) -> bool {
        let cluster = self.env.cluster();
        let plays = cluster.is_own() && cluster.pid(Program::Scheduler).is_some();
        if !plays {
            eprintln!("skipped: it needs fake nodes in a cluster of our own, and a scheduler");
        }
        plays
    }

    /// Nodes that only pods of this test get to, not made yet.
    pub fn nodes_to_come(&self, count: usize) -> FakeNodes {
        FakeNodes::reserved(self.ns(), count)
    }

    pub async fn make_nodes(&self, nodes: &FakeNodes) -> Result<()> {
        self.env.cluster().add_fake_nodes(nodes).await
    }

    /// Nodes that only pods of this test get to, Ready.
    pub async fn nodes(&self, count: usize) -> Result<FakeNodes> {
        let nodes = self.nodes_to_come(count);
        self.make_nodes(&nodes).await?;
        Ok(nodes)
    }

    /// Creates a workload whose pods are for these nodes.
    pub async fn run_on(&self, nodes: &FakeNodes, mut deployment: Value) -> Result<()> {
        nodes.only_here(&mut deployment["spec"]["template"]["spec"]);
        create(&self.api::<Deployment>(), deployment).await?;
        Ok(())
    }

    /// The pods of a workload, once there are so many, all of the last revision, all Running and none in deletion.
    pub async fn rolled_out(&self, app: &str, count: usize) -> Result<Vec<Pod>> {
        let deployments = self.api::<Deployment>();
        let pods = self.api::<Pod>();
        let of_app = ListParams::default().labels(&format!("app={app}"));
        self.until(&format!("{count} pods of {app} to run"), || async {
            let deployment = deployments.get(app).await?;
            let status = deployment.status.unwrap_or_default();
            ensure!(
                status.observed_generation == deployment.metadata.generation
                    && status.updated_replicas.unwrap_or_default() as usize == count,
                "the Deployment says {status:?}; {}",
                self.troubles().await?.join("; ")
            );
            let found = pods.list(&of_app).await?.items;
            let states: Vec<_> = found.iter().map(state).collect();
            ensure!(found.len() == count && states.iter().all(|state| state == "Running"), "{states:?}");
            Ok(found)
        })
        .await
    }

    /// Starts a rolling update: the template gets another annotation.
    pub async fn roll(&self, app: &str, revision: &str) -> Result<()> {
        let annotations = json!({ "example.com/revision": revision });
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
        self.api::<Deployment>().patch(app, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The scheduler's word on a pod that it finds no node for.
    pub async fn unschedulable(&self, pod: &str) -> Result<String> {
        let pods: Api<Pod> = self.api();
        self.until(&format!("pod {pod} to be Unschedulable"), || async {
            let conditions = pods.get(pod).await?.status.and_then(|status| status.conditions);
            let conditions = conditions.unwrap_or_default();
            let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled");
            let scheduled = scheduled.context("the scheduler has not looked at it")?;
            ensure!(scheduled.reason.as_deref() == Some("Unschedulable"), "{scheduled:?}");
            Ok(scheduled.message.clone().unwrap_or_default())
        })
        .await
    }
}

/// `Running`, `Pending`, …, or `Terminating` as kubectl says.
fn state(pod: &Pod) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "Terminating".to_owned();
    }
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
}

pub fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Node and number of each pod; an error if two pods have both in common or one has no number.
pub fn places(pods: &[Pod]) -> Result<BTreeSet<(String, i32)>> {
    let mut places = BTreeSet::new();
    for pod in pods {
        let numbers = host_ports(pod);
        ensure!(!numbers.is_empty(), "{:?} carries no number", pod.metadata.name);
        for number in numbers {
            let place = (node_of(pod).to_owned(), number);
            ensure!(places.insert(place.clone()), "{place:?} is used twice");
        }
    }
    Ok(places)
}
