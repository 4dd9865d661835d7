//! What admission puts into a pod, and which pods it sends back.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::support::{World, annotation, host_ports, pod, pod_with, variable, web};

#[tokio::test]
async fn the_downward_api_reads_the_number_from_its_annotation() -> Result<()> {
    let world = World::new("downward").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?.to_string();
    let mut asking = pod("echo", "web");
    let field = "metadata.annotations['port.hostport.io/web']";
    let by_name = json!({"name": "MY_HOST_PORT", "valueFrom": {"fieldRef": {"fieldPath": field}}});
    let by_value = json!({"name": "ADDRESS", "value": "node:$(HOSTPORT_WEB)"});
    asking["spec"]["containers"][0]["env"] = json!([by_name, by_value]);

    let stored = world.create_pod(asking).await?;

    ensure!(annotation(&stored, "port.hostport.io/web") == Some(port.as_str()));
    let env = serde_json::to_value(&stored)?["spec"]["containers"][0]["env"].clone();
    // Ours comes first, so that those of the author may use it.
    ensure!(env[0] == json!({"name": "HOSTPORT_WEB", "value": port}), "{env}");
    ensure!(env[1]["valueFrom"]["fieldRef"]["fieldPath"] == field, "{env}");
    ensure!(env[2]["value"] == "node:$(HOSTPORT_WEB)", "{env}");
    Ok(())
}

