//! Claims made for pods, against a small API server in memory: nothing is made twice, given twice, or left behind
//! without end.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::to_bytes,
    extract::Request as Call,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use crds::names::is_object_name;
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::testing::port;

/// Claims and classes by name, as JSON.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    claims: BTreeMap<String, Value>,
    classes: BTreeMap<String, Value>,
    revision: u64,
}

impl Store {
    fn with_class(free: i64) -> Self {
        let store = Self::default();
        let class = json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass", "metadata": {"name": "games"},
            "spec": {"pools": [{"start": 9000, "end": 9099}]},
            "status": {"observedGeneration": 1, "pools": "9000-9099", "free": free},
        });
        store.0.lock().classes.insert("games".into(), class);
        store
    }

    fn maker(&self) -> Maker {
        let store = self.clone();
        let api = Router::new().fallback(move |call: Call| store.clone().serve(call));
        Maker::new(Client::new(api, "default"))
    }

    fn claims(&self) -> Vec<HostPortClaim> {
        let kept = self.0.lock();
        kept.claims.values().map(|claim| serde_json::from_value(claim.clone()).unwrap()).collect()
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        edit(self.0.lock().claims.get_mut(name).unwrap());
    }

    async fn serve(self, call: Call) -> Response {
        let (head, body) = call.into_parts();
        let body: Value =
            serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut kept = self.0.lock();
        let answer = |code: StatusCode, object: Value| (code, Json(object)).into_response();
        let fails = |code: StatusCode, reason: &str| {
            answer(
                code,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                "reason": reason, "message": reason, "metadata": {}}),
            )
        };
        if path.contains("/hostportclasses/") {
            let found = kept.classes.get(&name).cloned();
            return found
                .map_or_else(|| fails(StatusCode::NOT_FOUND, "NotFound"), |it| answer(StatusCode::OK, it));
        }
        if head.method == Method::POST {
            let mut claim = body;
            let name = claim["metadata"]["name"].as_str().unwrap().to_owned();
            if kept.claims.contains_key(&name) {
                return fails(StatusCode::CONFLICT, "AlreadyExists");
            }
            kept.revision += 1;
            claim["metadata"]["uid"] = json!(format!("uid-{name}"));
            claim["metadata"]["resourceVersion"] = json!(kept.revision.to_string());
            kept.claims.insert(name, claim.clone());
            return answer(StatusCode::CREATED, claim);
        }
        if head.method == Method::PATCH {
            let revision = kept.revision + 1;
            let Some(claim) = kept.claims.get_mut(&name) else {
                return fails(StatusCode::NOT_FOUND, "NotFound");
            };
            let asked = &body["metadata"]["resourceVersion"];
            if !asked.is_null() && *asked != claim["metadata"]["resourceVersion"] {
                return fails(StatusCode::CONFLICT, "Conflict");
            }
            json_patch::merge(claim, &body);
            claim["metadata"]["resourceVersion"] = json!(revision.to_string());
            let patched = claim.clone();
            kept.revision = revision;
            return answer(StatusCode::OK, patched);
        }
        if path.ends_with("/hostportclaims") {
            let query = head.uri.query().unwrap_or_default().replace("%3D", "=").replace("%2C", ",");
            let query = query.replace("%2F", "/").replace("%21", "!");
            let selector =
                query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or("");
            let selects = |claim: &&Value| {
                let label = |key: &str| claim["metadata"]["labels"].get(key).and_then(Value::as_str);
                selector.split(',').all(|term| match (term.strip_prefix('!'), term.split_once('=')) {
                    (Some(key), _) => label(key).is_none(),
                    (None, Some((key, value))) => label(key) == Some(value),
                    (None, None) => label(term).is_some(),
                })
            };
            let items: Vec<_> = kept.claims.values().filter(selects).cloned().collect();
            return answer(
                StatusCode::OK,
                json!({"apiVersion": "hostport.io/v1alpha1",
                "kind": "HostPortClaimList", "metadata": {}, "items": items}),
            );
        }
        match kept.claims.get(&name) {
            Some(claim) => answer(StatusCode::OK, claim.clone()),
            None => fails(StatusCode::NOT_FOUND, "NotFound"),
        }
    }
}

fn pod(annotations: &Value) -> Pod {
    let pod = json!({
        "metadata": {
            "generateName": "echo-", "annotations": annotations,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "echo", "uid": "rs-1",
                "controller": true}],
        },
        "spec": {"containers": [{"name": "echo", "ports": [{"name": "web", "containerPort": 80}]}]},
    });
    Pod::deserialize(&pod).unwrap()
}

fn own() -> Pod {
    pod(&json!({"class.hostport.io/web": "games"}))
}

fn asking() -> Asking<'static> {
    Asking { namespace: "shop", dry_run: false, retries: true }
}

