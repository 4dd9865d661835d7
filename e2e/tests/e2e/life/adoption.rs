//! Numbers that pods carried before there was a claim.

use anyhow::{Result, ensure};
use e2e::operator;
use serde_json::json;

use crate::support::{World, host_ports, pod_with};

#[tokio::test]
async fn a_claim_adopts_the_number_that_pods_of_its_namespace_carry_already() -> Result<()> {
    let world = World::new("adopts").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(2).await?;
    let port = class.first;
    let raw = || json!([{"name": "game", "containerPort": 80, "hostPort": port}]);
    for name in ["arena-0", "arena-1"] {
        world.create_pod(pod_with(name, json!({}), raw())).await?;
    }
    world.counts(&class, [0, 0, 1, 1, 0]).await?;

    neighbour.claim_port("theirs", &class, port).await?;
    let message = neighbour.says("theirs", "PortTaken").await?;
    ensure!(message.starts_with(&format!("Port {port} is in use outside this namespace.")), "{message}");
    ensure!(world.bind("any", &class).await? == class.last, "nobody gets it by chance, not even here");
    world.claim_port("game", &class, port).await?;

    ensure!(world.bound("game").await? == port);
    // The neighbour still waits for it.
    world.counts(&class, [2, 0, 0, 0, 1]).await?;
    world.protected("game").await?;
    // From now on nothing else may use it, and the claim keeps it.
    world.label("hostport.io/managed", "true").await?;
    world.create_pod(pod_with("arena-2", json!({"claim.hostport.io/game": "game"}), raw())).await?;
    world.delete_claim("game").await?;
    let message = world.says("game", "InUse").await?;
    ensure!(message.contains("arena-"), "{message}");
    Ok(())
}

#[tokio::test]
async fn what_hostport_adopt_prints_binds_exactly_the_numbers_in_use() -> Result<()> {
    let world = World::new("adopt").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(4).await?;
    let (game, query, theirs) = (class.first, class.first + 2, class.last);
    let named = |port: u16| json!([{"name": "game", "containerPort": 80, "hostPort": port}]);
    let both = json!([
        {"name": "query", "containerPort": 81, "hostPort": query},
        {"name": "query-udp", "containerPort": 81, "hostPort": query, "protocol": "UDP"},
        {"name": "rcon", "containerPort": 82, "hostPort": theirs},
    ]);
    world.create_pod(pod_with("arena", json!({}), named(game))).await?;
    world.create_pod(pod_with("lobby", json!({}), both)).await?;
    neighbour.create_pod(pod_with("other", json!({}), named(theirs))).await?;
    let cluster = world.env.cluster();
    let adopt = ["adopt", "-n", world.ns(), "--class", &class.name];

    let printed = operator::print(cluster, &adopt).await?;

    let conflict = format!("# CONFLICT: Pod {}/other carries {theirs} too", neighbour.ns());
    ensure!(printed.contains(&conflict), "{printed}");
    ensure!(printed.contains("annotation of its pod: claim.hostport.io/game: arena-game"), "{printed}");
    world.env.apply(&printed).await?;
    ensure!(world.bound("arena-game").await? == game);
    ensure!(world.bound("lobby-query").await? == query);
    world.says("lobby-rcon", "PortTaken").await?;
    neighbour.delete_pod("other").await?;
    ensure!(world.bound("lobby-rcon").await? == theirs, "when the conflict is gone it binds by itself");
    world.counts(&class, [3, 0, 0, 1, 0]).await?;
    // The annotations that it names fit the pods as they are.
    let annotations =
        json!({"claim.hostport.io/query": "lobby-query", "claim.hostport.io/query-udp": "lobby-query"});
    let ports = json!([
        {"name": "query", "containerPort": 81},
        {"name": "query-udp", "containerPort": 81, "protocol": "UDP"},
    ]);
    let next = world.create_pod(pod_with("lobby-2", annotations, ports)).await?;
    ensure!(host_ports(&next) == [i32::from(query), i32::from(query)], "{:?}", host_ports(&next));

    let again = operator::print(cluster, &adopt).await?;
    ensure!(again.starts_with("# Nothing to adopt: ") && !again.contains("kind:"), "{again}");
    // The kubeconfig names no namespace.
    let default = operator::print(cluster, &["adopt"]).await?;
    ensure!(default.contains("in namespace default"), "{default}");
    let all = operator::print(cluster, &["adopt", "-A"]).await?;
    ensure!(!all.contains(&format!("namespace: {}\n", world.ns())), "{all}");
    Ok(())
}
