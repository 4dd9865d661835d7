//! Warnings when a workload is applied: what its pods would be refused for, told to the one who can mend it. Nothing
//! is ever denied here, and without an answer the workload is stored all the same.

use std::time::Duration;

use crds::{HostPortClaim, HostPortClass, Scope};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    annotations::{Plan, is_ours},
    classes::Classes,
    mutate::targets,
    pod::Pod,
    reads::within,
    refusal::Refusal,
    review::Request,
    server::Stop,
    wishes::Kind,
};

/// The API server gives up after 2 s.
const TIME_LIMIT: Duration = Duration::from_millis(1500);
/// So many claims of a template are looked up, and classes.
const LOOKED_UP: usize = 8;

/// What a workload makes pods of.
#[derive(Debug)]
struct Workload<'a> {
    kind: &'a str,
    /// Annotations of the workload itself, where ours do nothing.
    misplaced: Vec<&'a str>,
    /// The first of its pods, as far as it can be known.
    pod: Value,
    /// More than one pod may run at a time.
    several: bool,
}

/// What the author of a workload should know. Controllers are told nothing: nobody would read it.
pub(crate) async fn warnings(client: &Client, classes: &Classes, request: &Request) -> Vec<String> {
    let Some(namespace) = request.namespace().filter(|_| !request.is_by_controller()) else {
        return Vec::new();
    };
    let Some(workload) = Workload::of(request.kind(), &request.object) else { return Vec::new() };
    let mut warnings = workload.misplaced();
    match workload.plan() {
        Err(refusal) => warnings.push(refusal),
        Ok(plan) => {
            let claims = claims_of(client, namespace, &plan, workload.several);
            let classes = classes_of(client, classes, namespace, &plan);
            let read = async { futures::join!(claims, classes) };
            // What could not be read in time is not told.
            let (claims, classes) = timeout(TIME_LIMIT, read).await.unwrap_or_default();
            warnings.extend(claims.into_iter().chain(classes));
        }
    }
    warnings
}

impl<'a> Workload<'a> {
    fn of(kind: &'a str, object: &'a Value) -> Option<Self> {
        let template = match kind {
            "CronJob" => object.pointer("/spec/jobTemplate/spec/template")?,
            _ => object.pointer("/spec/template")?,
        };
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        let misplaced = annotations.into_iter().flatten().map(|(key, _)| key.as_str());
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let number = |path: &str, or| object.pointer(path).and_then(Value::as_i64).unwrap_or(or);
        let mut metadata =
            template.get("metadata").filter(|it| it.is_object()).cloned().unwrap_or_else(|| json!({}));
        metadata["generateName"] = json!(format!("{name}-"));
        let labels = metadata.get("labels").filter(|it| it.is_object()).cloned();
        metadata["labels"] = labels.unwrap_or_else(|| json!({}));
        let indexed = object.pointer("/spec/completionMode").is_some_and(|mode| mode == "Indexed");
        match kind {
            "StatefulSet" => {
                let index = number("/spec/ordinals/start", 0);
                metadata["name"] = json!(format!("{name}-{index}"));
                metadata["labels"]["apps.kubernetes.io/pod-index"] = json!(index.to_string());
                metadata["ownerReferences"] = json!([{
                    "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "", "controller": true,
                }]);
            }
            "Job" if indexed => metadata["labels"]["batch.kubernetes.io/job-completion-index"] = json!("0"),
            _ => {}
        }
        let surge = object.pointer("/spec/strategy/rollingUpdate/maxSurge");
        let recreates = object.pointer("/spec/strategy/type").is_some_and(|strategy| strategy == "Recreate");
        let surges = kind == "Deployment" && !recreates && surge.is_none_or(|it| *it != 0 && *it != "0%");
        let several = surges
            || number("/spec/replicas", 1) > 1
            || number("/spec/parallelism", 1) > 1
            || kind == "DaemonSet";
        let spec = template.get("spec").cloned().unwrap_or_default();
        Some(Self {
            kind,
            misplaced: misplaced.filter(|key| is_ours(key)).collect(),
            pod: json!({ "metadata": metadata, "spec": spec }),
            several,
        })
    }

    fn misplaced(&self) -> Vec<String> {
        let kind = self.kind;
        let one = |key: &&str| {
            format!(
                "annotation {key} stands on the {kind} itself, where it does nothing: put it on the pods, under \
                 template.metadata.annotations"
            )
        };
        self.misplaced.iter().map(one).collect()
    }

