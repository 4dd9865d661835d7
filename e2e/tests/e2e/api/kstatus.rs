//! What GitOps tools make of our objects: kstatus' rules (sigs.k8s.io/cli-utils/pkg/kstatus), applied to a claim in
//! every state that it can be in.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use crds::{HostPortClaim, HostPortClaimSpec, LabelSelector, Reason};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::{World, pod, pod_with};

/// Status of an object, by kstatus' generic rules in their order.
fn kstatus(object: &Value) -> &'static str {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating";
    }
    let (seen, generation) = (&object["status"]["observedGeneration"], &object["metadata"]["generation"]);
    if !seen.is_null() && seen != generation {
        return "InProgress";
    }
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let status = |kind: &str| {
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
    };
    if status("Reconciling") == "True" {
        return "InProgress";
    }
    if status("Stalled") == "True" {
        return "Failed";
    }
    match status("Ready").as_str() {
        "False" | "Unknown" => "InProgress",
        _ => "Current",
    }
}

#[tokio::test]
async fn a_health_check_waits_passes_or_fails_as_the_reason_says() -> Result<()> {
    let world = World::new("kstatus").await?;
    let neighbour = world.neighbour().await?;
    let class = world.class(4).await?;
    let slow = world.class_with(2, |spec| spec.reuse_delay = "1h".parse().expect("a delay")).await?;

    // One claim for each reason, named after what kstatus is to say.
    world.claim_port("bound-current", &class, class.first).await?;
    world.bound("bound-current").await?;

    world.claim_port("inuse-terminating", &class, class.first + 1).await?;
    world.bound("inuse-terminating").await?;
    world.create_pod(pod("user", "inuse-terminating")).await?;
    world.protected("inuse-terminating").await?;
    world.delete_claim("inuse-terminating").await?;

    world.claim_port("lost-failed", &class, class.first + 2).await?;
    let lost = world.bound("lost-failed").await?;
    let raw = json!([{"containerPort": 80, "hostPort": lost}]);
    neighbour.create_pod(pod_with("raw", json!({}), raw)).await?;
    world.kubectl(&["delete", "hp", &lost.to_string()]).await?;

    world.claim_port("taken-inprogress", &class, class.first).await?;
    world.claim_port("outside-failed", &class, class.last + 1).await?;
    world.claim_spec("noclass-inprogress", Some("no-such-class"), None).await?;

    world.claim_port("gone", &slow, slow.first).await?;
    let resting = world.bound("gone").await?;
    world.delete_claim("gone").await?;
    world.hostport_in(resting, crds::HostPortPhase::Released).await?;
    neighbour.claim_port("resting-inprogress", &slow, resting).await?;
    world.bind("last", &slow).await?;
    world.claim("exhausted-inprogress", &slow).await?;

    let few = world.class_with(4, |spec| spec.max_per_namespace = Some(1)).await?;
    world.bind("first-of-few", &few).await?;
    world.claim("quota-inprogress", &few).await?;
    let others = world.class_with(4, |spec| spec.namespace_selector = Some(nobody())).await?;
    world.claim("others-failed", &others).await?;
    let many = HostPortClaimSpec {
        host_port_class_name: Some(class.name.clone()),
        count: 65,
        ..HostPortClaimSpec::default()
    };
    let unmade = HostPortClaimSpec {
        host_port_class_name: Some(class.name.clone()),
        host_port_name: Some("1".to_owned()),
        ..HostPortClaimSpec::default()
    };
    for (name, spec) in [("many-failed", many), ("unmade-inprogress", unmade)] {
        world.api().create(&PostParams::default(), &HostPortClaim::new(name, spec)).await?;
    }

    let mut met: BTreeMap<String, String> = BTreeMap::new();
    for (world, name, reason) in [
        (&world, "bound-current", Reason::Bound),
        (&world, "inuse-terminating", Reason::InUse),
        (&world, "lost-failed", Reason::PortTaken),
        (&world, "taken-inprogress", Reason::PortTaken),
        (&world, "outside-failed", Reason::PortOutsidePools),
        (&world, "noclass-inprogress", Reason::ClassNotFound),
        (&neighbour, "resting-inprogress", Reason::WaitingForReuse),
        (&world, "exhausted-inprogress", Reason::PoolExhausted),
        (&world, "quota-inprogress", Reason::QuotaExceeded),
        (&world, "others-failed", Reason::NamespaceNotAllowed),
        (&world, "many-failed", Reason::CountTooLarge),
        (&world, "unmade-inprogress", Reason::HostPortNotFound),
    ] {
        let message = world.says(name, reason.as_str()).await?;
        let claim = serde_json::to_value(world.get_claim(name).await?)?;
        let expected = name.split_once('-').context("a name of two words")?.1;
        ensure!(kstatus(&claim).to_lowercase() == expected, "{reason}: {} of {claim}", kstatus(&claim));
        ensure!(
            message.ends_with('.') && message.split(". ").count() > 1 || reason == Reason::Bound,
            "{message}"
        );
        met.insert(reason.to_string(), message);
    }
    let missing: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !met.contains_key(reason.as_str()))
        .map(|reason| reason.as_str())
        .collect();
    ensure!(missing == ["WaitingForController"], "not tried: {missing:?}");

    let class = serde_json::to_value(world.get_class(&class).await?)?;
    ensure!(kstatus(&class) == "Current", "{class}");
    Ok(())
}

/// Selects no namespace.
fn nobody() -> LabelSelector {
    LabelSelector {
        match_labels: Some([("hostport-test/nobody".to_owned(), "x".to_owned())].into()),
        ..LabelSelector::default()
    }
}

#[test]
fn an_object_that_nobody_has_looked_at_is_in_progress() {
    for definition in crds::all() {
        let definition = serde_json::to_value(definition).expect("plain data");
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let default = &schema["properties"]["status"]["default"];
        let object = json!({"metadata": {"generation": 1}, "status": default});

        let expected = if default.is_null() { "Current" } else { "InProgress" };
        assert_eq!(kstatus(&object), expected, "{}", definition["spec"]["names"]["kind"]);
    }
}
