//! A small API server in memory, that admission reads from and may not write to.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::Request as Call,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use crds::{HostPort, HostPortClaim};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{Admission, Metrics, router};

/// Objects by path, and the paths that were read.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<World>);

#[derive(Default)]
struct World {
    objects: Mutex<HashMap<String, Value>>,
    reads: Mutex<Vec<String>>,
    broken: Mutex<Option<Broken>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Broken {
    Refuses,
    Hangs,
}

impl Cluster {
    pub(crate) fn with(self, claim: HostPortClaim) -> Self {
        self.put(claim);
        self
    }

    pub(crate) fn granted(self, port: HostPort) -> Self {
        self.grant(port);
        self
    }

    pub(crate) fn put(&self, claim: HostPortClaim) {
        let name = claim.metadata.name.clone().unwrap();
        let path = format!("/apis/hostport.io/v1alpha1/namespaces/shop/hostportclaims/{name}");
        self.0.objects.lock().insert(path, serde_json::to_value(claim).unwrap());
    }

    pub(crate) fn grant(&self, port: HostPort) {
        let path = format!("/apis/hostport.io/v1alpha1/hostports/{}", port.spec.port);
        self.0.objects.lock().insert(path, serde_json::to_value(port).unwrap());
    }

    pub(crate) fn namespace(self, labels: &Value) -> Self {
        let namespace = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "shop", "labels": labels}});
        self.0.objects.lock().insert("/api/v1/namespaces/shop".into(), namespace);
        self
    }

    pub(crate) fn breaks(&self, how: Broken) {
        *self.0.broken.lock() = Some(how);
    }

    pub(crate) fn heals(&self) {
        *self.0.broken.lock() = None;
    }

    async fn serve(self, call: Call) -> Response {
        let path = call.uri().path().to_owned();
        assert_eq!(call.method(), Method::GET, "I7: admission wrote to {path}");
        self.0.reads.lock().push(path.clone());
        let broken = *self.0.broken.lock();
        match broken {
            Some(Broken::Refuses) => {
                return (StatusCode::INTERNAL_SERVER_ERROR, Json(status(500, "etcd is down")))
                    .into_response();
            }
            Some(Broken::Hangs) => std::future::pending::<()>().await,
            None => {}
        }
        let objects = self.0.objects.lock();
        if path.ends_with("/hostports") {
            let query = call.uri().query().unwrap_or_default().replace("%3D", "=");
            let first = query.split('&').find_map(|it| it.strip_prefix("fieldSelector=spec.block.first="));
            let first: u16 = first.and_then(|it| it.parse().ok()).expect("the HostPorts of a block");
            let of_it = |one: &&Value| one.pointer("/spec/block/first") == Some(&json!(first));
            let inside = objects.iter().filter(|(at, _)| at.starts_with(&format!("{path}/")));
            let items: Vec<_> = inside.map(|(_, one)| one).filter(of_it).cloned().collect();
            return Json(
                json!({"apiVersion": "hostport.io/v1alpha1", "kind": "HostPortList", "metadata": {},
                "items": items}),
            )
            .into_response();
        }
        if path.ends_with("/hostportclaims") {
            let metadata = |one: &Value| json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": one["metadata"]});
            let inside = objects.iter().filter(|(at, _)| at.starts_with(&format!("{path}/")));
            let items: Vec<_> = inside.map(|(_, one)| metadata(one)).collect();
            return Json(json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": {}, "items": items}))
            .into_response();
        }
        match objects.get(&path) {
            Some(object) => Json(object.clone()).into_response(),
            None => (StatusCode::NOT_FOUND, Json(status(404, "not found"))).into_response(),
        }
    }

    /// Without a watch.
    pub(crate) fn webhooks(&self) -> Router {
        router(self.admission())
    }

    pub(crate) fn admission(&self) -> Admission {
        let cluster = self.clone();
        let api = Router::new().fallback(move |call: Call| cluster.clone().serve(call));
        Admission::new(Client::new(api, "default"), Metrics::default())
    }

    /// The paths that were read since this was asked last.
    pub(crate) fn reads(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.reads.lock())
    }
}

fn status(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "InternalError" };
    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message})
}
