//! What a pod looks like afterwards, and what it is refused for.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::{
    standing::Standing,
    testing::{exhausted, held, unseen},
};

/// What becomes of the pod when `shop-web` holds 9000 and `shop-sip` 9100.
fn decide(raw: &Value) -> Result<Value, String> {
    let standings = [("shop-web", held(9000)), ("shop-sip", held(9100))];
    decide_with(raw, &standings, false).map(|(pod, _)| pod)
}

fn decide_with(
    raw: &Value,
    standings: &[(&str, Standing)],
    dry_run: bool,
) -> Result<(Value, Vec<String>), String> {
    let pod = Pod::deserialize(raw).unwrap();
    let plan = Plan::of(&pod).map_err(|refusal| refusal.to_string())?;
    let draft = Draft::new(raw, &pod, &plan).map_err(|refusal| refusal.to_string())?;
    let standings = standings.iter().map(|(name, standing)| ((*name).to_owned(), standing.clone())).collect();
    match draft.decide(&standings, Asking { namespace: "shop", dry_run, retries: false }) {
        Decision::Allow { pod, warnings } => Ok((pod, warnings)),
        Decision::Deny(refusal) => Err(refusal.to_string()),
        Decision::Wait(refusal) => Err(format!("wait: {refusal}")),
    }
}

/// A pod with one app container `app` that has a port `web`, claimed by `shop-web`.
fn web() -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"claim.hostport.io/web": "shop-web"}},
        "spec": {"containers": [{
            "name": "app",
            "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "URL", "value": "http://$(HOSTPORT_WEB)"}],
        }]},
    })
}

fn with(mut pod: Value, pointer: &str, value: &Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let key = last.replace("~1", "/");
    match pod.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(key, value.clone());
        }
        Value::Array(items) => items.push(value.clone()),
        other => panic!("{other}"),
    }
    pod
}

fn annotated(pod: Value, key: &str, value: &str) -> Value {
    with(pod, &format!("/metadata/annotations/{}", key.replace('/', "~1")), &json!(value))
}

#[test]
fn a_claimed_port_gets_its_number_in_host_port_annotation_and_variable() {
    let pod = decide(&web()).unwrap();

    assert_eq!(
        pod.pointer("/spec/containers/0/ports").unwrap(),
        &json!([{"name": "web", "containerPort": 8080, "hostPort": 9000, "protocol": "TCP"}])
    );
    assert_eq!(pod["metadata"]["annotations"]["port.hostport.io/web"], "9000");
    assert_eq!(
        pod.pointer("/spec/containers/0/env").unwrap(),
        &json!([{"name": "HOSTPORT_WEB", "value": "9000"}, {"name": "URL", "value": "http://$(HOSTPORT_WEB)"}])
    );
}

#[test]
fn fields_that_this_version_does_not_know_survive() {
    let mut raw = web();
    raw["spec"]["future"] = json!({"a": [1, {"b": null}]});
    raw["spec"]["containers"][0]["ports"][0]["future"] = json!("x");
    raw["metadata"]["future"] = json!(1.5);

    let pod = decide(&raw).unwrap();

    assert_eq!(pod["spec"]["future"], raw["spec"]["future"]);
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["future"], "x");
    assert_eq!(pod["metadata"]["future"], 1.5);
    let patch = json_patch::diff(&raw, &pod);
    assert!(!serde_json::to_string(&patch).unwrap().contains("future"));
}

#[test]
fn every_container_is_told_the_number_init_containers_too() {
    let raw = with(web(), "/spec/initContainers", &json!([{"name": "init"}, {"name": "mesh", "env": null}]));
    let raw = with(raw, "/spec/containers/-", &json!({"name": "second"}));

    let pod = decide(&raw).unwrap();

    for path in ["/spec/initContainers/0", "/spec/initContainers/1", "/spec/containers/1"] {
        let env = pod.pointer(&format!("{path}/env")).unwrap();
        assert_eq!(env, &json!([{"name": "HOSTPORT_WEB", "value": "9000"}]), "{path}");
    }
}

