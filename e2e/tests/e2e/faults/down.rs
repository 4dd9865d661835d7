//! What tenants do while no controller runs.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::witness::Witness;
use super::world::{in_world, port_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_made_again_while_the_controller_is_down_gets_its_number_back() -> Result<()> {
    in_world("made-again", async |world| {
        world.namespace("shop").await?;
        world.class("games", 26_000, 26_009, json!({})).await?;
        let witness = Witness::start(world.client()).await?;
        let controller = world.controller().await?;
        for name in ["a", "b", "c"] {
            world.claim("shop", name, "games").await?;
            world.bound("shop", name).await?;
        }
        let port = world.bound("shop", "b").await?;
        let before = world.hostports().get(&port.to_string()).await?;

        controller.kill9();
        for name in ["a", "b"] {
            world.delete_claim("shop", name).await?;
        }
        let uid = world.claim("shop", "b", "games").await?;
        let start = Instant::now();
        let _controller = world.controller().await?;

        // Not a's, which is lower, and not one that is free: its own, without the minute that a port rests.
        ensure!(world.bound("shop", "b").await? == port, "b had port {port}");
        ensure!(start.elapsed() < Duration::from_secs(50), "it took {:?}", start.elapsed());
        let after = world.hostports().get(&port.to_string()).await?;
        ensure!(after.uid() == before.uid(), "the HostPort is another object: it was free in between");
        ensure!(
            after.spec.claim_ref.context("a holder")?.uid == Some(uid),
            "the HostPort is of the old claim"
        );
        let notes = witness.testify().await?;
        ensure!(notes.rebinds == 1, "{} re-binds", notes.rebinds);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_another_name_not_before_the_delay() -> Result<()> {
    const DELAY: Duration = Duration::from_secs(5);
    in_world("another-name", async |world| {
        world.namespace("shop").await?;
        world.class("one", 26_100, 26_100, json!({ "reuseDelay": "5s" })).await?;
        let witness = Witness::start(world.client()).await?;
        let controller = world.controller().await?;
        world.claim("shop", "a", "one").await?;
        world.bound("shop", "a").await?;

        // The controller is dead when the claim goes: nobody has seen it gone, the rest begins with the next start.
        controller.kill9();
        world.delete_claim("shop", "a").await?;
        world.claim("shop", "b", "one").await?;
        tokio::time::sleep(DELAY).await;
        let (start, wall) = (Instant::now(), SystemTime::now());
        let _controller = world.controller().await?;
        world.bound("shop", "b").await?;

        let took = start.elapsed();
        ensure!(took >= DELAY, "b has the port {took:?} after the start of a controller that saw a gone");
        let hostport = world.hostports().get("26100").await?;
        let made = hostport.creation_timestamp().context("a creation time")?;
        ensure!(SystemTime::from(made.0) >= wall + DELAY - Duration::from_secs(1), "made at {made:?}");
        eprintln!("b has the port {took:.1?} after the start, with a reuseDelay of {DELAY:?}");
        let claim = world.claims("shop").get("b").await?;
        ensure!(port_of(&claim) == Some(26_100));
        witness.testify().await?;
        Ok(())
    })
    .await
}
