//! The webhooks against a small API server in memory: what is read, who waits, and that anything gets an answer.

use axum::{body::to_bytes, extract::Request as Call, http::Uri};
use crds::{HostPort, HostPortClaim, HostPortPhase};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::testing::{
    bound_claim, claim,
    cluster::{Broken, Cluster},
    grant, terminating,
};

const USER: &str = "alice";
const CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";

impl Cluster {
    /// With a watch that has shown these claims and tells no more.
    fn webhooks_that_know(&self, claims: impl IntoIterator<Item = HostPortClaim>) -> Router {
        let admission = self.admission();
        claims.into_iter().for_each(|claim| admission.0.lookup.known().apply(Event::Apply(claim)));
        router(admission)
    }
}

/// `web` holds 9000.
fn shop() -> Cluster {
    Cluster::default().with(bound_claim("web", 9000)).granted(grant("web", 9000))
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "echo-", "annotations": {"claim.hostport.io/web": "web"}},
        "spec": {"containers": [{"name": "echo", "ports": [{"name": "web", "containerPort": 80}]}]},
    })
}

fn review(user: &str, pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop",
            "operation": "CREATE", "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": pod, "oldObject": null, "dryRun": false,
        },
    })
}

async fn post_bytes(webhooks: &Router, path: &str, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
    let call = Call::post(Uri::try_from(path).unwrap()).body(body.into()).unwrap();
    let response = webhooks.clone().oneshot(call).await.unwrap();
    let code = response.status();
    (code, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
}

async fn ask(webhooks: &Router, path: &str, review: &Value) -> Value {
    let (code, body) = post_bytes(webhooks, path, review.to_string()).await;
    assert_eq!(code, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

/// The pod as the API server would store it.
async fn mutated(webhooks: &Router, review: &Value) -> Value {
    let response = ask(webhooks, PATH_MUTATE, review).await;
    assert_eq!(response["allowed"], true, "{response}");
    let mut pod = review["request"]["object"].clone();
    if let Some(patch) = response.get("patch") {
        assert_eq!(response["patchType"], "JSONPatch");
        let ByteString(patch) = serde_json::from_value(patch.clone()).unwrap();
        json_patch::patch(&mut pod, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
    }
    pod
}

async fn refusal(webhooks: &Router, path: &str, review: &Value) -> String {
    let response = ask(webhooks, path, review).await;
    assert_eq!(response["allowed"], false, "{response}");
    response["status"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_claimed_pod_is_patched_and_passes_both_validators() {
    let webhooks = shop().webhooks();

    let pod = mutated(&webhooks, &review(USER, &pod())).await;

    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 9000);
    for path in [PATH_MANAGED, PATH_ANNOTATED] {
        let response = ask(&webhooks, path, &review(USER, &pod)).await;
        assert_eq!(response, json!({"uid": "u-1", "allowed": true}));
    }
    let again = ask(&webhooks, PATH_MUTATE, &review(USER, &pod)).await;
    let news = ["hostport: web → 9000 (claim web)"];
    assert_eq!(again, json!({"uid": "u-1", "allowed": true, "warnings": news}));
    let by_controller = ask(&webhooks, PATH_MUTATE, &review(CONTROLLER, &pod)).await;
    assert_eq!(by_controller, json!({"uid": "u-1", "allowed": true}));
}

#[tokio::test]
async fn an_absent_claim_is_refused_at_once_with_those_that_exist() {
    let webhooks = Cluster::default().with(claim("staging-web", None)).webhooks();

    assert_eq!(
        refusal(&webhooks, PATH_MUTATE, &review(USER, &pod())).await,
        "pod \"echo-\" refused: annotation claim.hostport.io/web names HostPortClaim \"web\", which does not exist in \
         namespace \"shop\" (there are: staging-web). Apply the claim before the pod."
    );
}

#[tokio::test]
async fn a_denial_is_forbidden() {
    let webhooks = Cluster::default().webhooks();

    let response = ask(&webhooks, PATH_MUTATE, &review(USER, &pod())).await;

    assert_eq!(
        (&response["status"]["code"], &response["status"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
}

#[tokio::test]
async fn a_tampered_status_yields_no_pod() {
    let cluster = Cluster::default().with(bound_claim("web", 10250)).granted(grant("other", 10250));

    let said = refusal(&cluster.webhooks(), PATH_MUTATE, &review(USER, &pod())).await;

    assert!(said.contains("HostPort 10250 does not belong to it"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_user_waits_until_the_claim_is_bound() {
    let cluster = Cluster::default().with(claim("web", None));
    let binder = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        binder.grant(grant("web", 9000));
        binder.put(bound_claim("web", 9000));
    });
    let start = Instant::now();

    let pod = mutated(&cluster.webhooks(), &review(USER, &pod())).await;

    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 9000);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_user_waits_five_seconds_and_no_longer() {
    let cluster = Cluster::default().with(claim("web", None));
    let start = Instant::now();

    let said = refusal(&cluster.webhooks(), PATH_MUTATE, &review(USER, &pod())).await;

    assert_eq!(
        said,
        "pod \"echo-\" refused: claim \"web\" is not Bound: WaitingForController, the hostport controller has not seen \
         this claim yet. Create the pod again when \"kubectl get hpc web\" says Bound."
    );
    let waited = start.elapsed();
    assert!(waited > Duration::from_secs(4) && waited <= Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_claim_has_a_final_reason() {
    let cluster = Cluster::default().with(claim("web", None));
    let controller = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        controller.put(claim("web", Some(("PoolExhausted", "No free port in class \"games\"."))));
    });
    let start = Instant::now();

    let said = refusal(&cluster.webhooks(), PATH_MUTATE, &review(USER, &pod())).await;

    assert!(said.contains("PoolExhausted"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_controller_never_waits() {
    let webhooks = Cluster::default().with(claim("web", None)).webhooks();
    let mut owned = pod();
    owned["metadata"]["ownerReferences"] = json!([{"kind": "GameServer", "controller": true}]);
    let start = Instant::now();

    let reviews =
        [review(CONTROLLER, &pod()), review("system:kube-controller-manager", &pod()), review(USER, &owned)];
    for review in reviews {
        let said = refusal(&webhooks, PATH_MUTATE, &review).await;
        assert!(said.contains("the workload retries by itself"), "{said}");
    }

    assert!(start.elapsed() < Duration::from_millis(20), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn beyond_the_seats_nobody_waits() {
    let webhooks = Cluster::default().with(claim("web", None)).webhooks();
    let start = Instant::now();
    let one = async || {
        refusal(&webhooks, PATH_MUTATE, &review(USER, &pod())).await;
        start.elapsed()
    };

    let times = futures::future::join_all((0..40).map(|_| one())).await;

    let at_once = times.iter().filter(|time| **time < Duration::from_millis(20)).count();
    assert_eq!(at_once, 8, "{times:?}");
}

#[tokio::test]
async fn a_dry_run_is_allowed_with_a_warning_and_does_not_wait() {
    let webhooks = Cluster::default().with(claim("web", None)).webhooks();
    let mut dry = review(USER, &pod());
    dry["request"]["dryRun"] = json!(true);

    for path in [PATH_MUTATE, PATH_ANNOTATED, PATH_MANAGED] {
        let response = ask(&webhooks, path, &dry).await;
        assert_eq!(response["allowed"], true, "{response}");
        assert_eq!(response.get("patch"), None);
        let warned = response.get("warnings").is_some();
        assert_eq!(warned, path == PATH_MUTATE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_claim_costs_one_read_that_the_mutation_begins_and_the_validation_awaits() {
    let cluster = shop();
    let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000)]);

    let pod = mutated(&webhooks, &review(USER, &pod())).await;

    for path in [PATH_ANNOTATED, PATH_MANAGED] {
        assert_eq!(ask(&webhooks, path, &review(USER, &pod)).await["allowed"], true);
    }
    assert_eq!(cluster.reads(), ["/apis/hostport.io/v1alpha1/hostports/9000"]);
    // A reading of more than a second is old; so is none, at another replica.
    tokio::time::advance(Duration::from_millis(1001)).await;
    assert_eq!(ask(&webhooks, PATH_MANAGED, &review(USER, &pod)).await["allowed"], true);
    assert_eq!(cluster.reads(), ["/apis/hostport.io/v1alpha1/hostports/9000"]);
}

#[tokio::test(start_paused = true)]
async fn pods_of_one_claim_that_come_at_once_share_a_reading() {
    let cluster = shop();
    let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000)]);
    let admit = async || {
        let pod = mutated(&webhooks, &review(CONTROLLER, &pod())).await;
        assert_eq!(ask(&webhooks, PATH_ANNOTATED, &review(CONTROLLER, &pod)).await["allowed"], true);
    };

    for _ in 0..50 {
        admit().await;
    }
    assert_eq!(cluster.reads().len(), 1);

    // Later ones begin their own: a validation believes no reading of more than a second.
    tokio::time::advance(Duration::from_millis(501)).await;
    admit().await;
    assert_eq!(cluster.reads().len(), 1);
}

#[tokio::test]
async fn a_block_is_read_by_its_first_number_and_believed_only_of_those_that_say_they_are_of_it() {
    let claim = {
        let mut claim = bound_claim("rtp", 9000);
        claim.spec.count = 2;
        claim
    };
    let of_block = |number: u16, first: u16| {
        let mut port = grant("rtp", number);
        port.spec.block = serde_json::from_value(json!({"first": first, "index": number - first})).unwrap();
        port
    };
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({"claim.hostport.io/web": "rtp"});
    let neighbours = Cluster::default().granted(of_block(9002, 9002)).granted(grant("web", 9003));

    let cluster =
        neighbours.clone().with(claim.clone()).granted(of_block(9000, 9000)).granted(of_block(9001, 9000));
    let webhooks = cluster.webhooks();
    let stored = mutated(&webhooks, &review(USER, &pod)).await;
    assert_eq!(ask(&webhooks, PATH_ANNOTATED, &review(USER, &stored)).await["allowed"], true);
    let ports = stored["spec"]["containers"][0]["ports"].as_array().unwrap();
    let carried: Vec<_> = ports.iter().map(|port| port["hostPort"].as_u64()).collect();
    assert_eq!(carried, [Some(9000), Some(9001)]);

    for other in [of_block(9001, 9001), grant("rtp", 9001)] {
        let said =
            refusal(&cluster.clone().granted(other).webhooks(), PATH_MUTATE, &review(USER, &pod)).await;
        assert!(said.contains("HostPort 9000 does not belong to it"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_failed_is_shared_with_nobody() {
    let cluster = shop();
    let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000)]);
    cluster.breaks(Broken::Refuses);
    let first = mutated(&webhooks, &review(CONTROLLER, &pod())).await;
    refusal(&webhooks, PATH_ANNOTATED, &review(CONTROLLER, &first)).await;
    cluster.heals();

    let pod = mutated(&webhooks, &review(CONTROLLER, &pod())).await;

    assert_eq!(ask(&webhooks, PATH_ANNOTATED, &review(CONTROLLER, &pod)).await["allowed"], true);
}

#[tokio::test(start_paused = true)]
async fn a_claim_made_again_shares_no_reading_with_the_one_before_it() {
    let cluster = shop();
    let admission = cluster.admission();
    let webhooks = router(admission.clone());
    for uid in ["uid-of-the-first", "uid-of-the-second"] {
        let mut claim = bound_claim("web", 9000);
        claim.metadata.uid = Some(uid.to_owned());
        admission.0.lookup.known().apply(Event::Apply(claim));

        let pod = mutated(&webhooks, &review(CONTROLLER, &pod())).await;
        ask(&webhooks, PATH_ANNOTATED, &review(CONTROLLER, &pod)).await;

        let read = cluster.reads().into_iter().filter(|path| path.ends_with("/hostports/9000"));
        assert_eq!(read.count(), 2, "the HostPort, and, as it is not of {uid}, once more after the claim");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_mutation_proposes_no_validation_believes() {
    let cluster = shop();
    let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000)]);
    cluster.breaks(Broken::Hangs);

    let pod = mutated(&webhooks, &review(USER, &pod())).await;

    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 9000);
    let said = refusal(&webhooks, PATH_ANNOTATED, &review(USER, &pod)).await;
    assert!(said.contains("could not"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_taken_back_is_refused_whatever_the_watch_knows() {
    let released = |mut port: HostPort| {
        port.spec.phase = HostPortPhase::Released;
        port
    };
    let of_another = |mut port: HostPort| {
        port.spec.claim_ref.as_mut().unwrap().uid = Some("uid-of-the-next".into());
        port
    };
    for port in [released(grant("web", 9000)), of_another(grant("web", 9000))] {
        let cluster = Cluster::default().granted(port);
        let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000)]);

        let pod = mutated(&webhooks, &review(USER, &pod())).await;

        let said = refusal(&webhooks, PATH_ANNOTATED, &review(USER, &pod)).await;
        assert!(said.contains("does not exist"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_made_again_with_another_number_is_told_by_its_next_pod() {
    let cluster = Cluster::default().granted(grant("web", 9005)).with(bound_claim("web", 9005));
    let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000)]);

    let old = mutated(&webhooks, &review(USER, &pod())).await;

    let said = refusal(&webhooks, PATH_ANNOTATED, &review(USER, &old)).await;
    assert!(said.contains("9005"), "{said}");
}

#[tokio::test]
async fn a_claim_made_again_with_another_number_is_read_anew() {
    let cluster = shop();
    let webhooks = cluster.webhooks();
    mutated(&webhooks, &review(USER, &pod())).await;

    cluster.put(bound_claim("web", 9005));
    cluster.grant(grant("web", 9005));

    let pod = mutated(&webhooks, &review(USER, &pod())).await;
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 9005);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_being_deleted_is_refused_once_the_watch_has_said_so() {
    for path in [PATH_MUTATE, PATH_MANAGED, PATH_ANNOTATED] {
        let cluster = shop();
        let pod = mutated(&cluster.webhooks(), &review(USER, &pod())).await;
        let leaving = terminating(bound_claim("web", 9000));
        cluster.put(leaving.clone());

        let webhooks = cluster.webhooks_that_know([bound_claim("web", 9000), leaving]);

        let said = refusal(&webhooks, path, &review(USER, &pod)).await;
        assert!(said.contains("is being deleted"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_the_mutation_did_not_write_is_not_believed() {
    let cluster = shop().granted(grant("web", 9001));
    for webhooks in [cluster.webhooks(), cluster.webhooks_that_know([bound_claim("web", 9000)])] {
        let mut pod = mutated(&webhooks, &review(USER, &pod())).await;
        pod["metadata"]["annotations"]["port.hostport.io/web"] = json!("9001");
        pod["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(9001);

        let said = refusal(&webhooks, PATH_ANNOTATED, &review(USER, &pod)).await;
        assert!(said.contains("9000"), "{said}");
    }
}

#[tokio::test]
async fn in_a_managed_namespace_only_its_own_ports_pass() {
    let mut elsewhere = grant("web", 9002);
    elsewhere.spec.claim_ref.as_mut().unwrap().namespace = "other".into();
    let webhooks = shop().granted(elsewhere).webhooks();
    let carrying = |number: u16| {
        let pod = json!({"metadata": {"name": "raw"}, "spec": {"containers": [
            {"name": "c", "ports": [{"name": "p", "containerPort": 1, "hostPort": number}]}]}});
        review(USER, &pod)
    };

    assert_eq!(ask(&webhooks, PATH_MANAGED, &carrying(9000)).await["allowed"], true);
    for number in [9001, 9002] {
        let said = refusal(&webhooks, PATH_MANAGED, &carrying(number)).await;
        assert!(said.contains(&format!("no claim of it holds port {number}")), "{said}");
        assert!(!said.contains("other"), "{said}");
    }
    assert_eq!(ask(&webhooks, PATH_ANNOTATED, &carrying(9001)).await["allowed"], true);
}

#[tokio::test]
async fn host_network_in_a_managed_namespace_needs_the_label() {
    let host = review(USER, &json!({"metadata": {"name": "a"}, "spec": {"hostNetwork": true}}));

    let said = refusal(&shop().namespace(&json!({})).webhooks(), PATH_MANAGED, &host).await;
    assert!(said.contains("does not allow hostNetwork"), "{said}");

    let allowing = shop().namespace(&json!({"hostport.io/allow-host-network": "true"})).webhooks();
    assert_eq!(ask(&allowing, PATH_MANAGED, &host).await["allowed"], true);
}

#[tokio::test]
async fn a_mirror_pod_passes_if_a_kubelet_makes_it() {
    let webhooks = shop().webhooks();
    let mirror = json!({
        "metadata": {"name": "static", "annotations": {"kubernetes.io/config.mirror": "hash"}},
        "spec": {"hostNetwork": true, "containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}]}]},
    });
    let mut by_node = review("system:node:a", &mirror);
    by_node["request"]["userInfo"]["groups"] = json!(["system:nodes", "system:authenticated"]);

    assert_eq!(ask(&webhooks, PATH_MANAGED, &by_node).await["allowed"], true);
    refusal(&webhooks, PATH_MANAGED, &review(USER, &mirror)).await;
}

#[tokio::test]
async fn a_workload_is_told_that_its_class_does_not_exist_but_not_of_a_claim_that_is_there() {
    let workload = |of_pods: Value| {
        let mut review = review(
            USER,
            &json!({"metadata": {"name": "web"}, "spec": {"template": {
                "metadata": {"annotations": of_pods}, "spec": pod()["spec"],
            }}}),
        );
        review["request"]["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        review
    };
    let webhooks = shop().webhooks();
    let told = async |of_pods| {
        let response = ask(&webhooks, PATH_WORKLOADS, &workload(of_pods)).await;
        assert_eq!(response["allowed"], true);
        response["warnings"].clone()
    };

    let said = told(json!({"class.hostport.io/web": "gamez"})).await;
    let said = said[0].as_str().unwrap_or_default();
    assert!(said.starts_with("its pods will be refused: ") && said.contains("gamez"), "{said}");

    let there = json!({"class.hostport.io/web": "gamez", "claim.hostport.io/web": "web"});
    assert_eq!(told(there).await, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_or_hangs_still_gets_an_answer() {
    for (broken, word) in [(Broken::Refuses, "etcd is down"), (Broken::Hangs, "in time")] {
        let cluster = shop();
        cluster.breaks(broken);
        let start = Instant::now();

        let response = ask(&cluster.webhooks(), PATH_MUTATE, &review(USER, &pod())).await;

        assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(503)));
        let said = response["status"]["message"].as_str().unwrap();
        assert!(said.contains(word) && said.contains("Nothing is wrong with the pod"), "{said}");
        assert!(start.elapsed() < TIME_LIMIT);
    }
}

#[tokio::test]
async fn what_is_not_the_creation_of_a_pod_is_not_judged() {
    let webhooks = shop().webhooks();
    let mut update = review(USER, &pod());
    update["request"]["operation"] = json!("UPDATE");
    assert_eq!(ask(&webhooks, PATH_MUTATE, &update).await, json!({"uid": "u-1", "allowed": true}));

    let mut service = review(USER, &pod());
    service["request"]["kind"] = json!({"group": "", "version": "v1", "kind": "Service"});
    let response = ask(&webhooks, PATH_MUTATE, &service).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(400)));
}

#[tokio::test]
async fn what_is_no_review_gets_a_4xx() {
    let webhooks = shop().webhooks();
    let mut old = review(USER, &pod());
    old["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let bodies = ["", "{", "[]", "null", "\"x\"", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", "\u{0}"];
    for body in bodies.iter().map(ToString::to_string).chain([old.to_string(), "[".repeat(100_000)]) {
        let (code, _) = post_bytes(&webhooks, PATH_MUTATE, body.clone()).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{body:.100}");
    }

    let (code, _) = post_bytes(&webhooks, PATH_MANAGED, vec![b' '; BODY_LIMIT + 1]).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    let (code, _) = post_bytes(&webhooks, "/other", "{}").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_namespace_that_cannot_be_one_reads_nothing() {
    let cluster = shop();
    for namespace in [json!(null), json!("a/../b"), json!("")] {
        let mut review = review(USER, &pod());
        review["request"]["namespace"] = namespace;
        refusal(&cluster.webhooks(), PATH_MUTATE, &review).await;
    }
    assert!(cluster.reads().is_empty());
}

#[tokio::test]
async fn every_beginning_of_a_review_gets_an_answer() {
    let webhooks = shop().webhooks();
    let whole = review(USER, &pod()).to_string();
    for end in 0..whole.len() {
        let (code, _) = post_bytes(&webhooks, PATH_MUTATE, whole[..end].to_owned()).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{}", &whole[..end]);
    }
}
