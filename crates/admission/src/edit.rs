//! Writes into the raw pod. What is not named here stays as it came, also fields that this version does not know.

use std::collections::BTreeMap;

use crds::{
    Port,
    names::{ANNOTATION_PORT, LABEL_POD_PORT, label_of_claim},
};
use serde_json::{Map, Value, json};

use crate::{
    annotations::variable,
    pod::{List, Place},
    run::Run,
};

/// Sets the labels by which the pods of a claim of scope Node are found. Those of a copied pod's origin go.
pub(crate) fn labels(pod: &mut Value, slots: &BTreeMap<Port, &str>) {
    let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        labels.retain(|name, _| !name.starts_with(LABEL_POD_PORT));
    }
    if slots.is_empty() {
        return;
    }
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if labels.is_null() {
        *labels = json!({});
    }
    let Some(labels) = labels.as_object_mut() else { return };
    for (number, claim) in slots {
        labels.insert(format!("{LABEL_POD_PORT}{number}"), json!(label_of_claim(claim)));
    }
}

/// One change of a container's ports.
#[derive(Debug)]
pub(crate) enum Edit<'a> {
    /// The entry gets the number.
    Set { place: Place<'a>, host_port: Port, container_port: Option<Port> },
    /// A copy of an entry, after its own edit, under another protocol.
    Add { beside: Place<'a>, name: Option<String>, protocol: &'static str },
    /// A copy of an entry without its name, that listens on this number.
    Member { beside: Place<'a>, number: Port, protocol: String },
    /// The entry goes.
    Remove { place: Place<'a> },
}

/// Applies the edits in their order. Entries are added at the end, so places stay valid; what is removed has to
/// come last, from the end on.
pub(crate) fn ports(pod: &mut Value, edits: &[Edit<'_>]) {
    for edit in edits {
        match edit {
            Edit::Set { place, host_port, container_port } => {
                let Some(entry) = entry(pod, *place) else { continue };
                entry.insert("hostPort".to_owned(), json!(host_port.get()));
                if let Some(port) = container_port {
                    entry.insert("containerPort".to_owned(), json!(port.get()));
                }
            }
            Edit::Add { beside, name, protocol } => {
                let Some(mut added) = entry(pod, *beside).cloned() else { continue };
                added.insert("protocol".to_owned(), json!(protocol));
                match name {
                    Some(name) => added.insert("name".to_owned(), json!(name)),
                    None => added.remove("name"),
                };
                push(pod, *beside, added);
            }
            Edit::Member { beside, number, protocol } => {
                let Some(mut added) = entry(pod, *beside).cloned() else { continue };
                added.remove("name");
                added.insert("protocol".to_owned(), json!(protocol));
                added.insert("hostPort".to_owned(), json!(number.get()));
                added.insert("containerPort".to_owned(), json!(number.get()));
                push(pod, *beside, added);
            }
            Edit::Remove { place } => {
                if let Some(Value::Array(ports)) = list(pod, *place)
                    && place.entry < ports.len()
                {
                    ports.remove(place.entry);
                }
            }
        }
    }
}

/// Writes `port.hostport.io/<name>` for every name that is told, and removes those that a copy brought along.
pub(crate) fn annotations(pod: &mut Value, told: &BTreeMap<&str, Run>) {
    let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    let stale = |key: &String| key.strip_prefix(ANNOTATION_PORT).is_some_and(|name| !told.contains_key(name));
    annotations.retain(|key, _| !stale(key));
    for (name, run) in told {
        annotations.insert(format!("{ANNOTATION_PORT}{name}"), json!(run.first.to_string()));
    }
}

/// Other annotations of ours.
pub(crate) fn notes(pod: &mut Value, notes: Vec<(String, String)>) {
    if notes.is_empty() {
        return;
    }
    let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    let Some(annotations) = annotations.as_object_mut() else { return };
    annotations.extend(notes.into_iter().map(|(key, value)| (key, json!(value))));
}

/// Puts `HOSTPORT_<NAME>`, and for a block `HOSTPORT_<NAME>_LAST`, in front of every container's variables, so that `$(HOSTPORT_WEB)` expands in all of
/// the author's.
pub(crate) fn variables(pod: &mut Value, told: &BTreeMap<&str, Run>) {
    let mut ours = BTreeMap::new();
    for (name, run) in told {
        if run.is_block() {
            ours.insert(format!("{}_LAST", variable(name)), run.last().to_string());
        }
    }
    // A name that is told by itself comes before the end of a block.
    ours.extend(told.iter().map(|(name, run)| (variable(name), run.first.to_string())));
    if ours.is_empty() {
        return;
    }
    for list in [List::App, List::Init] {
        let containers = pod.pointer_mut(&format!("/spec/{}", list.field())).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let before = match container.remove("env") {
                Some(Value::Array(before)) => before,
                _ => Vec::new(),
            };
            container.insert("env".to_owned(), Value::Array(with_variables(&before, &ours)));
        }
    }
}

/// A literal value is ours to overwrite, it may be a copy's; where the author takes the name from elsewhere
/// (valueFrom) it stays.
fn with_variables(before: &[Value], ours: &BTreeMap<String, String>) -> Vec<Value> {
    let name = |entry: &Value| entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let elsewhere = |entry: &Value| entry.get("valueFrom").is_some_and(|from| !from.is_null());
    let authors: Vec<_> = before.iter().filter(|entry| elsewhere(entry)).map(name).collect();
    let literal = |(name, value): (&String, &String)| json!({ "name": name, "value": value });
    let first = ours.iter().filter(|(name, _)| !authors.contains(name)).map(literal);
    let rest = before.iter().filter(|entry| elsewhere(entry) || !ours.contains_key(&name(entry)));
    first.chain(rest.cloned()).collect()
}

fn push(pod: &mut Value, beside: Place<'_>, added: Map<String, Value>) {
    if let Some(Value::Array(ports)) = list(pod, beside) {
        ports.push(Value::Object(added));
    }
}

fn list<'a>(pod: &'a mut Value, place: Place<'_>) -> Option<&'a mut Value> {
    pod.pointer_mut(&format!("/spec/{}/{}/ports", place.list.field(), place.index))
}

fn entry<'a>(pod: &'a mut Value, place: Place<'_>) -> Option<&'a mut Map<String, Value>> {
    list(pod, place)?.get_mut(place.entry)?.as_object_mut()
}
