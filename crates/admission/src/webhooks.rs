//! The webhook configurations. A mistake here refuses every pod of the cluster, so each step of an expression is
//! guarded by has(), and pods that do not concern us never reach us.

use anyhow::Context;
use crds::names::{GROUP, LABEL_MANAGED, WEBHOOK_MUTATE, WEBHOOK_VALIDATE};
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
        ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};

/// Path of the mutating webhook.
pub(crate) const PATH_MUTATE: &str = "/mutate-pods";
/// Path of the validating webhook for managed namespaces.
pub(crate) const PATH_MANAGED: &str = "/validate-pods";
/// Path of the validating webhook for annotated pods of all other namespaces.
pub(crate) const PATH_ANNOTATED: &str = "/validate-pods/annotated";

/// Path of the webhook that warns of workloads.
pub(crate) const PATH_WORKLOADS: &str = "/warn-workloads";

const WEBHOOK_WORKLOADS: &str = "workloads.hostport.io";
const WEBHOOK_VALIDATE_ANNOTATED: &str = "annotated.check.pods.hostport.io";
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
const FIELD_MANAGER: &str = "hostport";
/// Above the 8 s within which every review is answered.
const TIMEOUT_SECONDS: i32 = 10;

/// Where the API server finds the webhooks.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Service of the cluster.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
        /// The Service's port.
        port: u16,
    },
    /// Scheme, host and port, as `https://127.0.0.1:8443`: outside the cluster, for development.
    Url(String),
}

impl Target {
    fn client_config(&self, path: &str, ca_pem: &str) -> WebhookClientConfig {
        let (service, url) = match self {
            Target::Service { namespace, name, port } => {
                let service = ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(path.to_owned()),
                    port: Some((*port).into()),
                };
                (Some(service), None)
            }
            Target::Url(url) => (None, Some(format!("{}{path}", url.trim_end_matches('/')))),
        };
        let ca_bundle = (!ca_pem.is_empty()).then(|| ByteString(ca_pem.as_bytes().to_vec()));
        WebhookClientConfig { ca_bundle, service, url }
    }
}

