//! Classes of scope Node on nodes that are there: a number is for one pod on each node, whichever nodes there are.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use crds::Scope;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};

use crate::support::{Class, World, deployment, host_ports, node_of, places};

const NAMES: [&str; 3] = ["a", "b", "c"];

impl World {
    /// A class of so many numbers, each granted for as many nodes as want it.
    async fn class_of_slots(&self, count: u16) -> Result<Class> {
        self.class_with(count, |spec| spec.scope = Scope::Node).await
    }

    /// The HostPorts of the class, `9000-0`, ….
    async fn slots_of(&self, class: &Class) -> Result<BTreeSet<String>> {
        let of_class = ListParams::default().labels(&format!("hostport.io/class={}", class.name));
        let found = self.hostports().list(&of_class).await?;
        Ok(found.iter().map(ResourceExt::name_any).collect())
    }

    async fn pods_of_all(&self) -> Result<Vec<Pod>> {
        Ok(self.api::<Pod>().list(&ListParams::default()).await?.items)
    }
}

#[tokio::test]
async fn claims_of_one_number_bind_without_nodes_and_each_node_that_appears_takes_one_pod() -> Result<()> {
    let world = World::new("slots").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    let class = world.class_of_slots(1).await?;
    let nodes = world.nodes_to_come(1);
    for name in NAMES {
        ensure!(world.bind(name, &class).await? == class.first);
        world.run_on(&nodes, deployment(name, name)).await?;
        let pods = world.pods(name, 1).await?;
        world.unschedulable(&pods[0].name_any()).await?;
    }
    let expected: BTreeSet<_> = (0..3).map(|slot| format!("{}-{slot}", class.first)).collect();
    ensure!(world.slots_of(&class).await? == expected, "{:?}", world.slots_of(&class).await?);

    world.make_nodes(&nodes).await?;
    let running = async |count: usize| {
        world
            .until(&format!("{count} of the pods to run"), || async {
                let pods = world.pods_of_all().await?;
                let on_nodes: Vec<_> = pods.into_iter().filter(|pod| !node_of(pod).is_empty()).collect();
                ensure!(on_nodes.len() == count, "{} have a node", on_nodes.len());
                Ok(on_nodes)
            })
            .await
    };
    let first = running(1).await?;
    let rest = world.pods_of_all().await?;
    let waiting = rest.iter().find(|pod| pod.name_any() != first[0].name_any()).context("two wait")?;
    world
        .until("the scheduler to say why the others wait", || async {
            let word = world.unschedulable(&waiting.name_any()).await?;
            ensure!(word.contains("free ports"), "{word}");
            Ok(())
        })
        .await?;

    world.make_nodes(&nodes.next(2)).await?;

    let all = running(3).await?;
    let numbers: BTreeSet<_> = all.iter().flat_map(host_ports).collect();
    ensure!(numbers == BTreeSet::from([i32::from(class.first)]) && places(&all)?.len() == 3);
    Ok(())
}

#[tokio::test]
async fn spot_nodes_vanish_and_their_slots_come_free() -> Result<()> {
    let world = World::new("spotslots").await?;
    if !world.plays_nodes() {
        return Ok(());
    }
    let class = world.class_of_slots(1).await?;
    let nodes = world.nodes(3).await?;
    let cluster = world.env.cluster();
    let mut running = Vec::new();
    for name in NAMES {
        world.bind(name, &class).await?;
        world.run_on(&nodes, deployment(name, name)).await?;
        running.extend(world.rolled_out(name, 1).await?);
        world.protected(name).await?;
    }
    ensure!(places(&running)?.len() == 3);

    // The workloads are deleted while their nodes are gone, so nobody ends the pods.
    for (pod, name) in running.iter().zip(NAMES) {
        cluster.remove_fake_node(node_of(pod)).await?;
        let api: Api<k8s_openapi::api::apps::v1::Deployment> = world.api();
        api.delete(name, &DeleteParams::background()).await.context("delete a Deployment")?;
        world.delete_claim(name).await?;
    }
    for name in NAMES {
        world.says(name, "InUse").await?;
    }
    ensure!(world.slots_of(&class).await?.len() == 3, "a slot is free while a pod carries its number");

    for (gone, pod) in running.iter().enumerate() {
        ensure!(cluster.collect_pods_of(node_of(pod)).await? == 1);
        world.claim_is_gone(NAMES[gone]).await?;
        world
            .until("its slot to be free", || async {
                let left = world.slots_of(&class).await?;
                ensure!(left.len() == NAMES.len() - 1 - gone, "{left:?}");
                Ok(())
            })
            .await?;
    }
    Ok(())
}
