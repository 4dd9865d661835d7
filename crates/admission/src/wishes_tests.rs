//! Which claims a pod's annotations ask for.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn plan(pod: &Value) -> Result<Plan, String> {
    Plan::of(&Pod::deserialize(pod).unwrap()).map_err(|refusal| refusal.to_string())
}

fn annotated(annotations: &Value) -> Value {
    json!({"metadata": {"name": "sbc-2", "annotations": annotations}})
}

/// Pod 2 of StatefulSet `game`, with ports grpc and health.
fn game(annotations: &Value) -> Value {
    json!({
        "metadata": {
            "name": "game-2", "annotations": annotations, "labels": {"apps.kubernetes.io/pod-index": "2"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "game", "uid": "u-1",
                "controller": true}],
        },
        "spec": {"containers": [{"name": "game", "ports": [
            {"name": "grpc", "containerPort": 19805}, {"name": "health", "containerPort": 9090},
        ]}]},
    })
}

#[test]
fn a_class_beside_a_claim_has_that_claim_made() {
    let pod = annotated(&json!({
        "claim.hostport.io/rtp": "rtp-$(POD_NAME)/3", "class.hostport.io/rtp": "media", "count.hostport.io/rtp": "100",
    }));

    let plan = plan(&pod).unwrap();

    assert_eq!((&*plan.uses[0].claim, plan.uses[0].index), ("rtp-sbc-2", Some(3)));
    let make = plan.makes("rtp-sbc-2").unwrap();
    assert_eq!((make.class.as_deref(), make.count, make.preferred), (Some("media"), 100, None));
    assert_eq!(make.kind, Kind::ByName { deleted_with: None, scaled_with: None });
}

#[test]
fn a_class_alone_has_a_claim_of_the_pod_alone_made() {
    let pod = annotated(&json!({"class.hostport.io/web": ""}));

    let mut plan = plan(&pod).unwrap();
    assert!(plan.makes[0].is_unnamed() && plan.makes[0].class.is_none());
    assert!(plan.claims().is_empty(), "nothing can be read of it");

    plan.name("own.hostport.io/web", "sbc-x7k2p");
    assert_eq!(plan.claims().into_iter().collect::<Vec<_>>(), ["sbc-x7k2p"]);
    assert_eq!(plan.told().next().unwrap().key(), "class.hostport.io/web");
}

#[test]
fn a_second_call_finds_the_name_that_the_first_one_told() {
    let pod = annotated(&json!({"class.hostport.io/web": "games", "own.hostport.io/web": "sbc-x7k2p"}));

    let plan = plan(&pod).unwrap();

    assert_eq!(plan.makes[0].claim, "sbc-x7k2p");
    assert!(!plan.makes[0].is_unnamed());
}