/// The configurations of the mutating and the validating webhook. `own_namespace` is left out, so that
/// admission's own pods can start when it is down. An empty `ca_pem` leaves caBundle unset.
pub fn configurations(
    target: &Target,
    ca_pem: &str,
    own_namespace: &str,
) -> (MutatingWebhookConfiguration, ValidatingWebhookConfiguration) {
    let mutating = MutatingWebhook {
        name: WEBHOOK_MUTATE.to_owned(),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: target.client_config(PATH_MUTATE, ca_pem),
        failure_policy: Some("Fail".to_owned()),
        match_conditions: Some(vec![only("annotated", annotated())]),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(namespaces(own_namespace, None)),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        rules: Some(vec![pods()]),
        // It makes claims for pods that ask for them, but not in a dry run (I7).
        side_effects: "NoneOnDryRun".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        ..MutatingWebhook::default()
    };
    let validating = |name: &str, path, condition, managed| ValidatingWebhook {
        name: name.to_owned(),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: target.client_config(path, ca_pem),
        failure_policy: Some("Fail".to_owned()),
        match_conditions: Some(vec![condition]),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(namespaces(own_namespace, Some(managed))),
        rules: Some(vec![pods()]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        ..ValidatingWebhook::default()
    };
    let carrying = only("annotated-or-with-ports-of-the-node", format!("({}) || {}", annotated(), carries()));
    let validating = vec![
        validating(WEBHOOK_VALIDATE, PATH_MANAGED, carrying, "In"),
        validating(WEBHOOK_VALIDATE_ANNOTATED, PATH_ANNOTATED, only("annotated", annotated()), "NotIn"),
        ValidatingWebhook {
            // A warning is worth no outage and no wait.
            failure_policy: Some("Ignore".to_owned()),
            timeout_seconds: Some(2),
            namespace_selector: Some(namespaces(own_namespace, None)),
            rules: Some(workloads()),
            ..validating(WEBHOOK_WORKLOADS, PATH_WORKLOADS, only("annotated", annotated_workload()), "NotIn")
        },
    ];
    let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    (
        MutatingWebhookConfiguration { metadata: named(WEBHOOK_MUTATE), webhooks: Some(vec![mutating]) },
        ValidatingWebhookConfiguration { metadata: named(WEBHOOK_VALIDATE), webhooks: Some(validating) },
    )
}

/// The configurations as YAML documents.
///
/// # Errors
/// Never in practice: the objects are plain data.
pub fn yaml(target: &Target, ca_pem: &str, own_namespace: &str) -> anyhow::Result<String> {
    let (mutating, validating) = configurations(target, ca_pem, own_namespace);
    Ok(format!("{}---\n{}", serde_yaml_ng::to_string(&mutating)?, serde_yaml_ng::to_string(&validating)?))
}

/// Whether the configurations are those of an installed hostport: of its chart, or of `config/default`. Both label them,
/// [`install`] does not.
///
/// # Errors
/// The API server refuses to tell or does not answer.
pub async fn is_installed(client: &Client) -> anyhow::Result<bool> {
    let api = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let found = api.get_metadata_opt(WEBHOOK_MUTATE).await;
    let found = found.with_context(|| format!("read MutatingWebhookConfiguration {WEBHOOK_MUTATE}"))?;
    Ok(found.is_some_and(|found| found.labels().contains_key("app.kubernetes.io/name")))
}

/// Applies the configurations (server-side apply, field manager `hostport`).
///
/// # Errors
/// The API server refuses them or does not answer.
pub async fn install(
    client: &Client,
    target: &Target,
    ca_pem: &str,
    own_namespace: &str,
) -> anyhow::Result<()> {
    let (mutating, validating) = configurations(target, ca_pem, own_namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    Api::<MutatingWebhookConfiguration>::all(client.clone())
        .patch(WEBHOOK_MUTATE, &params, &Patch::Apply(&mutating))
        .await
        .with_context(|| format!("apply MutatingWebhookConfiguration {WEBHOOK_MUTATE}"))?;
    Api::<ValidatingWebhookConfiguration>::all(client.clone())
        .patch(WEBHOOK_VALIDATE, &params, &Patch::Apply(&validating))
        .await
        .with_context(|| format!("apply ValidatingWebhookConfiguration {WEBHOOK_VALIDATE}"))?;
    Ok(())
}

/// CREATE only: ports cannot change later, and ephemeral containers have none.
fn pods() -> RuleWithOperations {
    let one = |text: &str| Some(vec![text.to_owned()]);
    RuleWithOperations {
        api_groups: one(""),
        api_versions: one("v1"),
        operations: one("CREATE"),
        resources: one("pods"),
        scope: Some("Namespaced".to_owned()),
    }
}

/// What makes pods of a template.
fn workloads() -> Vec<RuleWithOperations> {
    let all = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
    let rule = |group, resources: &[&str]| RuleWithOperations {
        api_groups: all(&[group]),
        api_versions: all(&["v1"]),
        operations: all(&["CREATE", "UPDATE"]),
        resources: all(resources),
        scope: Some("Namespaced".to_owned()),
    };
    vec![
        rule("apps", &["deployments", "statefulsets", "daemonsets", "replicasets"]),
        rule("batch", &["jobs", "cronjobs"]),
    ]
}

/// Never kube-system and never our own; `managed` is the operator on the label's value "true".
fn namespaces(own: &str, managed: Option<&str>) -> LabelSelector {
    let requirement = |key: &str, operator: &str, values: &[&str]| LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    };
    let mut requirements = vec![requirement(NAMESPACE_NAME, "NotIn", &["kube-system", own])];
    requirements.extend(managed.map(|operator| requirement(LABEL_MANAGED, operator, &["true"])));
    LabelSelector { match_expressions: Some(requirements), match_labels: None }
}

fn only(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

/// The pod has an annotation of our domain. `annotations::is_ours` asks the same: a key has at most one slash.
fn annotated() -> String {
    format!(
        "has(object.metadata) && has(object.metadata.annotations) && object.metadata.annotations.exists(k, \
         k.startsWith('{GROUP}/') || k.contains('.{GROUP}/'))"
    )
}

/// The workload has an annotation of our domain, or its pods have.
fn annotated_workload() -> String {
    let below = |path: &str| {
        let mut guards = Vec::new();
        let mut at = "object".to_owned();
        for step in path.split('.').chain(["metadata", "annotations"]).filter(|step| !step.is_empty()) {
            at = format!("{at}.{step}");
            guards.push(format!("has({at})"));
        }
        let guards = guards.join(" && ");
        format!("({guards} && {at}.exists(k, k.startsWith('{GROUP}/') || k.contains('.{GROUP}/')))")
    };
    format!("{} || {} || {}", below(""), below("spec.template"), below("spec.jobTemplate.spec.template"))
}

/// The pod takes a port of its node, or may take any.
fn carries() -> String {
    let spec = "has(object.spec)";
    let network = format!("({spec} && has(object.spec.hostNetwork) && object.spec.hostNetwork)");
    let ports = |list: &str| {
        format!(
            "({spec} && has(object.spec.{list}) && object.spec.{list}.exists(c, has(c.ports) && c.ports.exists(p, \
             has(p.hostPort) && p.hostPort > 0)))"
        )
    };
    format!("{network} || {} || {}", ports("containers"), ports("initContainers"))
}

#[cfg(test)]
#[path = "webhooks_tests.rs"]
mod tests;
