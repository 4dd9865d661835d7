//! Writes that come late, or whose answer never comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use axum::http::{Method, StatusCode};
use crds::HostPort;
use e2e::eventually;
use serde_json::json;

use super::ledger::Ledger;
use super::proxy::{Call, Fate, Proxy};
use super::storm::{Size, Storm};
use super::witness::Witness;
use super::world::{Rng, SOON, World, in_world};

const PORT: u16 = 25_000;

/// Loses every write of this kind to HostPorts.
fn loses(method: Method) -> impl FnMut(&Call) -> Fate + Send + 'static {
    move |write| if write.is(&method, "hostports") { Fate::Lost } else { Fate::Pass }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_write_of_a_former_leader_hits_nothing() -> Result<()> {
    in_world("late-write", async |world| {
        world.namespace("shop").await?;
        world.class("one", PORT, PORT, json!({ "reuseDelay": "1s" })).await?;
        let witness = Witness::start(world.client()).await?;

        // Leader 1 hangs with a PATCH to Released on its way; leader 2 gives the number to b.
        let first = Proxy::start(world, loses(Method::PATCH)).await?;
        let leader = world.operator("controller", first.kubeconfig()).await?;
        world.claim("shop", "a", "one").await?;
        world.bound("shop", "a").await?;
        world.delete_claim("shop", "a").await?;
        let release = first.until_lost().await?;
        ensure!(release.json()["spec"]["phase"] == "Released", "this is no release: {release:?}");
        leader.kill9();
        let leader = world.controller().await?;
        world.claim("shop", "b", "one").await?;
        world.bound("shop", "b").await?;

        hits_nothing(world, &release).await?;
        leader.kill9();

        // Leader 3 hangs with a DELETE on its way; leader 4 gives the number to b, made again: the same object.
        let third = Proxy::start(world, loses(Method::DELETE)).await?;
        let leader = world.operator("controller", third.kubeconfig()).await?;
        world.delete_claim("shop", "b").await?;
        let delete = third.until_lost().await?;
        leader.kill9();
        let _leader = world.controller().await?;
        world.claim("shop", "b", "one").await?;
        world.bound("shop", "b").await?;

        hits_nothing(world, &delete).await?;

        // And then to c: another object of that name.
        world.delete_claim("shop", "b").await?;
        world.claim("shop", "c", "one").await?;
        world.bound("shop", "c").await?;

        let lost = [first.lost(), third.lost()].concat();
        let all = [first.writes(), third.writes(), lost].concat();
        let grants: Vec<_> = all.iter().filter(|write| is_grant(write)).collect();
        for write in &grants {
            hits_nothing(world, write).await?;
        }
        let kinds = |method: Method| grants.iter().filter(|write| write.is(&method, "hostports")).count();
        let (made, changed, deleted) = (kinds(Method::POST), kinds(Method::PATCH), kinds(Method::DELETE));
        eprintln!(
            "{} writes sent again: {made} creates, {changed} patches, {deleted} deletes of HostPorts",
            grants.len()
        );
        ensure!(made > 0 && changed > 1 && deleted > 0, "a kind of write is missing: this proves nothing");
        world.settled().await?;
        witness.testify().await?;
        Ok(())
    })
    .await
}

/// Of claims and HostPorts. What a class counts is put right with its next status, events may be told twice.
fn is_grant(write: &Call) -> bool {
    write.is_write() && (write.path.contains("/hostportclaims/") || write.path.contains("/hostports"))
}

/// Sends the write; it must be refused and leave the HostPort as it is.
async fn hits_nothing(world: &World, write: &Call) -> Result<()> {
    let holder = || async {
        let hostport: HostPort = world.hostports().get(&PORT.to_string()).await?;
        Ok::<_, anyhow::Error>((hostport.metadata.uid, hostport.metadata.resource_version, hostport.spec))
    };
    let before = holder().await?;

    let status = write.send(&world.client()).await?;

    let claim_is_gone = write.path.contains("/hostportclaims") && status == StatusCode::NOT_FOUND;
    ensure!(claim_is_gone || status == StatusCode::CONFLICT, "a late write was answered {status}: {write:?}");
    ensure!(holder().await? == before, "a late write changed HostPort {PORT}: {write:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_after_any_write_is_made_good() -> Result<()> {
    in_world("each-write", async |world| {
        world.namespace("shop").await?;
        world.class("few", PORT, PORT + 1, json!({ "reuseDelay": "1s" })).await?;
        let witness = Witness::start(world.client()).await?;

        let mut killed_after = Vec::new();
        let nth = |nth: usize| {
            let mut writes = 0..;
            move |_: &Call| writes.next() == Some(nth)
        };
        while let Some(write) = killed_at(world, nth(killed_after.len())).await? {
            killed_after.push(write);
        }
        // How many writes the story takes depends on what the controller sees of it: its end may not be among them.
        let end = killed_at(world, |write| write.method == Method::DELETE).await?;
        killed_after.push(end.context("the story ends with a DELETE")?);

        eprintln!("killed after each of {} writes:\n{}", killed_after.len(), killed_after.join("\n"));
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            ensure!(killed_after.iter().any(|write| write.starts_with(method)), "never after a {method}");
        }
        ensure!(killed_after.len() >= 6, "a grant, a re-bind and the end take more writes than that");
        let _last = world.controller().await?;
        world.settled().await?;
        witness.testify().await?;
        Ok(())
    })
    .await
}