#[test]
fn a_literal_variable_is_overwritten_and_value_from_is_left_alone() {
    let literal = with(web(), "/spec/containers/0/env/-", &json!({"name": "HOSTPORT_WEB", "value": "9601"}));
    let pod = decide(&literal).unwrap();
    assert_eq!(pod, decide(&web()).unwrap());

    let field = json!({"fieldRef": {"fieldPath": "metadata.annotations['port.hostport.io/web']"}});
    let elsewhere =
        with(web(), "/spec/containers/0/env/-", &json!({"name": "HOSTPORT_WEB", "valueFrom": field}));
    let pod = decide(&elsewhere).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["env"], elsewhere["spec"]["containers"][0]["env"]);
}

#[test]
fn a_ref_tells_the_number_and_gives_no_port() {
    let raw = annotated(web(), "ref.hostport.io/SIP_PEER", "shop-sip");

    let pod = decide(&raw).unwrap();

    assert_eq!(pod["metadata"]["annotations"]["port.hostport.io/SIP_PEER"], "9100");
    assert_eq!(pod["spec"]["containers"][0]["env"][0], json!({"name": "HOSTPORT_SIP_PEER", "value": "9100"}));
    assert_eq!(pod["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 1);
}

#[test]
fn two_ports_of_one_protocol_cannot_share_a_claim() {
    let raw = with(web(), "/spec/containers/0/ports/-", &json!({"name": "admin", "containerPort": 8081}));

    let said = decide(&annotated(raw, "claim.hostport.io/admin", "shop-web")).unwrap_err();

    assert!(
        said.starts_with("ports \"admin\" and \"web\" both are TCP and both name claim \"shop-web\""),
        "{said}"
    );
}

#[test]
fn two_ports_may_share_a_claim() {
    let raw = with(
        web(),
        "/spec/containers/0/ports/-",
        &json!({"name": "web-u", "containerPort": 8080, "protocol": "UDP"}),
    );

    let pod = decide(&annotated(raw, "claim.hostport.io/web-u", "shop-web")).unwrap();

    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 9000);
    assert_eq!(pod["spec"]["containers"][0]["ports"][1]["hostPort"], 9000);
    assert_eq!(pod["metadata"]["annotations"]["port.hostport.io/web-u"], "9000");
}

#[test]
fn a_host_port_written_by_hand_is_refused_if_it_differs() {
    let mut raw = web();
    raw["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(8080);
    assert_eq!(
        decide(&raw).unwrap_err(),
        "port \"web\" says hostPort 8080, claim \"shop-web\" holds 9000. Remove hostPort from the pod, or claim \
         8080."
    );

    raw["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(9000);
    assert!(decide(&raw).is_ok());
}

#[test]
fn a_copied_pod_gets_the_number_of_its_own_claim() {
    let mut origin = web();
    origin["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(9601);
    let copy = annotated(origin, "port.hostport.io/web", "9601");
    let copy = annotated(copy, "port.hostport.io/gone", "9602");
    let copy = with(copy, "/spec/containers/0/env/-", &json!({"name": "HOSTPORT_WEB", "value": "9601"}));

    let pod = decide(&copy).unwrap();

    assert_eq!(pod, decide(&web()).unwrap());
}

#[test]
fn a_forged_port_annotation_is_overwritten() {
    let pod = decide(&annotated(web(), "port.hostport.io/web", "10250")).unwrap();

    assert_eq!(pod["metadata"]["annotations"]["port.hostport.io/web"], "9000");
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 9000);
}

#[test]
fn a_port_annotation_without_a_claim_is_removed() {
    let raw = json!({
        "metadata": {"annotations": {"port.hostport.io/web": "9000", "a": "b"}},
        "spec": {"containers": [{"name": "app"}]},
    });

    let pod = decide(&raw).unwrap();

    assert_eq!(pod["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(pod["spec"], raw["spec"]);
}

#[test]
fn with_host_network_container_port_and_host_port_are_the_number() {
    let mut raw = with(web(), "/spec/hostNetwork", &json!(true));
    // The API server has defaulted it; nobody wrote it by hand.
    raw["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(8080);

    let port = &decide(&raw).unwrap()["spec"]["containers"][0]["ports"][0];

    assert_eq!((&port["containerPort"], &port["hostPort"]), (&json!(9000), &json!(9000)));
}

#[test]
fn passthrough_lets_the_container_listen_on_the_number() {
    let pod = decide(&annotated(web(), "options.hostport.io/web", "Passthrough")).unwrap();

    let port = &pod["spec"]["containers"][0]["ports"][0];
    assert_eq!((&port["containerPort"], &port["hostPort"]), (&json!(9000), &json!(9000)));
}

#[test]
fn tcpudp_adds_the_other_protocol_under_the_same_number() {
    let pod = decide(&annotated(web(), "options.hostport.io/web", "TCPUDP")).unwrap();

    assert_eq!(
        pod["spec"]["containers"][0]["ports"][1],
        json!({"name": "web-udp", "containerPort": 8080, "hostPort": 9000, "protocol": "UDP"})
    );
}

#[test]
fn tcpudp_uses_an_entry_that_is_there() {
    let raw = with(web(), "/spec/containers/0/ports/-", &json!({"containerPort": 8080, "protocol": "UDP"}));

    let pod = decide(&annotated(raw, "options.hostport.io/web", "TCPUDP")).unwrap();

    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 2);
    assert_eq!(ports[1], json!({"containerPort": 8080, "hostPort": 9000, "protocol": "UDP"}));
}

#[test]
fn tcpudp_with_passthrough_uses_the_entry_that_listens_on_the_number() {
    let ports = [(8080, "UDP"), (9000, "UDP")];
    let raw = ports.into_iter().fold(web(), |pod, (port, protocol)| {
        with(pod, "/spec/containers/0/ports/-", &json!({"containerPort": port, "protocol": protocol}))
    });

    let pod = decide(&annotated(raw, "options.hostport.io/web", "Passthrough,TCPUDP")).unwrap();

    assert_eq!(
        pod["spec"]["containers"][0]["ports"],
        json!([
            {"name": "web", "containerPort": 9000, "hostPort": 9000, "protocol": "TCP"},
            {"containerPort": 8080, "protocol": "UDP"},
            {"containerPort": 9000, "hostPort": 9000, "protocol": "UDP"},
        ])
    );
    assert_eq!(decide(&pod).unwrap(), pod);
}

#[test]
fn the_second_call_does_not_take_another_ports_companion() {
    let raw = json!({
        "metadata": {"annotations": {
            "claim.hostport.io/sip": "shop-web", "options.hostport.io/sip": "TCPUDP",
            "claim.hostport.io/web": "shop-sip", "options.hostport.io/web": "Passthrough,TCPUDP",
        }},
        "spec": {"containers": [{"name": "c", "ports": [
            {"name": "web-udp", "containerPort": 53, "protocol": "UDP"},
            {"name": "web", "containerPort": 53, "protocol": "TCP"},
            {"name": "sip", "containerPort": 9100, "protocol": "TCP"},
        ]}]},
    });

    let once = decide(&raw).unwrap();

    assert_eq!(decide(&once).unwrap(), once);
}

#[test]
fn a_companion_has_no_name_where_it_would_be_too_long_or_taken() {
    let mut long = json!({
        "metadata": {"annotations": {
            "claim.hostport.io/a-long-name-15c": "shop-web", "options.hostport.io/a-long-name-15c": "TCPUDP",
        }},
        "spec": {"containers": [{"ports": [{"name": "a-long-name-15c", "containerPort": 1, "protocol": "UDP"}]}]},
    });
    let added = &decide(&long).unwrap()["spec"]["containers"][0]["ports"][1];
    assert_eq!(added, &json!({"containerPort": 1, "hostPort": 9000, "protocol": "TCP"}));

    long = annotated(web(), "options.hostport.io/web", "TCPUDP");
    long = with(long, "/spec/containers/-", &json!({"ports": [{"name": "web-udp", "containerPort": 7}]}));
    let pod = decide(&long).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["ports"][1].get("name"), None);
}

#[test]
fn tcpudp_adds_nothing_where_another_port_of_the_claim_brings_it() {
    let raw = with(
        web(),
        "/spec/containers/0/ports/-",
        &json!({"name": "udp", "containerPort": 8081, "protocol": "UDP"}),
    );
    let raw = annotated(raw, "claim.hostport.io/udp", "shop-web");

    let pod = decide(&annotated(raw, "options.hostport.io/web", "TCPUDP")).unwrap();

    assert_eq!(pod["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
}

#[test]
fn tcpudp_on_sctp_is_refused() {
    let mut raw = annotated(web(), "options.hostport.io/web", "TCPUDP");
    raw["spec"]["containers"][0]["ports"][0]["protocol"] = json!("SCTP");

    let said = decide(&raw).unwrap_err();

    assert!(said.contains("port \"web\" is SCTP"), "{said}");
}

#[test]
fn an_unknown_port_name_is_refused_with_those_there_are() {
    let said = decide(&annotated(web(), "claim.hostport.io/game", "shop-sip")).unwrap_err();

    assert_eq!(
        said,
        "annotation claim.hostport.io/game names a port that no container of the pod has (there are: web). Give the \
         container's port that name, or correct the annotation."
    );
    let nameless = json!({"metadata": {"annotations": {"claim.hostport.io/": "shop-web"}},
        "spec": {"containers": [{"ports": [{"containerPort": 1}]}]}});
    assert!(decide(&nameless).unwrap_err().contains("none has a name"));
}

#[test]
fn an_ambiguous_port_name_is_refused() {
    let second = json!({"name": "b", "ports": [{"name": "web", "containerPort": 1}]});

    let said = decide(&with(web(), "/spec/containers/-", &second)).unwrap_err();

    assert!(said.contains("\"web\" is on containers \"app\" and \"b\""), "{said}");
}

#[test]
fn a_claim_for_an_init_container_is_refused_without_host_network() {
    let sidecar = json!([{"name": "envoy", "restartPolicy": "Always", "ports": [{"name": "auth", "containerPort": 1}]}]);
    let raw = with(annotated(web(), "claim.hostport.io/auth", "shop-sip"), "/spec/initContainers", &sidecar);

    assert_eq!(
        decide(&raw).unwrap_err(),
        "port \"auth\" is on init/sidecar container \"envoy\"; a node maps ports of app containers only. Declare the \
         same containerPort on an app container, they share the network."
    );

    let pod = decide(&with(raw.clone(), "/spec/hostNetwork", &json!(true))).unwrap();
    assert_eq!(pod["spec"]["initContainers"][0]["ports"][0]["hostPort"], 9100);

    // What the sentence advises.
    let moved = with(raw, "/spec/containers/0/ports/-", &json!({"name": "auth", "containerPort": 1}));
    let pod = decide(&moved).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["ports"][1]["hostPort"], 9100);
    assert_eq!(pod["spec"]["initContainers"][0]["ports"][0].get("hostPort"), None);
}

#[test]
fn a_pod_on_an_unbound_claim_waits_or_is_refused() {
    assert!(decide_with(&web(), &[("shop-web", unseen())], false).unwrap_err().starts_with("wait: claim"));

    let said = decide_with(&web(), &[("shop-web", exhausted())], false).unwrap_err();
    assert!(said.starts_with("claim \"shop-web\" is not Bound: PoolExhausted, no free port"), "{said}");
}

#[test]
fn a_dry_run_on_an_unbound_claim_shows_the_pod_without_its_port() {
    let (pod, warnings) = decide_with(&web(), &[("shop-web", exhausted())], true).unwrap();

    assert_eq!(pod, web());
    assert_eq!(warnings.len(), 1);
}

#[test]
fn an_absent_and_a_terminating_claim_are_refused() {
    let absent = Standing::Absent { others: vec!["staging-web".into()], more: false };
    let said = decide_with(&web(), &[("shop-web", absent)], false).unwrap_err();
    assert!(said.contains("does not exist in namespace \"shop\" (there are: staging-web)"), "{said}");

    let said = decide_with(&web(), &[("shop-web", Standing::Terminating)], false).unwrap_err();
    assert!(said.contains("is being deleted"), "{said}");
}

#[test]
fn a_number_that_only_the_status_names_is_refused() {
    let tampered = Standing::Disproved(crate::testing::port(10250));

    let said = decide_with(&web(), &[("shop-web", tampered)], false).unwrap_err();

    assert!(said.contains("HostPort 10250 does not belong to it"), "{said}");
}

/// A pod with ports, variables and what an origin may have left, but no claims.
fn unclaimed_pods() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["", "", "web", "web-udp", "sip", "sip-udp", "a-long-name-15c"]);
    let number = prop::sample::select(vec![53, 53, 8080, 9000, 9100, 9601]);
    let host = prop_oneof![3 => Just(None), 1 => number.clone().prop_map(Some)];
    let protocol = prop::sample::select(vec!["TCP", "UDP"]);
    let port = (name, number, host, protocol).prop_map(|(name, listens, host, protocol)| {
        let mut port = json!({"containerPort": listens, "protocol": protocol});
        if !name.is_empty() {
            port["name"] = json!(name);
        }
        if let Some(host) = host {
            port["hostPort"] = json!(host);
        }
        port
    });
    let variable = prop::sample::select(vec!["HOSTPORT_WEB", "HOSTPORT_SIP", "OTHER"]);
    let variable = (variable, any::<bool>()).prop_map(|(name, literal)| match literal {
        true => json!({"name": name, "value": "1"}),
        false => json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    });
    let container = (prop::collection::vec(port, 0..6), prop::collection::vec(variable, 0..3), any::<bool>());
    let container = container.prop_map(|(ports, env, full)| match full {
        true => json!({"name": "c", "ports": ports, "env": env}),
        false => json!({"name": "c", "ports": ports, "env": null}),
    });
    let lists = (prop::collection::vec(container.clone(), 1..3), prop::collection::vec(container, 0..2));
    (lists, any::<bool>()).prop_map(|((app, init), host_network)| {
        json!({
            "metadata": {"annotations": {}},
            "spec": {"containers": app, "initContainers": init, "hostNetwork": host_network},
        })
    })
}

/// Pods most of whose claims can be served: a name that stands twice is mostly taken off, and claims are for
/// names that are there.
fn pods() -> impl Strategy<Value = Value> {
    let claim = prop::sample::select(vec!["shop-web", "shop-sip"]);
    let options = prop::sample::select(vec!["", "TCPUDP", "TCPUDP", "Passthrough", "Passthrough,TCPUDP"]);
    let told = prop::sample::select(vec!["9000", "9601", "9601", "x"]);
    let wish = (claim.clone(), options, prop::option::of(told.clone()));
    let wishes = prop::collection::vec(prop::option::of(wish), 6);
    let rest = (prop::option::of(claim), prop::option::of(told), prop::bool::weighted(0.9));
    (unclaimed_pods(), wishes, rest).prop_map(|(mut pod, wishes, (peer, gone, unique))| {
        let host_network = pod["spec"]["hostNetwork"] == true;
        let mut names = Vec::new();
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array_mut().unwrap() {
                for port in container["ports"].as_array_mut().unwrap() {
                    let Some(name) = port.get("name").and_then(Value::as_str).map(str::to_owned) else {
                        continue;
                    };
                    if names.contains(&name) && unique {
                        port.as_object_mut().unwrap().remove("name");
                    } else if list == "containers" || host_network {
                        names.push(name);
                    }
                }
            }
        }
        let mut annotations = BTreeMap::new();
        for (name, wish) in names.iter().zip(wishes) {
            let Some((claim, options, told)) = wish else { continue };
            annotations.insert(format!("claim.hostport.io/{name}"), claim);
            annotations.insert(format!("options.hostport.io/{name}"), options);
            annotations.extend(told.map(|told| (format!("port.hostport.io/{name}"), told)));
        }
        annotations.extend(peer.map(|claim| ("ref.hostport.io/PEER".to_owned(), claim)));
        annotations.extend(gone.map(|told| ("port.hostport.io/gone".to_owned(), told)));
        pod["metadata"]["annotations"] = json!(annotations);
        pod
    })
}

#[test]
fn most_random_pods_are_served() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut served = 0;
    for _ in 0..500 {
        let raw = pods().new_tree(&mut runner).unwrap().current();
        let claims = raw["metadata"]["annotations"].as_object().unwrap().keys();
        let claims = claims.filter(|key| key.starts_with("claim.")).count();
        served += u32::from(claims > 0 && decide(&raw).is_ok());
    }

    assert!(served > 100, "{served} of 500: the properties below are hardly tested");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn mutating_twice_is_mutating_once(raw in pods()) {
        if let Ok(once) = decide(&raw) {
            prop_assert_eq!(decide(&once), Ok(once));
        }
    }

    #[test]
    fn the_patch_makes_the_mutated_pod(raw in pods()) {
        if let Ok(mutated) = decide(&raw) {
            let mut patched = raw.clone();
            json_patch::patch(&mut patched, &json_patch::diff(&raw, &mutated)).unwrap();
            prop_assert_eq!(patched, mutated);
        }
    }

    #[test]
    fn a_mutated_pod_passes_the_validator_unless_it_has_a_number_twice(raw in pods()) {
        if let Ok(mutated) = decide(&raw) {
            let pod = Pod::deserialize(&mutated).unwrap();
            let plan = Plan::of(&pod).unwrap();
            let standings =
                [("shop-web".to_owned(), held(9000)), ("shop-sip".to_owned(), held(9100))].into();
            let asking = Asking { namespace: "shop", dry_run: false, retries: false };
            let grants = settle(&plan, &standings, asking).unwrap();
            let checked = crate::validate::annotated(&pod, &plan, &grants);
            prop_assert!(matches!(checked, Ok(()) | Err(Refusal::Twice { .. })), "{:?}", checked);
        }
    }
}

/// What `shop-web` holds in a class of scope Node.
fn slot() -> [(&'static str, Standing); 1] {
    let run = Run::slot(crate::testing::port(9000), "9000-3").unwrap();
    [("shop-web", Standing::Held(run))]
}

#[test]
fn a_pod_of_scope_node_is_labelled_with_its_claim() {
    let stale = json!({"app": "web", "hostport.io/port-9100": "origin"});

    let (pod, _) = decide_with(&with(web(), "/metadata/labels", &stale), &slot(), false).unwrap();

    assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "hostport.io/port-9000": "shop-web"}));
    assert_eq!(pod.pointer("/spec/containers/0/ports/0/hostPort"), Some(&json!(9000)));
    let (again, _) = decide_with(&pod, &slot(), false).unwrap();
    assert_eq!(again, pod, "it may be asked again");
}

#[test]
fn two_slots_of_one_number_are_not_for_one_pod() {
    let mut twice = with(web(), "/metadata/annotations/claim.hostport.io~1admin", &json!("shop-admin"));
    let admin = json!({"name": "admin", "containerPort": 8081, "protocol": "UDP"});
    twice = with(twice, "/spec/containers/0/ports/-", &admin);
    let [(claim, held)] = slot();

    let said = decide_with(&twice, &[(claim, held.clone()), ("shop-admin", held)], false).unwrap_err();

    assert!(said.starts_with("claims \"shop-admin\" and \"shop-web\" both hold 9000"), "{said}");
}

#[test]
fn a_pod_of_scope_cluster_has_no_label_of_ours() {
    let pod = decide(&web()).unwrap();

    assert_eq!(pod["metadata"].get("labels"), None);
}

#[test]
fn a_pod_that_only_wants_to_know_a_slot_is_not_labelled() {
    let mut informed = web();
    informed["metadata"]["annotations"] = json!({"ref.hostport.io/WEB": "shop-web"});

    let (pod, _) = decide_with(&informed, &slot(), false).unwrap();

    assert_eq!(pod["metadata"].get("labels"), None);
}