/// What one admission makes: the claim's name, and what it did.
async fn begun<'a>(maker: &'a Maker, pod: &Pod) -> Result<(String, Making<'a>), String> {
    let mut plan = Plan::of(pod).unwrap();
    let mut making = maker.begin(pod, "system:serviceaccount:kube-system:replicaset-controller", "shop");
    match maker.make(&mut plan, pod, asking(), &mut making).await {
        Ok(()) => Ok((plan.makes[0].claim.clone(), making)),
        Err(Stop::Refused(refusal)) => Err(refusal.to_string()),
        Err(Stop::Unread(error)) => panic!("{error}"),
    }
}

/// The pod is let through: the claim's name, and whether it was worth a wait.
async fn made(maker: &Maker, pod: &Pod) -> Result<(String, bool), String> {
    let (name, making) = begun(maker, pod).await?;
    let hopeful = making.hopeful;
    making.keep();
    Ok((name, hopeful))
}

/// The pod is refused: the claim's name.
async fn refused(maker: &Maker, pod: &Pod) -> String {
    begun(maker, pod).await.unwrap().0
}

#[tokio::test]
async fn a_claim_of_a_pod_alone_is_given_to_it() {
    let store = Store::with_class(5);

    let (name, hopeful) = made(&store.maker(), &own()).await.unwrap();

    assert!(name.starts_with("echo-") && name.len() > 9 && hopeful, "{name}");
    let claim = store.claims().remove(0);
    assert!(is_on_its_way(&claim));
    assert_eq!(claim.labels()[LABEL_FOR_OWNER], "rs-1");
    assert_eq!(claim.spec.host_port_class_name.as_deref(), Some("games"));
}

#[tokio::test]
async fn the_next_try_of_a_refused_owner_takes_the_claim_over() {
    let store = Store::with_class(5);
    let maker = store.maker();

    for _ in 0..100 {
        refused(&maker, &own()).await;
    }

    assert_eq!(store.claims().len(), 1);
    assert_eq!(store.claims()[0].annotations()[ANNOTATION_GIVEN], "99");
}

#[tokio::test]
async fn a_claim_that_was_given_up_and_removed_is_not_missed() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let gone = refused(&maker, &own()).await;
    store.0.lock().claims.clear();

    let (name, hopeful) = made(&maker, &own()).await.unwrap();

    assert!(name != gone && hopeful);
}

#[tokio::test]
async fn a_claim_that_was_bound_meanwhile_needs_no_wait() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let name = refused(&maker, &own()).await;
    store.edit(&name, |claim| {
        claim["status"] = json!({"phase": "Bound", "port": 9000, "observedGeneration": 1});
    });

    let (again, hopeful) = made(&maker, &own()).await.unwrap();

    assert!(again == name && !hopeful);
}

#[tokio::test]
async fn a_pod_with_two_wishes_takes_over_what_was_made_for_each() {
    let store = Store::with_class(50);
    let maker = store.maker();
    let both = pod(&json!({
        "class.hostport.io/web": "games", "class.hostport.io/rtp": "games", "count.hostport.io/rtp": "10",
    }));

    for _ in 0..5 {
        refused(&maker, &both).await;
    }

    let mut counts: Vec<_> = store.claims().into_iter().map(|claim| claim.spec.count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 10]);
}

#[tokio::test]
async fn a_claim_that_somebody_has_adopted_meanwhile_is_not_taken_over() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let name = refused(&maker, &own()).await;
    store.edit(&name, |claim| {
        claim["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "echo-1", "uid": "p-1"}]);
    });

    assert_ne!(made(&maker, &own()).await.unwrap().0, name);
}

