//! The expressions are evaluated here, on pods that lack whatever a pod can lack.

use kube_cel::{KubeCelExt, cel};
use serde_json::{Value, json};

use super::*;

fn configured() -> (Value, Value) {
    let service =
        Target::Service { namespace: "hostport-system".into(), name: "hostport-admission".into(), port: 443 };
    let (mutating, validating) = configurations(&service, "PEM", "hostport-system");
    (serde_json::to_value(mutating).unwrap(), serde_json::to_value(validating).unwrap())
}

/// The answer of a webhook's matchConditions; an error would refuse the pod.
fn reaches(webhook: &Value, pod: &Value) -> bool {
    webhook["matchConditions"].as_array().unwrap().iter().all(|condition| {
        let program = cel::Program::compile(condition["expression"].as_str().unwrap()).unwrap();
        let mut context = cel::Context::default().with_all();
        context.add_variable("object", pod.clone()).unwrap();
        match program.execute(&context).unwrap() {
            cel::Value::Bool(answer) => answer,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn a_pod_without_anything_of_ours_never_reaches_us() {
    let (mutating, validating) = configured();
    let plain = [
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}}),
        json!({"metadata": {"annotations": {}}, "spec": {"containers": []}}),
        json!({"metadata": {"annotations": {"a": "b", "myhostport.io/x": "y"}}, "spec": {}}),
        json!({"metadata": {}}),
        json!({"metadata": {}, "spec": {
            "hostNetwork": false,
            "containers": [{"name": "a", "ports": []}, {"name": "b", "ports": [{"containerPort": 80}]}],
            "initContainers": [{"name": "c"}, {"name": "d", "ports": [{"containerPort": 1, "hostPort": 0}]}],
        }}),
    ];
    for pod in plain {
        assert!(!reaches(&mutating["webhooks"][0], &pod), "{pod}");
        assert!(!reaches(&validating["webhooks"][0], &pod), "{pod}");
        assert!(!reaches(&validating["webhooks"][1], &pod), "{pod}");
    }
}

#[test]
fn an_annotated_pod_reaches_every_webhook() {
    let (mutating, validating) = configured();
    for key in
        ["claim.hostport.io/web", "hostport.io/enabled", "clam.hostport.io/web", "port.hostport.io/web"]
    {
        let pod = json!({"metadata": {"annotations": {key: "x"}}, "spec": {"containers": [{"name": "a"}]}});
        assert!(crate::annotations::is_ours(key));
        assert!(reaches(&mutating["webhooks"][0], &pod), "{key}");
        assert!(reaches(&validating["webhooks"][0], &pod), "{key}");
        assert!(reaches(&validating["webhooks"][1], &pod), "{key}");
    }
}

#[test]
fn a_workload_reaches_us_only_if_it_or_its_template_is_annotated() {
    let (_, validating) = configured();
    let webhook = &validating["webhooks"][2];
    assert_eq!(webhook["name"], "workloads.hostport.io");
    let ours = json!({"annotations": {"class.hostport.io/web": "games"}});

    for plain in [
        json!({"metadata": {}}),
        json!({"metadata": {"annotations": {"a": "b"}}, "spec": {}}),
        json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {}}}}),
        json!({"metadata": {"name": "a"}, "spec": {"template": {"metadata": {"labels": {}}}}}),
        json!({"metadata": {"name": "a"}, "spec": {"jobTemplate": {"spec": {"template": {"metadata": {}}}}}}),
    ] {
        assert!(!reaches(webhook, &plain), "{plain}");
    }
    for annotated in [
        json!({"metadata": ours, "spec": {}}),
        json!({"metadata": {}, "spec": {"template": {"metadata": ours}}}),
        json!({"metadata": {}, "spec": {"jobTemplate": {"spec": {"template": {"metadata": ours}}}}}),
    ] {
        assert!(reaches(webhook, &annotated), "{annotated}");
    }
}

#[test]
fn any_port_of_the_node_reaches_the_validator_of_managed_namespaces_only() {
    let (mutating, validating) = configured();
    let ports = json!([{"name": "p", "ports": [{"containerPort": 1}, {"containerPort": 1, "hostPort": 1}]}]);
    let carrying = [
        json!({"metadata": {}, "spec": {"containers": ports}}),
        json!({"metadata": {}, "spec": {"containers": [{"name": "a"}], "initContainers": ports}}),
        json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"hostNetwork": true, "containers": [{}]}}),
    ];
    for pod in carrying {
        assert!(reaches(&validating["webhooks"][0], &pod), "{pod}");
        assert!(!reaches(&validating["webhooks"][1], &pod), "{pod}");
        assert!(!reaches(&mutating["webhooks"][0], &pod), "{pod}");
    }
}

#[test]
fn kube_system_and_our_own_namespace_are_never_called() {
    let (mutating, validating) = configured();
    let all =
        mutating["webhooks"].as_array().unwrap().iter().chain(validating["webhooks"].as_array().unwrap());
    for webhook in all {
        assert_eq!(
            webhook["namespaceSelector"]["matchExpressions"][0],
            json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "hostport-system"]})
        );
        if webhook["name"] == "workloads.hostport.io" {
            assert_eq!(
                (&webhook["failurePolicy"], &webhook["timeoutSeconds"]),
                (&json!("Ignore"), &json!(2))
            );
            assert_eq!(webhook["sideEffects"], "None");
            continue;
        }
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["rules"][0]["operations"], json!(["CREATE"]));
    }
    assert_eq!(mutating["webhooks"][0]["sideEffects"], "NoneOnDryRun");
    assert_eq!(validating["webhooks"][0]["sideEffects"], "None");
    assert_eq!(mutating["webhooks"][0]["reinvocationPolicy"], "IfNeeded");
    assert_eq!(mutating["webhooks"][0]["clientConfig"]["caBundle"], "UEVN");
}

#[test]
fn one_validator_is_for_managed_namespaces_and_one_for_all_others() {
    let (_, validating) = configured();
    let managed =
        |index: usize| validating["webhooks"][index]["namespaceSelector"]["matchExpressions"][1].clone();

    assert_eq!(managed(0), json!({"key": "hostport.io/managed", "operator": "In", "values": ["true"]}));
    assert_eq!(managed(1), json!({"key": "hostport.io/managed", "operator": "NotIn", "values": ["true"]}));
    assert_eq!(validating["webhooks"][0]["name"], "check.pods.hostport.io");
}

#[test]
fn outside_the_cluster_a_url_is_called() {
    let (mutating, validating) = configurations(&Target::Url("https://127.0.0.1:8443/".into()), "", "x");

    let mutating = mutating.webhooks.unwrap().remove(0).client_config;
    assert_eq!(mutating.url.as_deref(), Some("https://127.0.0.1:8443/mutate-pods"));
    assert_eq!(mutating.ca_bundle, None);
    let validating = validating.webhooks.unwrap().remove(1).client_config;
    assert_eq!(validating.url.as_deref(), Some("https://127.0.0.1:8443/validate-pods/annotated"));
}

#[test]
fn the_yaml_says_what_it_is() {
    let text = yaml(&Target::Url("https://x".into()), "", "hostport-system").unwrap();

    assert!(text.contains("kind: MutatingWebhookConfiguration"), "{text}");
    assert!(text.contains("kind: ValidatingWebhookConfiguration"), "{text}");
    assert!(text.contains("apiVersion: admissionregistration.k8s.io/v1"), "{text}");
}
