//! A rolling update of admission: each replica ends while pods are created, and none is refused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use serde_json::json;

use super::balancer::Balancer;
use super::replicas::{Churn, SYSTEM, admission, configure, controller, says, webhooks_of};
use crate::faults::world::{SOON, in_world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pod_is_refused_while_replicas_are_replaced() -> Result<()> {
    in_world("draining", async |world| {
        world.namespace(SYSTEM).await?;
        world.class("games", 20_000, 20_099, json!({})).await?;
        let balancer = Balancer::start().await?;
        configure(world, &balancer).await?;
        let args = ["--manage-certificates", "--certificate-host", "127.0.0.1"];
        let (_controller, mut old, mut next) =
            tokio::try_join!(controller(world, "controller", &args), admission(world), admission(world))?;
        balancer.set(&[webhooks_of(&old)?, webhooks_of(&next)?]);
        world.claim("default", "web", "games").await?;
        world.bound("default", "web").await?;
        let churn = Churn::start(world.client(), "web");

        for _ in 0..2 {
            let fresh = admission(world).await?;
            balancer.set(&[webhooks_of(&old)?, webhooks_of(&next)?, webhooks_of(&fresh)?]);
            old.ask_to_end();
            says(&old, 503, "stopping").await?;
            // Endpoints are not updated in the same moment: it is still sent new connections.
            let before = churn.created();
            tokio::time::sleep(Duration::from_secs(2)).await;
            ensure!(old.exited().is_none(), "it ended while others may not have heard of it");
            balancer.set(&[webhooks_of(&next)?, webhooks_of(&fresh)?]);
            let status =
                eventually(SOON, "the replica to end", || async { old.exited().context("it runs") }).await?;
            ensure!(status.success(), "it ended with {status}");
            ensure!(churn.is_well() && churn.created() > before + 5, "{:?}", churn.finish().await);
            (old, next) = (next, fresh);
        }

        let created = churn.finish().await.context("a pod was refused")?;
        eprintln!("{created} pods");
        Ok(())
    })
    .await
}
