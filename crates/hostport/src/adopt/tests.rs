use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::plan::{Scope, Seen, proposal};

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn pod(namespace: &str, name: &str, ports: Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"containers": [{"name": "app", "ports": ports}]},
        "status": {"phase": "Running"},
    })
}

fn game(number: u16) -> Value {
    json!([{"name": "game", "containerPort": 80, "hostPort": number}])
}

/// The pod as a Deployment's ReplicaSet makes it.
fn of_deployment(mut pod: Value, name: &str) -> Value {
    pod["metadata"]["labels"] = json!({"pod-template-hash": "6d9f"});
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-6d9f"),
        "uid": "u", "controller": true});
    pod["metadata"]["ownerReferences"] = json!([owner]);
    pod
}

fn seen(pods: Vec<Value>) -> Seen {
    Seen { pods: pods.into_iter().map(object::<Pod>).collect(), whole: true, ..Seen::default() }
}

fn of(seen: &Seen, namespace: Option<&str>) -> (String, Vec<(String, String, u64)>) {
    let text = proposal(seen, &Scope { namespace: namespace.map(str::to_owned) }).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    let claims = documents.filter(|document| !document.is_null()).map(|claim| {
        let text = |field: &str| claim["metadata"][field].as_str().unwrap().to_owned();
        (text("namespace"), text("name"), claim["spec"]["port"].as_u64().unwrap())
    });
    let claims = claims.collect();
    (text, claims)
}

fn claim(namespace: &str, name: &str, number: u64) -> (String, String, u64) {
    (namespace.to_owned(), name.to_owned(), number)
}

#[test]
fn ten_replicas_are_one_claim_named_after_workload_and_port() {
    let replicas =
        (0..10).map(|one| of_deployment(pod("arena", &format!("lobby-6d9f-{one}"), game(7777)), "lobby"));

    let (text, claims) = of(&seen(replicas.collect()), Some("arena"));

    assert_eq!(claims, [claim("arena", "lobby-game", 7777)]);
    assert!(text.contains("#   Deployment lobby (pods lobby-6d9f-0, lobby-6d9f-1, lobby-6d9f-2 and 7 more)"));
    assert!(
        text.contains("#     annotation of its pod template: claim.hostport.io/game: lobby-game\n"),
        "{text}"
    );
    assert!(!text.contains("CONFLICT"), "{text}");
}

#[test]
fn a_number_is_one_claim_of_its_namespace_whoever_carries_it_there() {
    let both = json!([
        {"name": "dns-tcp", "containerPort": 53, "hostPort": 5353},
        {"name": "dns-udp", "containerPort": 53, "hostPort": 5353, "protocol": "UDP"},
    ]);

    let (text, claims) = of(&seen(vec![pod("a", "one", both), pod("a", "two", game(5353))]), Some("a"));

    assert_eq!(claims, [claim("a", "one-dns-tcp", 5353)]);
    for line in ["dns-tcp: one-dns-tcp", "dns-udp: one-dns-tcp", "game: one-dns-tcp"] {
        assert!(text.contains(&format!("claim.hostport.io/{line}\n")), "{text}");
    }
}

#[test]
fn names_are_unique_and_ports_without_a_name_give_their_number() {
    let nameless = json!([{"containerPort": 1, "hostPort": 7001}, {"name": "game", "containerPort": 2, "hostPort": 7002}]);
    let mut seen = seen(vec![pod("a", "one", nameless), pod("a", "long".repeat(60).as_str(), game(7003))]);
    let taken = json!({"metadata": {"namespace": "a", "name": "one-game"}, "spec": {"port": 9}});
    seen.claims = vec![object(taken)];

    let (text, claims) = of(&seen, Some("a"));

    let names: Vec<_> = claims.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["one-7001", "one-game-7002"]);
    assert!(names[2].len() <= 253 && names[2].ends_with("-game"), "{}", names[2]);
    assert!(text.contains("claim.hostport.io/<port name>: one-7001 (give the port a name first)"), "{text}");
}

