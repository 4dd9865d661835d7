//! Two controllers, one Lease.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use e2e::operator::Operator;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::replicas::{SYSTEM, controller, says};
use crate::faults::world::{SECOND, SOON, World, in_world, port_of};

const LEASE: &str = "hostport-controller";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_acts_and_the_other_takes_over_when_it_dies() -> Result<()> {
    in_world("election", async |world| {
        let (first, second) = two(world).await?;
        world.claim("default", "one", "games").await?;
        world.bound("default", "one").await?;
        ensure!(
            (first.metric("hostport_leader").await?, second.metric("hostport_leader").await?) == (1.0, 0.0)
        );
        let written = writes_of(world, SECOND)?;
        ensure!(written.is_empty(), "the one that stands by wrote: {written:?}");

        let killed = Instant::now();
        first.kill9();
        world.claim("default", "two", "games").await?;
        bound_since(world, "two", killed, Duration::from_secs(5)).await?;

        says(&second, 200, "ok").await?;
        ensure!(second.metric("hostport_leader").await? == 1.0);
        ensure!(second.metric("hostport_class_allocated{class=\"games\"}").await? >= 1.0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_asked_to_end_is_followed_at_once() -> Result<()> {
    in_world("election-sigterm", async |world| {
        let (first, second) = two(world).await?;

        let asked = Instant::now();
        first.ask_to_end();
        world.claim("default", "one", "games").await?;
        bound_since(world, "one", asked, Duration::from_secs(2)).await?;

        says(&second, 200, "ok").await?;
        let status =
            eventually(SOON, "the first to end", || async { first.exited().context("it runs") }).await?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_loses_the_lease_stops_and_leads_again_later() -> Result<()> {
    in_world("election-lost", async |world| {
        world.namespace(SYSTEM).await?;
        world.class("games", 20_000, 20_099, json!({})).await?;
        let one = controller(world, "controller", &["--leader-elect"]).await?;
        says(&one, 200, "ok").await?;
        let leases: Api<Lease> = Api::namespaced(world.client(), SYSTEM);

        let stranger = json!({"spec": {"holderIdentity": "a stranger", "leaseDurationSeconds": 120}});
        leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(stranger)).await?;
        says(&one, 200, "standby").await?;
        world.claim("default", "one", "games").await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let claim = world.claims("default").get("one").await?;
        ensure!(port_of(&claim).is_none(), "it was bound without the Lease: {:?}", claim.status);
        ensure!(one.metric("hostport_leader").await? == 0.0);

        leases.delete(LEASE, &DeleteParams::default()).await?;
        world.bound("default", "one").await?;
        says(&one, 200, "ok").await?;
        ensure!(one.exited().is_none(), "it goes on, nothing is lost by waiting");
        Ok(())
    })
    .await
}

/// The first leads, the second stands by; with a class.
async fn two(world: &World) -> Result<(Operator, Operator)> {
    world.namespace(SYSTEM).await?;
    world.class("games", 20_000, 20_099, json!({})).await?;
    let first = controller(world, "controller", &["--leader-elect"]).await?;
    says(&first, 200, "ok").await?;
    let second = controller(world, SECOND, &["--leader-elect"]).await?;
    says(&second, 200, "standby").await?;
    Ok((first, second))
}

async fn bound_since(world: &World, name: &str, since: Instant, limit: Duration) -> Result<()> {
    world.bound("default", name).await?;
    let took = since.elapsed();
    eprintln!("Bound {took:.1?} after the leader's end");
    ensure!(took < limit, "it took {took:.1?}");
    Ok(())
}

/// What a user has written, but for Leases.
fn writes_of(world: &World, user: &str) -> Result<Vec<String>> {
    let writes = world.audited()?.into_iter().filter(|line| {
        let verb = line["verb"].as_str().unwrap_or_default();
        line["user"]["username"] == user
            && ["create", "update", "patch", "delete"].contains(&verb)
            && line["objectRef"]["resource"] != "leases"
    });
    Ok(writes.map(|line| format!("{} {}", line["verb"], line["requestURI"])).collect())
}
