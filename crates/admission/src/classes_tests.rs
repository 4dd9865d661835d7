//! Thousands of pods that come at once read their class once a second; none is refused on what was read before.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::Request};
use serde_json::{Value, json};

use super::*;
use crate::wishes::Kind;

/// An API server with one class, the default one.
#[derive(Clone, Default)]
struct Store {
    free: Arc<AtomicI64>,
    reads: Arc<AtomicUsize>,
}

impl Store {
    fn classes(&self) -> Classes {
        let store = self.clone();
        let api = Router::new().fallback(move |call: Request| async move { Json(store.answer(&call)) });
        Classes::new(Client::new(api, "default"))
    }

    fn answer(&self, call: &Request) -> Value {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let class = json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass",
            "metadata": { "name": "games", "annotations": { ANNOTATION_DEFAULT_CLASS: "true" } },
            "spec": { "pools": [{ "start": 9000, "end": 9099 }] },
            "status": { "observedGeneration": 1, "free": self.free.load(Ordering::Relaxed) },
        });
        match call.uri().path().ends_with("/games") {
            true => class,
            false => json!({
                "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClassList", "metadata": {}, "items": [class],
            }),
        }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

fn make(class: Option<&str>) -> Make {
    Make {
        key: "class.hostport.io/web".to_owned(),
        claim: "echo".to_owned(),
        class: class.map(str::to_owned),
        count: 1,
        preferred: None,
        kind: Kind::ByName { deleted_with: None, scaled_with: None },
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_with_free_ports_is_read_once_a_second() {
    for named in [Some("games"), None] {
        let store = Store::default();
        store.free.store(5, Ordering::Relaxed);
        let classes = store.classes();

        for _ in 0..10 {
            assert_eq!(classes.class_of("shop", &make(named)).await.unwrap().name_any(), "games");
        }
        assert_eq!(store.reads(), 1, "class {named:?}");

        tokio::time::advance(FRESH).await;
        classes.class_of("shop", &make(named)).await.unwrap();
        assert_eq!(store.reads(), 2, "class {named:?}");
    }
}

#[tokio::test]
async fn those_who_ask_at_the_same_moment_share_a_read() {
    let store = Store::default();
    let classes = store.classes();
    let all: Vec<_> = (0..100).map(|_| make(Some("games"))).collect();

    let asked = futures::future::join_all(all.iter().map(|make| classes.class_of("shop", make))).await;

    assert!(asked.iter().all(Result::is_ok));
    assert_eq!(store.reads(), 2, "that of the first, and one that began when all had asked");
}

#[tokio::test(start_paused = true)]
async fn that_a_class_has_no_free_port_is_never_said_on_what_was_read_before() {
    for named in [Some("games"), None] {
        let store = Store::default();
        let classes = store.classes();
        let free = |class: HostPortClass| class.status.unwrap().free;
        assert_eq!(free(classes.class_of("shop", &make(named)).await.unwrap()), Some(0));

        store.free.store(1, Ordering::Relaxed);
        assert_eq!(free(classes.class_of("shop", &make(named)).await.unwrap()), Some(1), "class {named:?}");
    }
}