#[test]
fn what_claims_account_for_and_what_has_ended_is_left_out() {
    let mut ended = pod("a", "ended", game(7010));
    ended["status"]["phase"] = json!("Succeeded");
    let mut seen = seen(vec![
        pod("a", "block", game(7002)),
        pod("a", "wanted", game(7005)),
        pod("a", "leaving", game(7006)),
        ended,
    ]);
    let block = json!({"metadata": {"namespace": "a", "name": "block"}, "spec": {"count": 3},
        "status": {"phase": "Bound", "port": 7000, "count": 3}});
    let wanted = json!({"metadata": {"namespace": "a", "name": "wanted"}, "spec": {"port": 7005}});
    let leaving = json!({"metadata": {"namespace": "a", "name": "leaving", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"port": 7006}});
    seen.claims = [block, wanted, leaving].into_iter().map(object).collect();

    // What is being deleted is made anew under another name, and takes the number over.
    assert_eq!(of(&seen, Some("a")).1, [claim("a", "leaving-game", 7006)]);
    seen.claims[2].metadata.deletion_timestamp = None;
    let (text, claims) = of(&seen, Some("a"));
    assert!(claims.is_empty() && text.starts_with("# Nothing to adopt: in namespace a "), "{text}");
}

#[test]
fn who_else_has_the_number_is_told_above_the_claim() {
    let mut seen =
        seen(vec![pod("a", "one", game(30100)), of_deployment(pod("b", "web-6d9f-x", game(30100)), "web")]);
    let service = json!({"metadata": {"namespace": "c", "name": "lb"},
        "spec": {"ports": [{"port": 80, "nodePort": 30100}]}});
    seen.services = vec![object(service)];

    let (text, claims) = of(&seen, Some("a"));

    assert_eq!(claims, [claim("a", "one-game", 30100)]);
    assert!(text.contains("# CONFLICT: Deployment b/web carries 30100 too; move one of them"), "{text}");
    assert!(text.contains("# CONFLICT: Service c/lb has 30100 as its nodePort;"), "{text}");
    assert_eq!(of(&seen, None).1, [claim("a", "one-game", 30100), claim("b", "web-game", 30100)]);
}

#[test]
fn kube_system_and_static_pods_are_left_out_with_a_note() {
    let mut mirror = pod("a", "proxy-node1", game(7001));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});

    let (text, claims) = of(&seen(vec![pod("kube-system", "dns", game(53)), mirror]), None);

    assert!(claims.is_empty(), "{claims:?}");
    assert!(text.contains("Left out") && text.contains("a/proxy-node1, kube-system/dns."), "{text}");
}

#[test]
fn the_class_is_named_and_numbers_outside_it_are_told() {
    let class = json!({"metadata": {"name": "games"}, "spec": {"pools": [{"start": 7000, "end": 7099}],
        "exclude": [{"start": 7001}]}});
    let mut seen =
        seen(vec![pod("a", "in", game(7000)), pod("a", "excluded", game(7001)), pod("a", "out", game(80))]);
    seen.class = Some(object(class));

    let (text, claims) = of(&seen, Some("a"));

    assert_eq!(claims.len(), 3);
    assert_eq!(text.matches("hostPortClassName: games").count(), 3);
    assert_eq!(text.matches("# Not in class \"games\"").count(), 2, "{text}");
    assert!(!text.contains("the default class"), "{text}");

    seen.class = None;
    assert!(of(&seen, Some("a")).0.contains("# They are for the default class; --class NAME"));
}

#[test]
fn a_port_of_an_init_container_has_no_annotation() {
    let mut sidecar = pod("a", "one", json!([]));
    sidecar["spec"]["initContainers"] = json!([{"name": "envoy", "ports": game(7001)}]);

    let (text, _) = of(&seen(vec![sidecar]), Some("a"));

    assert!(text.contains("declare it on an app container"), "{text}");
}
