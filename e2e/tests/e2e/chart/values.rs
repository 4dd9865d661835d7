//! Values: those that make sense are taken, others refused with a reason, and each has a description.

use std::fs;

use anyhow::{Result, ensure};
use e2e::{chart, helm::Helm};
use serde_json::Value;

use super::values_files;

#[test]
fn helm_lint_is_content_with_every_values_file() -> Result<()> {
    let helm = Helm::find_or_build()?;
    let dir = chart::dir().display().to_string();
    for file in values_files()? {
        helm.run(None, &["lint", "--strict", &dir, "--values", &file.display().to_string()])?;
    }
    Ok(())
}

#[test]
fn values_that_make_no_sense_are_refused_by_name() -> Result<()> {
    let helm = Helm::find_or_build()?;
    for (wrong, complaint) in [
        ("controler.replicas=2", "controler"),
        ("controller.replicas=0", "/controller/replicas"),
        ("controller.bindsInFlight=5000", "/controller/bindsInFlight"),
        ("admission.replicas=two", "/admission/replicas"),
        ("admission.topologySpread=Maybe", "/admission/topologySpread"),
        ("image.repository=", "/image/repository"),
        ("image.digest=latest", "/image/digest"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("webhooks.failurePolicy=ignore", "/webhooks/failurePolicy"),
        ("webhooks.timeoutSeconds=5", "/webhooks/timeoutSeconds"),
        ("webhooks.certificateSecret=Not_A_Name", "/webhooks/certificateSecret"),
        ("policies.actions={Refuse}", "/policies/actions"),
        ("policies.actions={Deny,Warn}", "/policies/actions"),
        ("networkPolicy.apiServerPorts={70000}", "/networkPolicy/apiServerPorts"),
        ("monitoring.serviceMonitor.interval=often", "/monitoring/serviceMonitor/interval"),
        ("monitoring.prometheusRule.poolNearlyFullPercent=100", "poolNearlyFullPercent"),
    ] {
        let error = chart::template(&helm, &["--set", wrong]).err().map(|error| error.to_string());
        ensure!(error.as_ref().is_some_and(|it| it.contains(complaint)), "{wrong}: {error:?}");
    }
    Ok(())
}

/// `4711` is a name that Kubernetes takes, and a number in YAML.
#[test]
fn names_of_digits_stay_names() -> Result<()> {
    fn has_number(value: &Value, number: i64) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| has_number(item, number)),
            Value::Object(fields) => fields.values().any(|field| has_number(field, number)),
            value => value.as_i64() == Some(number),
        }
    }
    let helm = Helm::find_or_build()?;
    for file in values_files()? {
        let values = file.display().to_string();
        let names = ["--namespace", "4711", "--set-string", "webhooks.certificateSecret=4712"];
        let rendered = chart::template(&helm, &[&["--values", &*values], &names[..]].concat())?;
        for object in chart::objects(&rendered)? {
            ensure!(!has_number(&object, 4711) && !has_number(&object, 4712), "{values}: {object:#}");
        }
    }
    Ok(())
}

#[test]
fn the_schema_knows_exactly_the_values_that_there_are() -> Result<()> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(chart::dir().join("values.schema.json"))?)?;
    let values: Value = serde_yaml_ng::from_str(&fs::read_to_string(chart::dir().join("values.yaml"))?)?;
    same_keys("", &schema, &values)
}

/// Where the schema allows no other keys it names those of values.yaml; `global` is Helm's own.
fn same_keys(path: &str, schema: &Value, values: &Value) -> Result<()> {
    if schema["additionalProperties"] != Value::Bool(false) || path.ends_with(".resources") {
        return Ok(());
    }
    let keys = |object: &Value| {
        let keys = object.as_object().into_iter().flat_map(|object| object.keys());
        let mut keys: Vec<String> = keys.filter(|key| *key != "global").cloned().collect();
        keys.sort();
        keys
    };
    let (known, there) = (keys(&schema["properties"]), keys(values));
    if path.ends_with(".issuerRef") {
        return Ok(()); // Empty by default.
    }
    ensure!(known == there, "at {path:?} the schema has {known:?}, values.yaml {there:?}");
    known
        .iter()
        .try_for_each(|key| same_keys(&format!("{path}.{key}"), &schema["properties"][key], &values[key]))
}

#[test]
fn every_value_has_a_description() -> Result<()> {
    let text = fs::read_to_string(chart::dir().join("values.yaml"))?;
    let described: Vec<String> = chart::rows(&text)?.into_iter().map(|row| row.path).collect();

    let mut missing = Vec::new();
    without_description("", &serde_yaml_ng::from_str(&text)?, &described, &mut missing);

    ensure!(missing.is_empty(), "no comment in values.yaml above {}", missing.join(", "));
    Ok(())
}

fn without_description(path: &str, values: &Value, described: &[String], missing: &mut Vec<String>) {
    if described.iter().any(|it| it == path) {
        return;
    }
    match values.as_object().filter(|object| !object.is_empty()) {
        Some(object) => {
            for (key, below) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                without_description(&path, below, described, missing);
            }
        }
        None => missing.push(path.to_owned()),
    }
}

#[test]
fn it_is_not_installed_into_kube_system() -> Result<()> {
    let helm = Helm::find_or_build()?;
    let dir = chart::dir().display().to_string();

    let error = helm.run(None, &["template", "hostport", &dir, "--namespace", "kube-system"]).err();

    let error = error.map(|error| error.to_string()).unwrap_or_default();
    ensure!(error.contains("--namespace hostport-system"), "{error}");
    Ok(())
}