#[tokio::test]
async fn every_container_learns_the_number_and_one_carries_it() -> Result<()> {
    let world = World::new("told").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let mut asking = pod("echo", "web");
    let carries = asking["spec"]["containers"][0].clone();
    asking["spec"]["containers"] = json!([carries, {"name": "helper", "image": "none"}]);
    asking["spec"]["initContainers"] = json!([{"name": "first", "image": "none"}]);

    let stored = world.create_pod(asking).await?;

    ensure!(host_ports(&stored) == [i32::from(port)], "{:?}", host_ports(&stored));
    let spec = serde_json::to_value(&stored)?["spec"].clone();
    for container in [&spec["containers"][0], &spec["containers"][1], &spec["initContainers"][0]] {
        ensure!(
            container["env"][0] == json!({"name": "HOSTPORT_WEB", "value": port.to_string()}),
            "{container}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn passthrough_and_tcpudp_do_what_they_say() -> Result<()> {
    let world = World::new("options").await?;
    let class = world.class(2).await?;
    let (game, query) = (world.bind("game", &class).await?, world.bind("query", &class).await?);
    let annotations = json!({
        "claim.hostport.io/game": "game",
        "options.hostport.io/game": "Passthrough",
        "claim.hostport.io/query": "query",
        "options.hostport.io/query": "TCPUDP",
    });
    let ports = json!([
        {"name": "game", "containerPort": 7777, "protocol": "UDP"},
        {"name": "query", "containerPort": 27015},
    ]);

    let stored = world.create_pod(pod_with("arena", annotations, ports)).await?;

    let found = serde_json::to_value(&stored)?["spec"]["containers"][0]["ports"].clone();
    let mut found: Vec<(u64, u64, String)> = found
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let number = |field: &str| port[field].as_u64().unwrap_or_default();
            (
                number("hostPort"),
                number("containerPort"),
                port["protocol"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    found.sort();
    let (game, query) = (u64::from(game), u64::from(query));
    let expected = [(game, game, "UDP".into()), (query, 27015, "TCP".into()), (query, 27015, "UDP".into())];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_ref_tells_the_number_and_takes_no_port() -> Result<()> {
    let world = World::new("ref").await?;
    let class = world.class(1).await?;
    let port = world.bind("relay", &class).await?.to_string();

    let asking = pod_with("monitor", json!({"ref.hostport.io/RELAY": "relay"}), json!([]));
    let stored = world.create_pod(asking).await?;

    ensure!(host_ports(&stored).is_empty());
    ensure!(annotation(&stored, "port.hostport.io/RELAY") == Some(port.as_str()));
    ensure!(variable(&stored, "HOSTPORT_RELAY") == Some(port));
    Ok(())
}

#[tokio::test]
async fn a_copied_pod_gets_the_number_of_its_own_claim() -> Result<()> {
    let world = World::new("copied").await?;
    let class = world.class(2).await?;
    world.bind("one", &class).await?;
    let two = world.bind("two", &class).await?;
    let original = world.create_pod(pod("original", "one")).await?;

    // kubectl get pod -o yaml, two fields edited, kubectl create.
    let mut copy = serde_json::to_value(&original)?;
    copy["metadata"] = json!({"name": "copy", "annotations": copy["metadata"]["annotations"]});
    copy["metadata"]["annotations"]["claim.hostport.io/web"] = json!("two");
    if let Some(copy) = copy.as_object_mut() {
        copy.remove("status");
    }
    let stored = world.create_pod(copy).await?;

    ensure!(host_ports(&stored) == [i32::from(two)], "{:?}", host_ports(&stored));
    ensure!(annotation(&stored, "port.hostport.io/web") == Some(two.to_string().as_str()));
    ensure!(variable(&stored, "HOSTPORT_WEB") == Some(two.to_string()));
    Ok(())
}

#[tokio::test]
async fn a_pod_that_asks_for_nonsense_is_told_what_to_do() -> Result<()> {
    let world = World::new("nonsense").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    let ours = |more: Value| {
        let mut annotations = json!({"claim.hostport.io/web": "web"});
        more.as_object().into_iter().flatten().for_each(|(key, value)| annotations[key] = value.clone());
        annotations
    };
    let mut sidecar = pod_with("sidecar", ours(json!({})), json!([]));
    sidecar["spec"]["initContainers"] =
        json!([{"name": "envoy", "image": "none", "restartPolicy": "Always", "ports": [web(80)]}]);
    // Of two app containers the API server itself refuses it.
    let mut twice = pod("twice", "web");
    twice["spec"]["initContainers"] =
        json!([{"name": "first", "image": "none", "ports": [{"containerPort": 80, "hostPort": port}]}]);
    let by_hand = |number: u16| json!([{"name": "web", "containerPort": 80, "hostPort": number}]);
    let plain = || json!([web(80)]);

    for (refused, words) in [
        (
            sidecar,
            "port \"web\" is on init/sidecar container \"envoy\"; a node maps ports of app containers only",
        ),
        (twice, "is in the pod twice"),
        (pod_with("hand", ours(json!({})), by_hand(port + 1)), "Remove hostPort from the pod, or claim"),
        (pod_with("name", json!({"claim.hostport.io/wbe": "web"}), plain()), "there are: web"),
        (
            pod_with("class", json!({"class.hostport.io/web": "gamez"}), plain()),
            "names HostPortClass \"gamez\", which does not exist",
        ),
        (
            pod_with("count", ours(json!({"count.hostport.io/web": "2"})), plain()),
            "has no class.hostport.io/web beside it",
        ),
        (
            pod_with("enabled", json!({"hostport.io/enabled": "yes"}), plain()),
            "says \"yes\", which is not \"true\"",
        ),
        (pod_with("typo", json!({"clam.hostport.io/web": "web"}), plain()), "not supported by this version"),
        (pod_with("perpod", json!({"claim.hostport.io/web": "web-$(POD_INDEX)"}), plain()), "has no index"),
        (pod_with("block", json!({"claim.hostport.io/web": "web/1"}), plain()), "asks for number 1 of claim"),
        (
            pod_with("option", ours(json!({"options.hostport.io/web": "Fast"})), plain()),
            "Passthrough and TCPUDP",
        ),
    ] {
        let name = refused["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let said = world.denied(refused).await?;
        ensure!(said.contains(words), "{name}: {said}");
        ensure!(said.contains(&format!("pod \"{name}\" refused: ")) && said.ends_with('.'), "{name}: {said}");
    }
    let the_same = world.create_pod(pod_with("same", ours(json!({})), by_hand(port))).await?;
    ensure!(host_ports(&the_same) == [i32::from(port)], "its own number may be written by hand");
    Ok(())
}

#[tokio::test]
async fn a_claim_that_is_being_deleted_gives_its_port_to_no_new_pod() -> Result<()> {
    let world = World::managed("leaving").await?;
    let class = world.class(1).await?;
    let port = world.bind("web", &class).await?;
    world.create_pod(pod("user", "web")).await?;
    world.protected("web").await?;

    world.delete_claim("web").await?;
    world.says("web", "InUse").await?;

    let said = world.denied(pod("late", "web")).await?;
    ensure!(said.contains("claim \"web\" is being deleted"), "{said}");
    let raw = json!([{"name": "web", "containerPort": 80, "hostPort": port}]);
    let said = world.denied(pod_with("raw", json!({}), raw)).await?;
    ensure!(said.contains("belongs to claim \"web\", which is being deleted"), "{said}");
    let stored = world.api::<Pod>().get("user").await?;
    ensure!(host_ports(&stored) == [i32::from(port)], "who has the port keeps it");
    Ok(())
}
