//! Connections, not pods: the reviews here are of a pod that asks for nothing.

use axum::http::{Request as Call, StatusCode};
use kube::{Client, client::Body};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;
use crate::{Metrics, webhooks::PATH_MUTATE};

const DRAIN: Duration = Duration::from_secs(1);

struct Running {
    caller: Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<anyhow::Result<()>>,
}

/// A server, and one who trusts its certificate.
fn running() -> Running {
    let tls = crate::self_signed(&["127.0.0.1".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ca = CertificateDer::from_pem_slice(tls.ca_pem().as_bytes()).unwrap().to_vec();
    let (stop, stopped) = oneshot::channel::<()>();
    let admission = Admission::new(Client::new(axum::Router::new(), "default"), Metrics::default());
    let server = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or_default() };
        serve(admission, listener, &tls, stopped, DRAIN).await
    });
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    config.root_cert = Some(vec![ca]);
    Running { caller: Client::try_from(config).unwrap(), stop, server }
}

fn review() -> Call<Body> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop",
            "operation": "CREATE", "userInfo": {"username": "alice"},
            "object": {"metadata": {"name": "echo"}, "spec": {"containers": [{"name": "echo"}]}},
        },
    });
    Call::post(PATH_MUTATE).body(Body::from(review.to_string().into_bytes())).unwrap()
}

#[tokio::test]
async fn it_speaks_tls_and_connections_stay() {
    let running = running();

    let answer = running.caller.send(review()).await.unwrap();

    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key(header::CONNECTION));
}

#[tokio::test]
async fn while_it_drains_all_are_answered_and_each_answer_is_the_last_of_its_connection() {
    let Running { caller, stop, server } = running();
    caller.send(review()).await.unwrap();
    let begun = Instant::now();

    stop.send(()).unwrap();
    let mut answers = 0;
    while begun.elapsed() < DRAIN / 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = caller.send(review()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONNECTION], "close");
        answers += 1;
    }

    assert!(answers > 3, "only {answers}");
    timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
    assert!(begun.elapsed() >= DRAIN, "others may not have heard of it yet");
}