#[test]
fn port_names_that_share_a_claim_say_its_class_once_or_alike() {
    let shared = json!({
        "claim.hostport.io/sip": "sip", "claim.hostport.io/sip-tcp": "sip", "class.hostport.io/sip": "media",
    });
    assert_eq!(plan(&annotated(&shared)).unwrap().makes.len(), 1);

    let mut quarrel = shared.clone();
    quarrel["class.hostport.io/sip-tcp"] = json!("games");
    let said = plan(&annotated(&quarrel)).unwrap_err();
    assert!(said.contains("two ways"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    for (annotations, words) in [
        (json!({"count.hostport.io/web": "2"}), "class.hostport.io/web"),
        (json!({"class.hostport.io/web": "games", "count.hostport.io/web": "0"}), "1 to 1000"),
        (json!({"class.hostport.io/web": "Games"}), "name of a HostPortClass"),
        (json!({"hostport.io/enabled": "yes"}), "\"true\""),
        (json!({"hostport.io/base-port": "30000"}), "hostport.io/enabled"),
        (json!({"hostport.io/when-deleted": "Delete"}), "StatefulSet"),
    ] {
        let said = plan(&annotated(&annotations)).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
    for (key, value) in [
        ("hostport.io/base-port", "0"),
        ("hostport.io/base-port", "65536"),
        ("hostport.io/strategy", "Fastest"),
        ("hostport.io/when-scaled", "delete"),
    ] {
        let said = plan(&game(&json!({"hostport.io/enabled": "true", key: value}))).unwrap_err();
        assert!(said.contains(key) && said.contains(value), "{said}");
    }
}

#[test]
fn pod_n_of_a_stateful_set_prefers_base_and_n_times_its_ports() {
    let plan = plan(&game(&json!({"hostport.io/enabled": "true"}))).unwrap();

    let make = &plan.makes[0];
    assert_eq!((&*make.claim, make.count, make.preferred), ("game-2-ports", 2, Port::new(30562)));
    assert!(matches!(&make.kind, Kind::ByName { deleted_with: Some(_), scaled_with: Some((_, 2)) }));
    let uses: Vec<_> = plan.uses.iter().map(|used| (&*used.port_name, used.index, used.allocated)).collect();
    assert_eq!(uses, [("grpc", Some(0), true), ("health", Some(1), true)]);
}

#[test]
fn base_port_strategy_and_class_are_said_beside_enabled() {
    let all =
        json!({"hostport.io/enabled": "true", "hostport.io/base-port": "7000", "hostport.io/class": "games"});
    let make = plan(&game(&all)).unwrap().makes.remove(0);
    assert_eq!((make.preferred, make.class.as_deref()), (Port::new(7004), Some("games")));

    let random = json!({"hostport.io/enabled": "true", "hostport.io/strategy": "Random"});
    assert_eq!(plan(&game(&random)).unwrap().makes[0].preferred, None);

    let beyond = json!({"hostport.io/enabled": "true", "hostport.io/base-port": "65533"});
    assert_eq!(plan(&game(&beyond)).unwrap().makes[0].preferred, None);
}

#[test]
fn a_pod_without_a_place_gets_a_claim_of_its_own() {
    let mut pod = game(&json!({"hostport.io/enabled": "true"}));
    pod["metadata"] = json!({"generateName": "game-", "annotations": {"hostport.io/enabled": "true"}});

    let plan = plan(&pod).unwrap();

    assert!(plan.makes[0].is_unnamed() && plan.makes[0].preferred == Port::new(30558));
}

#[test]
fn what_would_not_be_a_claims_name_is_never_read() {
    let mut pod = game(&json!({"hostport.io/enabled": "true"}));
    pod["metadata"]["name"] = json!("../../x");
    assert!(plan(&pod).unwrap_err().contains("too long"));

    let own = annotated(&json!({"class.hostport.io/../x": "games", "own.hostport.io/../x": "../y"}));
    assert!(plan(&own).unwrap().claims().is_empty());
}

#[test]
fn a_port_with_an_annotation_of_its_own_is_left_out() {
    let plan = plan(&game(&json!({
        "hostport.io/enabled": "true", "claim.hostport.io/health": "health", "options.hostport.io/grpc": "TCPUDP",
    })))
    .unwrap();

    assert_eq!((plan.makes.len(), plan.makes[0].count), (1, 1));
    assert!(plan.uses.iter().any(|used| used.port_name == "grpc" && used.tcp_udp));
}

#[test]
fn ports_that_others_add_after_the_first_call_are_none_of_ours() {
    let mut pod = game(&json!({
        "hostport.io/enabled": "true", "hostport.io/allocated-grpc": "30562", "hostport.io/allocated-health": "30563",
    }));
    let sidecar =
        json!({"name": "mesh", "ports": [{"name": "mesh", "containerPort": 15090}, {"containerPort": 1}]});
    pod["spec"]["containers"].as_array_mut().unwrap().push(sidecar);

    assert_eq!(plan(&pod).unwrap().makes[0].count, 2);
}

#[test]
fn a_port_without_a_name_cannot_be_told() {
    let mut pod = game(&json!({"hostport.io/enabled": "true"}));
    pod["spec"]["containers"][0]["ports"][1] = json!({"containerPort": 9090});
    let said = plan(&pod).unwrap_err();
    assert!(said.contains("\"game\"") && said.contains("Name it"), "{said}");

    pod["spec"]["containers"][0]["ports"] = json!([]);
    assert!(plan(&pod).unwrap_err().contains("Declare its ports"));
}

#[test]
fn retention_is_for_claims_by_name() {
    let both = json!({
        "claim.hostport.io/grpc": "$(POD_NAME)", "class.hostport.io/grpc": "games",
        "hostport.io/when-deleted": "Delete", "hostport.io/when-scaled": "Delete",
    });
    let make = plan(&game(&both)).unwrap().makes.remove(0);
    let Kind::ByName { deleted_with: Some(set), scaled_with: Some((_, 2)) } = make.kind else {
        panic!("{make:?}")
    };
    assert_eq!(set.uid, "u-1");

    let kept = json!({"hostport.io/enabled": "true", "hostport.io/when-scaled": "Retain"});
    let make = plan(&game(&kept)).unwrap().makes.remove(0);
    assert!(matches!(make.kind, Kind::ByName { deleted_with: Some(_), scaled_with: None }));

    let own = json!({"class.hostport.io/grpc": "games", "hostport.io/when-scaled": "Delete"});
    assert!(plan(&game(&own)).unwrap_err().contains("claim.hostport.io/<port-name>"));
}
