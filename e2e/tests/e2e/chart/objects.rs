//! Properties that every rendered object has, whatever the values.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{chart, operator};
use serde_json::{Value, json};

use super::{all_rendered, find, kind, label, list, name, rendered, text, values_files};

/// The pod templates of an object: of a Deployment or Job, or the pod itself.
fn pod(object: &Value) -> Option<&Value> {
    match kind(object) {
        "Deployment" | "Job" => object.pointer("/spec/template"),
        "Pod" => Some(object),
        _ => None,
    }
}

#[test]
fn every_pod_passes_pod_security_restricted() -> Result<()> {
    for (file, objects) in all_rendered()? {
        let pods: Vec<_> = objects.iter().filter_map(|object| Some((label(object), pod(object)?))).collect();
        ensure!(pods.len() >= 3, "{file}: {} pods", pods.len());
        for (label, pod) in pods {
            let what = format!("{file}: {label}");
            let context = &pod["spec"]["securityContext"];
            ensure!(context["runAsNonRoot"] == true, "{what}: {context}");
            ensure!(context["runAsUser"].as_u64().is_some_and(|user| user > 0), "{what}: {context}");
            ensure!(context["seccompProfile"]["type"] == "RuntimeDefault", "{what}: {context}");
            for forbidden in ["hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"] {
                ensure!(pod["spec"].get(forbidden).is_none(), "{what} has {forbidden}");
            }
            for container in list(pod, "/spec/containers") {
                let context = &container["securityContext"];
                ensure!(context["allowPrivilegeEscalation"] == false, "{what}: {context}");
                ensure!(context["readOnlyRootFilesystem"] == true, "{what}: {context}");
                ensure!(context["capabilities"] == json!({"drop": ["ALL"]}), "{what}: {context}");
                ensure!(context.get("privileged").is_none(), "{what}: {context}");
                ensure!(list(container, "/ports").all(|port| port.get("hostPort").is_none()), "{what}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_rule_names_its_verbs_and_resources() -> Result<()> {
    for (file, objects) in all_rendered()? {
        let roles = objects.iter().filter(|object| matches!(kind(object), "Role" | "ClusterRole"));
        for role in roles {
            for rule in list(role, "/rules") {
                let what = format!("{file}: {}: {rule}", label(role));
                for part in ["verbs", "resources", "apiGroups"] {
                    let words: Vec<&str> =
                        list(rule, &format!("/{part}")).filter_map(Value::as_str).collect();
                    ensure!(!words.is_empty(), "{what} has no {part}");
                    ensure!(words.iter().all(|word| !word.contains('*')), "{what} says everything");
                }
                ensure!(rule.get("nonResourceURLs").is_none(), "{what}");
                let secrets = list(rule, "/resources").any(|resource| resource == "secrets");
                let creates = rule["verbs"] == json!(["create"]);
                ensure!(!secrets || creates || rule.get("resourceNames").is_some(), "{what}: all Secrets");
                ensure!(!secrets || kind(role) == "Role", "{what}: Secrets of all namespaces");
            }
        }
    }
    Ok(())
}

#[test]
fn tenants_get_claims_but_no_status_and_no_host_port() -> Result<()> {
    let objects = rendered(&values_files()?[0])?;
    for role in objects.iter().filter(|object| kind(object) == "ClusterRole") {
        let tenants = role["metadata"]["labels"].as_object().context("no labels")?.keys();
        let tenants = tenants.filter(|key| key.contains("/aggregate-to-")).count();
        for rule in list(role, "/rules").filter(|_| tenants > 0) {
            let has = |part: &str, word: &str| list(rule, &format!("/{part}")).any(|it| it == word);
            ensure!(!has("resources", "hostports"), "{}: {rule}", label(role));
            let writes = ["create", "update", "patch", "delete", "deletecollection"];
            let writes = writes.into_iter().any(|verb| has("verbs", verb));
            let claims_only = rule["resources"] == json!(["hostportclaims"]);
            ensure!(!writes || claims_only, "{}: {rule}", label(role));
        }
    }
    let edit = find(&objects, "ClusterRole", "hostport-edit")?;
    ensure!(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true");
    Ok(())
}

#[test]
fn labels_are_the_same_everywhere_and_selectors_find_their_pods() -> Result<()> {
    for (file, objects) in all_rendered()? {
        for object in &objects {
            let labels = &object["metadata"]["labels"];
            for (key, value) in [
                ("app.kubernetes.io/name", "hostport"),
                ("app.kubernetes.io/instance", "hostport"),
                ("app.kubernetes.io/managed-by", "Helm"),
            ] {
                ensure!(labels[key] == value, "{file}: {} has {key}: {}", label(object), labels[key]);
            }
        }
        for part in ["controller", "admission"] {
            let deployment = find(&objects, "Deployment", &format!("hostport-{part}"))?;
            let pods = &deployment["spec"]["template"]["metadata"]["labels"];
            let mut selectors = vec![&deployment["spec"]["selector"]["matchLabels"]];
            selectors.push(&find(&objects, "Service", &format!("hostport-{part}"))?["spec"]["selector"]);
            for (kind, pointer) in [
                ("PodDisruptionBudget", "/spec/selector/matchLabels"),
                ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ] {
                let found = find(&objects, kind, &format!("hostport-{part}")).ok();
                selectors.extend(found.and_then(|object| object.pointer(pointer)));
            }
            for selector in selectors {
                let selector = selector.as_object().context("no selector")?;
                ensure!(selector.len() == 3, "{file}: {selector:?}");
                ensure!(
                    selector.iter().all(|(key, value)| pods[key] == *value),
                    "{file}: {selector:?}, {pods}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn webhooks_leave_kube_system_and_their_own_namespace_alone() -> Result<()> {
    for (file, objects) in all_rendered()? {
        let configurations: Vec<&Value> =
            objects.iter().filter(|object| kind(object).ends_with("WebhookConfiguration")).collect();
        ensure!(configurations.len() == 2, "{file}");
        for webhook in configurations.iter().flat_map(|it| list(it, "/webhooks")) {
            let by_name = list(webhook, "/namespaceSelector/matchExpressions")
                .find(|it| it["key"] == "kubernetes.io/metadata.name")
                .context("no selector by name")?;
            let left_alone: BTreeSet<&str> = list(by_name, "/values").filter_map(Value::as_str).collect();
            ensure!(by_name["operator"] == "NotIn", "{file}: {webhook}");
            ensure!(
                left_alone.is_superset(&BTreeSet::from(["kube-system", chart::NAMESPACE])),
                "{file}: {webhook}"
            );
            ensure!(text(webhook, "/clientConfig/service/namespace") == chart::NAMESPACE, "{file}");
            let service = find(&objects, "Service", text(webhook, "/clientConfig/service/name"))?;
            let port = &webhook["clientConfig"]["service"]["port"];
            ensure!(list(service, "/spec/ports").any(|it| it["port"] == *port), "{file}: {port}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn webhooks_are_those_that_the_binary_prints() -> Result<()> {
    let rendered = tokio::task::spawn_blocking(|| rendered(&values_files()?[1])).await??;
    let service = format!("{}/hostport-admission", chart::NAMESPACE);

    let printed = operator::printed(&["webhooks", "--webhook-service", &service]).await?;

    for mut printed in chart::objects(&printed)? {
        let of_chart = find(&rendered, kind(&printed), name(&printed))?;
        printed["metadata"]["labels"] = of_chart["metadata"]["labels"].clone();
        ensure!(printed == *of_chart, "the binary prints {printed}, the chart has {of_chart}");
    }
    Ok(())
}

#[test]
fn what_an_administrator_chooses_of_the_webhooks_is_in_them_and_the_one_that_warns_stays() -> Result<()> {
    let helm = e2e::helm::Helm::find_or_build()?;
    let chosen =
        "webhooks.failurePolicy=Ignore,webhooks.timeoutSeconds=20,webhooks.excludedNamespaces={velero}";

    let objects = chart::objects(&chart::template(&helm, &["--set", chosen, "--namespace", "ports"])?)?;

    let checking = find(&objects, "ValidatingWebhookConfiguration", "check.pods.hostport.io")?;
    for webhook in list(checking, "/webhooks") {
        let left_alone = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
        ensure!(*left_alone == json!(["kube-system", "ports", "velero"]), "{webhook}");
        let expected = if webhook["name"] == "workloads.hostport.io" { 2 } else { 20 };
        ensure!(webhook["timeoutSeconds"] == expected && webhook["failurePolicy"] == "Ignore", "{webhook}");
    }
    Ok(())
}

#[test]
fn definitions_stay_when_the_release_goes_unless_asked_otherwise() -> Result<()> {
    for (file, keeps) in [("default-values.yaml", true), ("small-values.yaml", false)] {
        let objects = rendered(&chart::dir().join("ci").join(file))?;
        let definitions = objects.iter().filter(|it| kind(it) == "CustomResourceDefinition");
        let kept = definitions.map(|it| it["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep");
        ensure!(kept.clone().count() == 3 && kept.clone().all(|kept| kept == keeps), "{file}");
    }
    Ok(())
}

#[test]
fn with_cert_manager_the_controller_has_no_right_to_certificates() -> Result<()> {
    let objects = rendered(&chart::dir().join("ci/cert-manager-values.yaml"))?;

    let controller = find(&objects, "Deployment", "hostport-controller")?;
    let arguments =
        controller.pointer("/spec/template/spec/containers/0/args").context("no args")?.to_string();
    ensure!(!arguments.contains("--manage-certificates"), "{arguments}");
    for rule in
        objects.iter().filter(|it| name(it) == "hostport-controller").flat_map(|it| list(it, "/rules"))
    {
        let resources = rule["resources"].to_string();
        ensure!(!resources.contains("secrets") && !resources.contains("webhookconfigurations"), "{rule}");
    }
    let certificate = find(&objects, "Certificate", "hostport-webhook")?;
    ensure!(text(certificate, "/spec/secretName") == "corporate-hostport-cert");
    ensure!(certificate["spec"]["issuerRef"] == json!({"kind": "ClusterIssuer", "name": "corporate"}));
    let names: Vec<_> = list(certificate, "/spec/dnsNames").collect();
    ensure!(names.contains(&&json!("hostport-admission.hostport-system.svc")), "{names:?}");
    for configuration in objects.iter().filter(|it| kind(it).ends_with("WebhookConfiguration")) {
        let from = text(configuration, "/metadata/annotations/cert-manager.io~1inject-ca-from");
        ensure!(from == "hostport-system/hostport-webhook", "{from}");
    }
    let role = find(&objects, "Role", "hostport-admission")?;
    ensure!(role["rules"][0]["resourceNames"] == json!(["corporate-hostport-cert"]), "{role}");
    Ok(())
}
