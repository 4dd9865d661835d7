//! A port that was granted answers from the pod of its claim, and from no other.

use anyhow::{Context, Result, ensure};
use crds::HostPortClaim;
use k8s_openapi::api::core::v1::Pod;

use crate::scenarios::support::{World, example, host_ports};
use crate::talk::{OverUdp, over_tcp};
use crate::world::{echo, echo_on, world};

#[tokio::test]
async fn a_granted_port_answers_from_its_pod_over_tcp_and_udp() -> Result<()> {
    let Some(world) = world("answers").await? else { return Ok(()) };
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;

    world.create_pod(echo("server", "web")).await?;

    let node = world.runs("server").await?;
    world.answers(&OverUdp::new().await?, node.address(), port, "server").await?;
    // It is the node's port and not the whole network's.
    let other = world.real_nodes().iter().find(|it| it.name() != node.name()).context("a second node")?;
    ensure!(over_tcp(other.address(), port).await.is_err(), "{} answers too", other.name());
    Ok(())
}

#[tokio::test]
async fn the_quickstart_answers() -> Result<()> {
    let Some(world) = world("quickstart").await? else { return Ok(()) };

    for file in ["quickstart/class.yaml", "quickstart/claim.yaml", "quickstart/pod.yaml"] {
        world.kubectl(&["apply", "-f", &example(file)]).await?;
    }

    let port = world.bound("echo-web").await?;
    let node = world.runs("echo").await?;
    let answer = world.until("the port to answer", || over_tcp(node.address(), port)).await?;
    ensure!(answer == "echo", "{answer}");
    Ok(())
}

#[tokio::test]
async fn two_pods_of_a_claim_run_on_two_nodes_and_both_answer() -> Result<()> {
    let Some(world) = world("spread").await? else { return Ok(()) };
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;

    for name in ["one", "two"] {
        world.create_pod(echo(name, "web")).await?;
    }

    let (first, second) = (world.runs("one").await?, world.runs("two").await?);
    ensure!(first.name() != second.name(), "both are on {}", first.name());
    let client = OverUdp::new().await?;
    world.answers(&client, first.address(), port, "one").await?;
    world.answers(&client, second.address(), port, "two").await?;
    // Every node has one: the scheduler finds no place for a third, and that is seen.
    world.create_pod(echo("three", "web")).await?;
    let why = world.unschedulable("three").await?;
    ensure!(why.contains("free ports"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_port_answers_while_the_kubelet_of_its_node_is_killed_and_comes_back() -> Result<()> {
    let Some(world) = world("kubelet").await? else { return Ok(()) };
    let class = world.class(2).await?;
    let node = &world.real_nodes()[0];
    let port = world.bind("before", &class).await?;
    world.create_pod(echo_on(node, "before", "before")).await?;
    world.runs("before").await?;
    let client = OverUdp::new().await?;
    world.answers(&client, node.address(), port, "before").await?;

    let restart = world.env.cluster().restart_kubelet(node);
    let ask_meanwhile = async {
        loop {
            let answers = [over_tcp(node.address(), port).await, client.ask(node.address(), port).await];
            for answer in answers {
                if !answer.as_ref().is_ok_and(|pod| pod == "before") {
                    return answer;
                }
            }
        }
    };
    tokio::select! {
        done = restart => done?,
        wrong = ask_meanwhile => anyhow::bail!("while the kubelet was away: {wrong:?}"),
    }

    // The new kubelet takes over what runs, and starts what is new.
    let next = world.bind("after", &class).await?;
    world.create_pod(echo_on(node, "after", "after")).await?;
    world.runs("after").await?;
    world.answers(&client, node.address(), next, "after").await?;
    world.answers(&client, node.address(), port, "before").await?;
    let before = world.api::<Pod>().get("before").await?;
    let containers = before.status.and_then(|status| status.container_statuses).unwrap_or_default();
    ensure!(containers.iter().all(|container| container.restart_count == 0), "{containers:?}");
    Ok(())
}

#[tokio::test]
async fn a_port_that_was_released_and_granted_anew_answers_from_its_new_pod_only() -> Result<()> {
    let Some(world) = world("anew").await? else { return Ok(()) };
    let class = world.class(1).await?;
    let node = &world.real_nodes()[1];
    let port = world.bind("old", &class).await?;
    world.create_pod(echo_on(node, "old", "old")).await?;
    world.runs("old").await?;
    // The same client all the time: the node remembers where its datagrams went.
    let client = OverUdp::new().await?;
    world.answers(&client, node.address(), port, "old").await?;

    world.ends("old").await?;
    let nobody = [over_tcp(node.address(), port).await, client.ask(node.address(), port).await];
    ensure!(nobody.iter().all(Result::is_err), "the pod has ended, and {nobody:?} answers");
    world.delete_claim("old").await?;
    world.claim_is_gone("old").await?;
    let neighbour = World::new("neighbour").await?;
    ensure!(neighbour.bind("new", &class).await? == port, "the class has one number only");
    let stored = neighbour.create_pod(echo_on(node, "new", "new")).await?;
    ensure!(host_ports(&stored) == [i32::from(port); 2], "{:?}", host_ports(&stored));

    neighbour.runs("new").await?;
    neighbour.answers(&client, node.address(), port, "new").await
}

#[tokio::test]
async fn a_port_stays_with_its_claim_while_a_kubelet_has_not_ended_its_pod() -> Result<()> {
    let Some(world) = world("ending").await? else { return Ok(()) };
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let mut slow = echo("slow", "web");
    slow["spec"]["terminationGracePeriodSeconds"] = serde_json::json!(8);
    world.create_pod(slow).await?;
    let node = world.runs("slow").await?;
    world.protected("web").await?;
    let client = OverUdp::new().await?;
    world.answers(&client, node.address(), port, "slow").await?;

    // It does not hear the kubelet's SIGTERM: it answers until it is killed.
    world.kubectl(&["delete", "pod", "slow", "--wait=false"]).await?;
    world.delete_claim("web").await?;

    world.says("web", "InUse").await?;
    world.answers(&client, node.address(), port, "slow").await?;
    ensure!(world.api::<HostPortClaim>().get_opt("web").await?.is_some(), "the claim is gone before its pod");
    world.claim_is_gone("web").await?;
    // The pod's object may still be there, as one that has Failed; nothing of it answers.
    let nobody = [over_tcp(node.address(), port).await, client.ask(node.address(), port).await];
    ensure!(nobody.iter().all(Result::is_err), "the claim is gone, and {nobody:?} answers");
    world.hostport_is_gone(port).await
}
