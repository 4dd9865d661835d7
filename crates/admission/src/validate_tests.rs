//! I5, pod by pod.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    grants::{Asking, settle},
    testing::{held, port as number},
};

/// What a managed namespace says to the pod: `web` holds 9000 there, `old`, which is being deleted, 9001.
fn check(raw: &Value) -> Result<(), String> {
    let pod = Pod::deserialize(raw).unwrap();
    let plan = Plan::of(&pod).unwrap();
    let standings = [("web".to_owned(), held(9000))].into();
    let grants =
        settle(&plan, &standings, Asking { namespace: "edge", dry_run: false, retries: false }).unwrap();
    let holders = [(number(9000), Holder::Claim), (number(9001), Holder::Terminating("old".into()))].into();
    annotated(&pod, &plan, &grants)
        .and_then(|()| managed(&pod, &plan, &grants, &Managed { namespace: "edge", holders: &holders }))
        .map_err(|refusal| refusal.to_string())
}

fn pod(ports: &Value) -> Value {
    json!({"spec": {"containers": [{"name": "proxy", "ports": ports}]}})
}

#[test]
fn a_number_of_the_namespace_needs_no_annotation() {
    assert_eq!(check(&pod(&json!([{"containerPort": 1, "hostPort": 9000}]))), Ok(()));
    assert_eq!(check(&pod(&json!([{"containerPort": 10254}]))), Ok(()));
}

#[test]
fn an_unclaimed_host_port_is_refused() {
    assert_eq!(
        check(&pod(&json!([{"name": "metrics", "containerPort": 1, "hostPort": 10254}]))).unwrap_err(),
        "namespace \"edge\" is managed by hostport and no claim of it holds port 10254 (container \"proxy\", port \
         \"metrics\"). Claim it: annotation claim.hostport.io/metrics."
    );
    let nameless = check(&pod(&json!([{"containerPort": 1, "hostPort": 10254}]))).unwrap_err();
    assert!(
        nameless.ends_with("Give the port a name and claim it: annotation claim.hostport.io/<port-name>.")
    );
}

#[test]
fn with_host_network_every_container_port_must_be_claimed() {
    let mut raw = pod(&json!([{"name": "metrics", "containerPort": 10254, "hostPort": 10254}]));
    raw["spec"]["hostNetwork"] = json!(true);

    assert_eq!(
        check(&raw).unwrap_err(),
        "namespace \"edge\" is managed by hostport and no claim of it holds port 10254 (container \"proxy\", port \
         \"metrics\"). The pod uses hostNetwork, so every containerPort is a port of the node: remove the entry, or \
         add a claim with port: 10254."
    );
}

#[test]
fn init_and_sidecar_containers_are_counted() {
    let mut raw = pod(&json!([]));
    raw["spec"]["initContainers"] =
        json!([{"name": "mesh", "ports": [{"containerPort": 1, "hostPort": 7777}]}]);

    let said = check(&raw).unwrap_err();

    assert!(said.contains("port 7777 (container \"mesh\")") && said.contains("Remove hostPort"), "{said}");
}

#[test]
fn the_port_of_a_claim_being_deleted_is_refused_to_new_pods() {
    let said = check(&pod(&json!([{"containerPort": 1, "hostPort": 9001}]))).unwrap_err();

    assert!(said.contains("belongs to claim \"old\", which is being deleted"), "{said}");
}

#[test]
fn a_number_that_is_no_port_is_refused() {
    for number in [-1, 65536, i64::MAX] {
        let said = check(&pod(&json!([{"containerPort": 1, "hostPort": number}]))).unwrap_err();
        assert!(said.contains("no claim of it holds"), "{said}");
    }
}

#[test]
fn a_number_and_protocol_twice_is_refused() {
    let mut raw = pod(&json!([{"name": "a", "containerPort": 1, "hostPort": 9000}]));
    raw["spec"]["initContainers"] =
        json!([{"name": "mesh", "ports": [{"containerPort": 1, "hostPort": 9000}]}]);
    let said = check(&raw).unwrap_err();
    assert_eq!(
        said,
        "port 9000/TCP is in the pod twice, container \"proxy\", port \"a\" and container \"mesh\", and a node gives \
         it out once. Remove one of them, or give it a claim of its own."
    );

    let both = json!([{"containerPort": 1, "hostPort": 9000}, {"containerPort": 1, "hostPort": 9000, "protocol": "UDP"}]);
    assert_eq!(check(&pod(&both)), Ok(()));
}

#[test]
fn an_annotated_pod_must_carry_what_it_claims() {
    let annotated = |host_port: Value| {
        let mut raw = pod(&json!([{"name": "web", "containerPort": 1, "hostPort": host_port}]));
        raw["metadata"] = json!({"annotations": {"claim.hostport.io/web": "web"}});
        raw
    };

    assert_eq!(check(&annotated(json!(9000))), Ok(()));
    for other in [json!(null), json!(9001)] {
        let said = check(&annotated(other)).unwrap_err();
        assert!(said.contains("does not carry port 9000 of claim \"web\""), "{said}");
    }
}

#[test]
fn host_network_needs_the_label_of_the_namespace() {
    let raw = json!({"spec": {"hostNetwork": true, "containers": []}});
    let host = Pod::deserialize(&raw).unwrap();

    let said = host_network(&host, "edge", false).unwrap_err().to_string();
    assert!(said.contains("hostport.io/allow-host-network: \"true\""), "{said}");
    assert_eq!(host_network(&host, "edge", true), Ok(()));
    assert_eq!(host_network(&Pod::default(), "edge", false), Ok(()));
}

#[test]
fn what_a_claim_of_the_pod_accounts_for_is_not_read_again() {
    let raw = json!({
        "metadata": {"annotations": {"claim.hostport.io/web": "web"}},
        "spec": {"containers": [{"ports": [
            {"name": "web", "hostPort": 9000}, {"hostPort": 7}, {"hostPort": 7, "protocol": "UDP"}, {"hostPort": 0},
        ]}]},
    });
    let pod = Pod::deserialize(&raw).unwrap();
    let plan = Plan::of(&pod).unwrap();
    let standings = [("web".to_owned(), held(9000))].into();
    let grants =
        settle(&plan, &standings, Asking { namespace: "edge", dry_run: false, retries: false }).unwrap();

    assert_eq!(unexplained(&pod, &plan, &grants), [number(7)]);
}

#[test]
fn a_dry_run_on_an_unbound_claim_passes_with_host_network_too() {
    let raw = json!({
        "metadata": {"annotations": {"claim.hostport.io/web": "web"}},
        "spec": {"hostNetwork": true, "containers": [{"ports": [
            {"name": "web", "containerPort": 8080, "hostPort": 8080},
        ]}]},
    });
    let pod = Pod::deserialize(&raw).unwrap();
    let plan = Plan::of(&pod).unwrap();
    let standings = [("web".to_owned(), crate::testing::unseen())].into();
    let grants =
        settle(&plan, &standings, Asking { namespace: "edge", dry_run: true, retries: false }).unwrap();

    assert_eq!(annotated(&pod, &plan, &grants), Ok(()));
    assert_eq!(unexplained(&pod, &plan, &grants), []);
    let rules = Managed { namespace: "edge", holders: &BTreeMap::new() };
    assert_eq!(managed(&pod, &plan, &grants, &rules), Ok(()));
}
