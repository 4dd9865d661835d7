//! `hostport.io/enabled`: every port of a pod by one annotation.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::numbers;
use crate::support::{
    World, alone_with_default_classes, annotation, example, host_ports, pod_with, variable, web,
};

#[tokio::test]
async fn game_servers_have_base_and_n_times_their_ports_and_keep_them() -> Result<()> {
    let _alone = alone_with_default_classes().await;
    let world = World::new("games").await?;
    world.kubectl(&["apply", "-f", &example("game-servers/class.yaml")]).await?;
    world
        .until("the set to be applied", || async {
            world.kubectl(&["apply", "-f", &example("game-servers/statefulset.yaml")]).await
        })
        .await?;

    let pods = world.pods("game-server", 3).await?;
    let expected = BTreeMap::from([
        ("game-server-0".to_owned(), vec![30558, 30559]),
        ("game-server-1".to_owned(), vec![30560, 30561]),
        ("game-server-2".to_owned(), vec![30562, 30563]),
    ]);
    ensure!(numbers(&pods) == expected, "{:?}", numbers(&pods));
    let second = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some("game-server-1"));
    let second = second.context("it is there")?;
    ensure!(annotation(second, "hostport.io/allocated-grpc") == Some("30560"));
    ensure!(annotation(second, "hostport.io/allocated-health") == Some("30561"));
    ensure!(variable(second, "HOSTPORT_HEALTH").as_deref() == Some("30561"));
    let value = serde_json::to_value(second)?;
    ensure!(
        value["spec"]["containers"][0]["ports"][0]["containerPort"] == 30560,
        "hostNetwork: it listens there"
    );

    world.delete_pod("game-server-1").await?;
    world
        .until("the pod to come again with its numbers", || async {
            let pods = world.pods("game-server", 3).await?;
            ensure!(numbers(&pods) == expected, "{:?}", numbers(&pods));
            Ok(())
        })
        .await?;

    world.scale("game-server", 1).await?;
    world.claim_is_gone("game-server-2-ports").await?;
    world.claim_is_gone("game-server-1-ports").await?;
    world.kubectl(&["delete", "statefulset", "game-server"]).await?;
    world.claim_is_gone("game-server-0-ports").await?;
    world.kubectl_here(&["delete", "hpclass", "game-servers"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_number_that_is_taken_is_passed_over_and_pods_without_a_place_take_the_next() -> Result<()> {
    let world = World::new("passed").await?;
    let class = world.class(100).await?;
    let base = class.first + 50;
    world.claim_port("taken", &class, base + 1).await?;
    world.bound("taken").await?;
    let enabled = json!({
        "hostport.io/enabled": "true", "hostport.io/class": class.name, "hostport.io/base-port": base.to_string(),
    });
    let ports = json!([web(80), {"name": "health", "containerPort": 81}]);

    let mut found = Vec::new();
    for name in ["a", "b"] {
        found.push(host_ports(&world.create_pod(pod_with(name, enabled.clone(), ports.clone())).await?));
    }

    let base = i32::from(base);
    ensure!(found == [[base + 2, base + 3], [base + 4, base + 5]], "{found:?}");
    Ok(())
}

#[tokio::test]
async fn without_any_class_the_sentence_has_the_lines_that_make_one() -> Result<()> {
    let _alone = alone_with_default_classes().await;
    let world = World::new("noclass").await?;

    let said =
        world.denied(pod_with("echo", json!({"hostport.io/enabled": "true"}), json!([web(80)]))).await?;

    ensure!(said.contains("no default class admits namespace"), "{said}");
    ensure!(said.contains("kubectl apply -f - <<'EOF'\n") && said.ends_with("\nEOF"), "{said}");
    let object = said.lines().nth_back(1).context("the object stands before EOF")?;
    let class: serde_json::Value = serde_yaml_ng::from_str(object)?;
    ensure!(class["kind"] == "HostPortClass", "{class}");
    Ok(())
}
