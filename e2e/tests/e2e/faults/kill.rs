//! Controllers that die, live twice or are asked to stop, while many claims come and go.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::timeout;

use super::ledger::{Ledger, assert_ledger_is_sound};
use super::storm::{Size, Storm};
use super::witness::Witness;
use super::world::{Rng, World, in_world};

const KILLS: usize = 20;

/// A part of the lives ends before the controller is ready.
const LONGEST_LIFE_MS: usize = 2_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_random_moments_leaves_every_claim_with_one_port() -> Result<()> {
    in_world("kill-9", async |world| {
        let mut rng = Rng::seeded("kill -9")?;
        world.class("games", 20_000, 21_499, json!({ "reuseDelay": "1s" })).await?;
        drop(world.controller().await?); // Builds it, which is not to be a part of the first life.
        let size = Size { made: 2_000, at_most: 1_700, left: 1_300 };
        let witness = Witness::start(world.client()).await?;
        let storm = Storm::start(world, &size, &["games"], &mut rng).await?;
        let start = Instant::now();

        let (mut half_done, mut unready) = (0, 0);
        for _ in 0..KILLS {
            storm.permit(storm.steps / (KILLS + 1));
            let life = Duration::from_millis(rng.below(LONGEST_LIFE_MS) as u64);
            unready += usize::from(!lives(world, life).await?);
            half_done += Ledger::read(world.client()).await?.half_done();
        }
        let (steps, killing) = (storm.steps, start.elapsed());
        let last = world.controller().await?;
        storm.finish().await?;
        let ledger = world.settled().await?;

        let settled = start.elapsed();
        eprintln!(
            "{steps} steps, {KILLS} kills in {killing:.1?} ({unready} before it was ready, {half_done} grants were half \
             done), settled after {settled:.1?} with {} claims and {} HostPorts",
            ledger.claims.len(),
            ledger.hostports.len()
        );
        ensure!(half_done > 0, "no kill hit a grant: this proves nothing");
        ensure!(ledger.claims.len() == ledger.hostports.len(), "a HostPort for each claim, and no other");
        world.stays_quiet().await?;
        assert_ledger_is_sound(world.client()).await?;
        let notes = witness.testify().await?;
        let conflicts = world.conflicts()?;
        eprintln!("seen: {notes}, {conflicts} conflicts");
        ensure!(notes.exhausted > 0, "no claim had to wait: this proves little");
        ensure!(last.exited().is_none(), "the last controller has ended");
        Ok(())
    })
    .await
}

/// One life of a controller, ended by SIGKILL; whether it came to be ready.
async fn lives(world: &World, life: Duration) -> Result<bool> {
    let mut ready = false;
    let run = async {
        let _operator = world.controller().await?;
        ready = true;
        std::future::pending::<Result<Infallible>>().await
    };
    // Dropped in time, it kills.
    if let Ok(Err(error)) = timeout(life, run).await {
        return Err(error.context("the controller ended by itself"));
    }
    Ok(ready)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_without_election_never_change_a_bound_port() -> Result<()> {
    in_world("two-controllers", async |world| {
        let mut rng = Rng::seeded("two controllers")?;
        // Of a Sequential class both pick the same number, of a Random one each its own for the same claim.
        world.class("low", 22_000, 22_399, json!({ "reuseDelay": "1s" })).await?;
        world.class("any", 23_000, 23_399, json!({ "reuseDelay": "1s", "strategy": "Random" })).await?;
        let _two = (world.controller().await?, world.controller().await?);
        let size = Size { made: 1_000, at_most: 850, left: 600 };
        let witness = Witness::start(world.client()).await?;
        let start = Instant::now();

        let storm = Storm::start(world, &size, &["low", "any"], &mut rng).await?;
        storm.finish().await?;
        let ledger = world.settled().await?;

        eprintln!("settled after {:.1?} with {} claims", start.elapsed(), ledger.claims.len());
        ensure!(ledger.claims.len() == ledger.hostports.len(), "a HostPort for each claim, and no other");
        world.stays_quiet().await?;
        assert_ledger_is_sound(world.client()).await?;
        let notes = witness.testify().await?;
        let conflicts = world.conflicts()?;
        eprintln!("seen: {notes}, {conflicts} conflicts");
        ensure!(conflicts > 0, "the two never met: this proves nothing");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_and_the_next_controller_goes_on() -> Result<()> {
    in_world("sigterm", async |world| {
        let mut rng = Rng::seeded("SIGTERM")?;
        world.class("games", 24_000, 24_399, json!({ "reuseDelay": "1s" })).await?;
        let size = Size { made: 400, at_most: 400, left: 300 };
        let witness = Witness::start(world.client()).await?;
        let storm = Storm::start(world, &size, &["games"], &mut rng).await?;

        for stop in 1..=3 {
            let operator = world.controller().await?;
            storm.permit(storm.steps / 4);
            tokio::time::sleep(Duration::from_millis(100 + rng.below(400) as u64)).await;
            let start = Instant::now();
            let status = operator.terminate().await.context("stop a busy controller")?;
            let took = start.elapsed();
            let half_done = Ledger::read(world.client()).await?.half_done();
            eprintln!("stop {stop}: {status} after {took:.1?}, {half_done} grants half done");
            ensure!(status.success(), "the controller ended with {status}");
            ensure!(took < Duration::from_secs(10), "the controller took {took:.1?} to end");
        }
        let _last = world.controller().await?;
        storm.finish().await?;

        let ledger = world.settled().await?;
        ensure!(ledger.claims.len() == ledger.hostports.len(), "a HostPort for each claim, and no other");
        world.stays_quiet().await?;
        witness.testify().await?;
        Ok(())
    })
    .await
}
