//! Pods whose claim is not Bound: who is refused, who waits, and how long.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;

use crate::support::{World, claim_yaml, create, deployment, host_ports, pod, yaml};

/// Less than the 5 s for which a pod may wait, with the machine busy.
const AT_ONCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_bare_pod_before_its_claim_is_told_to_apply_the_claim_first() -> Result<()> {
    let world = World::new("absent").await?;
    let class = world.class(1).await?;
    world.bind("staging-web", &class).await?;

    let said = world.denied(pod("echo", "web")).await?;

    let expected = format!(
        "pod \"echo\" refused: annotation claim.hostport.io/web names HostPortClaim \"web\", which does not exist in \
         namespace \"{}\" (there are: staging-web). Apply the claim before the pod.",
        world.ns()
    );
    ensure!(said.ends_with(&expected), "{said}");
    ensure!(said.contains("admission webhook \"pods.hostport.io\" denied the request"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_bare_pod_right_behind_its_claim_waits_for_it() -> Result<()> {
    let world = World::new("wait").await?;
    let class = world.class(8).await?;

    for number in 0..8 {
        let name = format!("web-{number}");
        world.claim(&name, &class).await?;
        let stored = world.create_pod(pod(&name, &name)).await?;

        let port = world.bound(&name).await?;
        ensure!(host_ports(&stored) == [i32::from(port)], "{:?}", host_ports(&stored));
    }
    Ok(())
}

#[tokio::test]
async fn claim_and_bare_pod_in_one_file_work_with_the_claim_first() -> Result<()> {
    let world = World::new("onefile").await?;
    let class = world.class(1).await?;

    world.env.apply(&yaml(&[claim_yaml("web", &class), pod("echo", "web")])).await?;

    world.bound("web").await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_with_a_final_reason_is_refused_at_once_with_it() -> Result<()> {
    let world = World::new("final").await?;
    let class = world.class(1).await?;
    world.bind("first", &class).await?;
    world.claim("waits", &class).await?;
    world.says("waits", "PoolExhausted").await?;
    world.claim_port("outside", &class, class.last + 1).await?;
    world.says("outside", "PortOutsidePools").await?;
    world.claim_spec("classless", Some("gamez"), None).await?;
    world.says("classless", "ClassNotFound").await?;

    for (claim, words) in [
        ("waits", "claim \"waits\" is not Bound: PoolExhausted, no free port in class"),
        ("outside", "claim \"outside\" is not Bound: PortOutsidePools, port"),
        ("classless", "claim \"classless\" is not Bound: ClassNotFound, no class named \"gamez\""),
    ] {
        let start = Instant::now();
        let said = world.denied(pod("echo", claim)).await?;

        ensure!(said.contains(words) && said.ends_with('.'), "{said}");
        ensure!(start.elapsed() < AT_ONCE, "{claim}: answered after {:?}", start.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn a_workload_on_an_unbound_claim_says_why_by_event_and_runs_once_it_is_bound() -> Result<()> {
    let world = World::new("workload").await?;
    let class = world.class(1).await?;
    world.bind("first", &class).await?;
    world.claim("waits", &class).await?;
    world.says("waits", "PoolExhausted").await?;

    create::<Deployment>(&world.api(), deployment("web", "waits")).await?;

    let told = world.event("FailedCreate", "claim \"waits\" is not Bound: PoolExhausted").await?;
    ensure!(told.contains("the workload retries by itself"), "{told}");
    world.delete_claim("first").await?;
    let port = world.bound("waits").await?;
    let pods = world.pods("web", 1).await?;
    ensure!(host_ports(&pods[0]) == [i32::from(port)], "{:?}", host_ports(&pods[0]));
    Ok(())
}