/// Tells the story to a controller that dies waiting for the answer to this write, which is lost, and to the next
/// controller. What was written; nothing if no write of the story was the deadly one.
async fn killed_at(
    world: &World,
    mut deadly: impl FnMut(&Call) -> bool + Send + 'static,
) -> Result<Option<String>> {
    let mut struck = false;
    let proxy = Proxy::start(world, move |write| {
        let strikes = !struck && is_grant(write) && deadly(write);
        struck |= strikes;
        if strikes { Fate::AnswerLost } else { Fate::Pass }
    })
    .await?;
    let leader = world.operator("controller", proxy.kubeconfig()).await?;
    let story = tell(world);
    tokio::pin!(story);
    let told = tokio::select! {
        told = &mut story => Some(told?),
        lost = proxy.until_lost() => lost.map(|_| None)?,
    };
    leader.kill9();
    // The story may be told by the very write whose answer was lost.
    let Some(lost) = proxy.lost().pop() else { return Ok(None) };
    let _next = world.controller().await?;
    if told.is_none() {
        story.await?;
    }
    let ledger = world.settled().await?;
    ensure!(ledger.claims.is_empty() && ledger.hostports.is_empty(), "the story leaves nothing behind");
    Ok(Some(format!("{} {}", lost.method, lost.path)))
}

/// A claim is bound, made again, and given up.
async fn tell(world: &World) -> Result<()> {
    world.claim("shop", "a", "few").await?;
    let port = world.bound("shop", "a").await?;
    world.delete_claim("shop", "a").await?;
    world.claim("shop", "a", "few").await?;
    let again = world.bound("shop", "a").await.context("the claim made again")?;
    ensure!(again == port, "a claim made again got {again} instead of {port}");
    world.delete_claim("shop", "a").await?;
    eventually(SOON, "the port to be given back", || async {
        let left = Ledger::read(world.client()).await?.hostports;
        ensure!(left.is_empty(), "there are {left:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_can_believe_do_not_grant_twice() -> Result<()> {
    in_world("disowned", async |world| {
        let mut rng = Rng::seeded("disowned answers")?;
        // Random: a controller that picks again after a failed create would leave a HostPort behind.
        world.class("any", PORT, PORT + 299, json!({ "reuseDelay": "1s", "strategy": "Random" })).await?;
        let size = Size { made: 320, at_most: 280, left: 160 };
        let witness = Witness::start(world.client()).await?;
        let storm = Storm::start(world, &size, &["any"], &mut rng).await?;
        let disowned = Arc::new(AtomicUsize::new(0));
        let (count, mut dice) = (disowned.clone(), rng.fork());
        let proxy = Proxy::start(world, move |write| match is_grant(write) && dice.below(3) == 0 {
            true => {
                count.fetch_add(1, Ordering::Relaxed);
                Fate::Disowned
            }
            false => Fate::Pass,
        })
        .await?;
        let _controller = world.operator("controller", proxy.kubeconfig()).await?;

        storm.finish().await?;
        let ledger = world.settled().await?;

        let (writes, disowned) = (proxy.writes().len(), disowned.load(Ordering::Relaxed));
        eprintln!("{writes} writes, {disowned} of them answered with 504 though they were done");
        ensure!(disowned > 50, "only {disowned} answers were such that nobody can believe them");
        ensure!(ledger.claims.len() == ledger.hostports.len(), "a HostPort for each claim, and no other");
        witness.testify().await?;
        Ok(())
    })
    .await
}