    /// What its pods ask for, or what they would be refused for.
    fn plan(&self) -> Result<Plan, String> {
        let pod =
            Pod::deserialize(&self.pod).map_err(|error| format!("its template is not a pod: {error}"))?;
        let plan = Plan::of(&pod).map_err(|refusal| refused(&refusal))?;
        targets(&pod, &plan).map_err(|refusal| refused(&refusal))?;
        Ok(plan)
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("its pods will be refused: {refusal}")
}

/// Of the claims that are to be made, and are not there yet.
async fn classes_of(client: &Client, classes: &Classes, namespace: &str, plan: &Plan) -> Vec<String> {
    let api: Api<HostPortClaim> = Api::namespaced(client.clone(), namespace);
    let mut warnings = Vec::new();
    for make in plan.makes.iter().take(LOOKED_UP) {
        let what = format!("HostPortClaim {:?}", make.claim);
        let named = matches!(make.kind, Kind::ByName { .. });
        if named && !matches!(within(what, api.get_opt(&make.claim)).await, Ok(None)) {
            continue;
        }
        if let Err(Stop::Refused(refusal)) = classes.class_of(namespace, make).await {
            warnings.push(refused(&refusal));
        }
    }
    warnings
}

async fn claims_of(client: &Client, namespace: &str, plan: &Plan, several: bool) -> Vec<String> {
    let api: Api<HostPortClaim> = Api::namespaced(client.clone(), namespace);
    let mut warnings = Vec::new();
    let applied = plan.claims().into_iter().filter(|claim| plan.makes(claim).is_none());
    for claim in applied.take(LOOKED_UP) {
        match within(format!("HostPortClaim {claim:?}"), api.get_opt(claim)).await {
            Err(_) => {}
            Ok(None) => warnings.push(format!(
                "HostPortClaim {claim:?} does not exist in namespace {namespace:?}: pods are refused until it does"
            )),
            Ok(Some(found)) if several => {
                let class = found.status.and_then(|status| status.host_port_class_name);
                if serves_one_pod(client, class.as_deref()).await {
                    warnings.push(format!(
                        "claim {claim:?} is of a class of scope Node and serves one pod, and several of these may run \
                         at a time: use class.hostport.io for a claim for each pod, or strategy Recreate with one \
                         replica"
                    ));
                }
            }
            Ok(Some(_)) => {}
        }
    }
    warnings
}

/// Whether a claim of the class serves one pod only.
async fn serves_one_pod(client: &Client, class: Option<&str>) -> bool {
    let Some(class) = class else { return false };
    let api: Api<HostPortClass> = Api::all(client.clone());
    let found = within(format!("HostPortClass {class:?}"), api.get_opt(class)).await.ok().flatten();
    found.is_some_and(|class| class.spec.scope == Scope::Node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stateful_set(annotations: &Value, of_pods: &Value) -> Value {
        json!({
            "metadata": {"name": "sbc", "annotations": annotations},
            "spec": {"replicas": 3, "template": {
                "metadata": {"annotations": of_pods},
                "spec": {"containers": [{"name": "sbc", "ports": [{"name": "sip", "containerPort": 5060}]}]},
            }},
        })
    }

    fn refusal(kind: &str, object: &Value) -> String {
        Workload::of(kind, object).unwrap().plan().unwrap_err()
    }

    #[test]
    fn our_annotations_on_the_workload_itself_are_noticed() {
        let object = stateful_set(&json!({"claim.hostport.io/sip": "sip", "a": "b"}), &json!({}));

        let misplaced = Workload::of("StatefulSet", &object).unwrap().misplaced();

        assert_eq!(misplaced.len(), 1);
        assert!(
            misplaced[0].contains("claim.hostport.io/sip") && misplaced[0].contains("template"),
            "{misplaced:?}"
        );
    }

    #[test]
    fn what_the_pods_would_be_refused_for_is_told_before() {
        let unknown = stateful_set(&json!({}), &json!({"claim.hostport.io/web": "sip"}));
        let said = refusal("StatefulSet", &unknown);
        assert!(said.contains("names a port that no container of the pod has (there are: sip)"), "{said}");

        let index = stateful_set(&json!({}), &json!({"claim.hostport.io/sip": "sip-$(POD_INDEX)"}));
        let plan = Workload::of("StatefulSet", &index).unwrap().plan().unwrap();
        assert_eq!(plan.claims().into_iter().collect::<Vec<_>>(), ["sip-0"]);
        assert!(refusal("Deployment", &index).contains("has no index"));
    }

    #[test]
    fn a_cron_jobs_template_stands_deeper() {
        let template = stateful_set(&json!({}), &json!({"claim.hostport.io/web": "x"}));
        let object = json!({"spec": {"jobTemplate": {"spec": template["spec"]}}});

        assert!(refusal("CronJob", &object).contains("names a port"));
        assert!(Workload::of("CronJob", &json!({"spec": {}})).is_none());
    }

    #[test]
    fn several_pods_may_run_by_replicas_surge_and_by_being_a_daemon_set() {
        let of = |kind, spec: Value| {
            let mut object = stateful_set(&json!({}), &json!({}));
            object["spec"]["replicas"] = json!(1);
            object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            Workload::of(kind, &object).unwrap().several
        };

        assert!(of("Deployment", json!({})), "maxSurge is 25% by default");
        assert!(!of("Deployment", json!({"strategy": {"rollingUpdate": {"maxSurge": 0}}})));
        assert!(!of("Deployment", json!({"strategy": {"type": "Recreate"}})));
        assert!(!of("StatefulSet", json!({})));
        assert!(of("StatefulSet", json!({"replicas": 2})));
        assert!(of("DaemonSet", json!({})));
        assert!(of("Job", json!({"parallelism": 2})));
    }
}
