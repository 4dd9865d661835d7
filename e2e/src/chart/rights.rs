//! What the chart's roles give to an account, one right after the other.

use std::collections::BTreeMap;

use serde_json::Value;

/// A resource, and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// As `kubectl auth can-i` writes it: `hostports.hostport.io`, `secrets`.
    pub resource: String,
    /// Only those of these names; empty: all.
    pub names: Vec<String>,
    /// Only in hostport's own namespace.
    pub own_namespace: bool,
    /// What may be done.
    pub verbs: Vec<String>,
}

/// Of the roles of this name among the chart's objects: they are called as the account is.
pub fn rights(objects: &[Value], account: &str) -> Vec<Right> {
    let of_account = |object: &&Value| {
        matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))
            && object["metadata"]["name"] == account
    };
    let mut rights: BTreeMap<(String, Vec<String>, bool), Vec<String>> = BTreeMap::new();
    for role in objects.iter().filter(of_account) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    let resource = if group.is_empty() { resource } else { full(&resource, &group) };
                    let key = (resource, words(&rule["resourceNames"]), role["kind"] == "Role");
                    rights.entry(key).or_default().extend(words(&rule["verbs"]));
                }
            }
        }
    }
    let right = |((resource, names, own_namespace), verbs)| Right { resource, names, own_namespace, verbs };
    rights.into_iter().map(right).collect()
}

/// `hostportclaims.hostport.io/status`.
fn full(resource: &str, group: &str) -> String {
    match resource.split_once('/') {
        Some((resource, sub)) => format!("{resource}.{group}/{sub}"),
        None => format!("{resource}.{group}"),
    }
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// As Markdown.
pub(super) fn table(rights: &[Right]) -> String {
    let row = |right: &Right| {
        let place = if right.own_namespace { "own namespace" } else { "everywhere" };
        let names = if right.names.is_empty() { "all".to_owned() } else { right.names.join(", ") };
        format!("| `{}` | {names} | {place} | {} |\n", right.resource, right.verbs.join(", "))
    };
    format!(
        "| Resource | Names | Where | Verbs |\n|---|---|---|---|\n{}",
        rights.iter().map(row).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_of_all_roles_of_the_account_are_taken_apart_by_resource() {
        let role = |kind: &str, name: &str, rule: Value| json!({"kind": kind, "metadata": {"name": name}, "rules": [rule]});
        let claims = json!({"apiGroups": ["g.io"], "resources": ["a", "a/status"], "verbs": ["get"]});
        let secret = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["x"], "verbs": ["get", "list"]});
        let objects = [
            role("ClusterRole", "us", claims.clone()),
            role("Role", "us", secret),
            role("ClusterRole", "them", claims),
        ];

        let rights = rights(&objects, "us");

        let right = |resource: &str, names: &[&str], own_namespace, verbs: &[&str]| Right {
            resource: resource.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            own_namespace,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        };
        let expected = [
            right("a.g.io", &[], false, &["get"]),
            right("a.g.io/status", &[], false, &["get"]),
            right("secrets", &["x"], true, &["get", "list"]),
        ];
        assert_eq!(rights, expected);
    }
}