#[tokio::test]
async fn a_claim_by_name_that_says_why_it_is_not_bound_is_not_waited_for() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let named = pod(&json!({"claim.hostport.io/web": "shop-web", "class.hostport.io/web": "games"}));
    assert!(made(&maker, &named).await.unwrap().1);
    store.edit("shop-web", |claim| {
        claim["status"] = json!({"phase": "Pending", "observedGeneration": 1, "conditions": [{
            "type": "Ready", "status": "False", "reason": "QuotaExceeded", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
    });

    assert!(!made(&maker, &named).await.unwrap().1);
}

#[tokio::test]
async fn of_two_that_take_over_at_once_one_gets_it() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let first = refused(&maker, &own()).await;

    let pod = own();
    let both = futures::join!(made(&maker, &pod), made(&maker, &pod));

    let names = [both.0.unwrap().0, both.1.unwrap().0];
    assert_ne!(names[0], names[1]);
    assert!(names.contains(&first) && store.claims().len() == 2);
}

#[tokio::test]
async fn pods_of_one_owner_at_the_same_moment_get_a_claim_each() {
    let store = Store::with_class(50);
    let (maker, pod) = (store.maker(), own());

    let all = futures::future::join_all((0..10).map(|_| made(&maker, &pod))).await;

    let names: std::collections::BTreeSet<_> = all.into_iter().map(|made| made.unwrap().0).collect();
    assert_eq!((names.len(), store.claims().len()), (10, 10));
}

#[tokio::test]
async fn an_owner_whose_pods_are_refused_elsewhere_leaves_a_few_claims_and_no_more() {
    let store = Store::with_class(500);
    let maker = store.maker();

    let mut said = String::new();
    for _ in 0..100 {
        if let Err(refusal) = made(&maker, &own()).await {
            said = refusal;
        }
    }

    assert_eq!(store.claims().len(), MANY);
    assert!(said.contains("were not stored") && said.contains("kubectl get events"), "{said}");
}

#[tokio::test]
async fn an_owner_whose_pods_are_stored_is_never_held_up() {
    let store = Store::with_class(5000);
    let maker = store.maker();

    for _ in 0..200 {
        let (name, _) = made(&maker, &own()).await.unwrap();
        // The controller adopts it.
        store.edit(&name, |claim| {
            claim["metadata"]["labels"] = json!({LABEL_MADE: MADE_FOR_POD});
        });
    }
    assert_eq!(store.claims().len(), 200);
}

#[tokio::test]
async fn an_exhausted_class_is_refused_at_once_and_nothing_is_made() {
    let store = Store::with_class(0);

    let said = made(&store.maker(), &own()).await.unwrap_err();

    assert!(
        said.contains("class \"games\" has no free port (9000-9099)") && said.contains("by itself"),
        "{said}"
    );
    assert!(store.claims().is_empty());
}

#[tokio::test]
async fn a_class_that_is_not_there_is_refused_and_nothing_is_made() {
    let said = made(&Store::default().maker(), &own()).await.unwrap_err();

    assert!(said.contains("names HostPortClass \"games\", which does not exist"), "{said}");
}

#[tokio::test]
async fn a_second_call_keeps_the_claim_and_a_copy_of_the_pod_gets_another() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let (name, _) = made(&maker, &own()).await.unwrap();
    let again = pod(&json!({"class.hostport.io/web": "games", "own.hostport.io/web": name}));

    assert_eq!(made(&maker, &again).await.unwrap().0, name);

    store.edit(&name, |claim| {
        claim["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "echo-1", "uid": "p-1"}]);
    });
    assert_ne!(made(&maker, &again).await.unwrap().0, name);
}

#[tokio::test]
async fn a_claim_of_a_user_is_never_taken_for_one_of_the_pod_alone() {
    let store = Store::with_class(5);
    let applied = json!({"apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": "mine", "uid": "u", "resourceVersion": "1"}, "spec": {"count": 1}});
    store.0.lock().claims.insert("mine".into(), applied.clone());
    let forged = pod(&json!({"class.hostport.io/web": "games", "own.hostport.io/web": "mine"}));

    assert_ne!(made(&store.maker(), &forged).await.unwrap().0, "mine");
    assert_eq!(store.0.lock().claims["mine"], applied);
}

#[tokio::test]
async fn a_claim_by_name_is_made_once_and_found_again() {
    let store = Store::with_class(5);
    let maker = store.maker();
    let named = pod(&json!({"claim.hostport.io/web": "shop-web", "class.hostport.io/web": "games"}));

    for _ in 0..3 {
        assert_eq!(refused(&maker, &named).await, "shop-web");
    }

    let claims = store.claims();
    assert_eq!((claims.len(), claims[0].labels()[LABEL_MADE].as_str()), (1, MADE_BY_NAME));
    assert!(claims[0].owner_references().is_empty());
}

#[test]
fn a_claim_notes_what_it_goes_with() {
    let set = crate::pod::Owner {
        api_version: "apps/v1".into(),
        kind: "StatefulSet".into(),
        name: "game".into(),
        uid: "u-1".into(),
        ..Default::default()
    };
    let make = Make {
        key: "hostport.io/enabled".into(),
        claim: "game-2-ports".into(),
        class: None,
        count: 2,
        preferred: Some(port(30562)),
        kind: Kind::ByName { deleted_with: Some(set.clone()), scaled_with: Some((set, 2)) },
    };

    let claim = claim_of(&make, "game-2-ports", None);

    assert_eq!(claim.annotations()[ANNOTATION_PREFERRED_PORT], "30562");
    assert_eq!(claim.annotations()[ANNOTATION_SCALED_WITH], "game/u-1/2");
    assert_eq!(claim.owner_references()[0].uid, "u-1");
    assert_eq!((claim.spec.count, claim.spec.port), (2, None));
}

#[test]
fn random_names_are_names() {
    for stem in ["echo", "", "a.b-", &"x".repeat(253)] {
        let name = random_name(stem);
        assert!(is_object_name(&name) && name != random_name(stem), "{name}");
    }
}
