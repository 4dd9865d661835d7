//! A control plane that goes away in the middle of things, and comes back with what it has acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::operator::Operator;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::ledger::assert_ledger_is_sound;
use super::storm::{Size, Storm};
use super::witness::Witness;
use super::world::{Rng, World, in_world};

/// How long etcd is away at most.
const LONGEST_MS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_etcd_and_a_restart_of_the_api_server_lose_and_double_nothing() -> Result<()> {
    in_world("outage", async |world| {
        let mut rng = Rng::seeded("outages")?;
        world.class("games", 44_000, 45_899, json!({ "reuseDelay": "1s" })).await?;
        world.class("pods", 46_000, 46_009, json!({})).await?;
        world.namespace("shop").await?;
        let operators = [world.controller().await?, world.admission().await?];
        let pids = operators.each_ref().map(Operator::pid);
        // One from before, of which admission has read everything once.
        pod_with_its_port(world, "before").await?;
        let witness = Witness::patient(world.client()).await?;
        let size = Size { made: 2_000, at_most: 2_000, left: 1_700 };
        let storm = Storm::start(world, &size, &["games"], &mut rng).await?;
        let start = Instant::now();

        storm.permit(storm.steps);
        storm.has_taken(storm.steps / 4).await?;
        let first = etcd_is_away(world, &mut rng).await?;
        storm.has_taken(storm.steps / 2).await?;
        let restart = Instant::now();
        world.cluster().restart_api_server().await?;
        let restart = restart.elapsed();
        storm.has_taken(storm.steps * 3 / 4).await?;
        let second = etcd_is_away(world, &mut rng).await?;
        let steps = storm.steps;
        let left = storm.finish().await?;
        let stormed = start.elapsed();
        let ledger = world.settled().await?;

        eprintln!(
            "{steps} steps in {stormed:.1?}, of which etcd was away for {first:.1?} and {second:.1?}, the API server for \
             {restart:.1?}; settled after {:.1?}",
            start.elapsed()
        );
        ensure!(ledger.claims_of("games") == left, "the claims are not those that were made and not deleted");
        ensure!(ledger.claims.len() == ledger.hostports.len(), "a HostPort for each claim, and no other");
        for (operator, pid) in operators.iter().zip(pids) {
            ensure!(operator.exited().is_none() && operator.pid() == pid, "{operator:?} did not live through it");
        }
        for name in ["after-1", "after-2", "after-3"] {
            pod_with_its_port(world, name).await?;
        }
        world.stays_quiet().await?;
        assert_ledger_is_sound(world.client()).await?;
        eprintln!("seen: {}", witness.testify().await?);
        Ok(())
    })
    .await
}

/// Kills etcd and starts it again a little later; how long the API server could not answer.
async fn etcd_is_away(world: &World, rng: &mut Rng) -> Result<Duration> {
    let start = Instant::now();
    world.cluster().kill_etcd()?;
    tokio::time::sleep(Duration::from_millis(rng.below(LONGEST_MS) as u64)).await;
    world.cluster().start_etcd().await?;
    Ok(start.elapsed())
}

/// A claim is bound, and a pod stored that carries its port.
async fn pod_with_its_port(world: &World, name: &str) -> Result<()> {
    world.claim("shop", name, "pods").await?;
    let port = world.bound("shop", name).await?;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": name, "annotations": { "claim.hostport.io/web": name } },
        "spec": { "containers": [{
            "name": "app", "image": "app", "ports": [{ "name": "web", "containerPort": 8080 }],
        }] },
    }))?;
    let pods: Api<Pod> = Api::namespaced(world.client(), "shop");
    let stored =
        pods.create(&PostParams::default(), &pod).await.with_context(|| format!("create pod {name}"))?;
    let carried =
        stored.spec.iter().flat_map(|spec| &spec.containers).flat_map(|it| it.ports.iter().flatten());
    let carried: Vec<_> = carried.filter_map(|port| port.host_port).collect();
    ensure!(carried == [i32::from(port)], "pod {name} carries {carried:?} instead of {port}");
    Ok(())
}
