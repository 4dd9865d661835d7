//! Every CEL rule of the definitions, evaluated without an API server. What the schema alone refuses (bounds, required
//! fields) is not evaluated here; the API server judges the same table in `e2e/tests/e2e/api/rules.rs`.

mod cases;

use std::collections::BTreeSet;

use kube_cel::{Validator, apply_defaults};
use serde_json::Value;

use cases::Verdict;

/// The messages of the rules that the object breaks.
fn broken(case: &cases::Case) -> Vec<String> {
    let schema = schema(case.kind);
    let prepare = |object: &Value| apply_defaults(&schema, &without_nulls(object));
    let before = case.before.as_ref().map(prepare);
    match Validator::new().validate(&schema, &prepare(&case.object), before.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

fn schema(kind: &str) -> Value {
    let crd = crds::all().into_iter().find(|crd| crd.spec.names.kind == kind).expect("a kind of ours");
    let version = serde_json::to_value(&crd.spec.versions[0]).expect("plain data");
    version["schema"]["openAPIV3Schema"].clone()
}

/// The API server drops a null before defaulting where the schema does not allow it, and ours allows it nowhere.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, field)| !field.is_null());
            kept.map(|(name, field)| (name.clone(), without_nulls(field))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[test]
fn rules_accept_and_refuse_what_the_table_says() {
    for case in cases::all() {
        let found = broken(&case);
        match case.verdict {
            Verdict::Accepted => assert!(found.is_empty(), "{}: refused with {found:?}", case.claim),
            Verdict::Rule(words) => {
                let said = found.iter().any(|message| message.contains(words));
                assert!(said, "{}: expected {words:?}, got {found:?}", case.claim);
            }
            Verdict::Schema(_) => {}
        }
    }
}

#[test]
fn every_rule_is_in_the_table() {
    let mut rules = BTreeSet::new();
    for crd in crds::all() {
        collect(&schema(&crd.spec.names.kind), &mut rules);
    }

    for rule in rules {
        let refused =
            |case: &cases::Case| matches!(case.verdict, Verdict::Rule(words) if rule.contains(words));
        assert!(cases::all().iter().any(refused), "no case is refused by the rule {rule:?}");
    }
}

fn collect(schema: &Value, rules: &mut BTreeSet<String>) {
    let messages = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    rules.extend(messages.filter_map(|rule| Some(rule.get("message")?.as_str()?.to_owned())));
    let inner =
        schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|fields| fields.values());
    inner.chain(schema.get("items")).for_each(|schema| collect(schema, rules));
}
