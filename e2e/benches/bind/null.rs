//! The least that an operator could do: watch claims, create an object for each, patch its status. No checks, no
//! locks, no memory. And the least with objects as hostport's: it watches what it has created, labels it, and says as
//! much in the status.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::Result;
use crds::{
    ClaimRef, HostPort, HostPortClaim, HostPortPhase, HostPortSpec, Port, ReclaimPolicy,
    names::{LABEL_CLAIM_NAMESPACE, LABEL_CLASS},
};
use futures::{StreamExt, future::ready};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use serde_json::json;
use tokio::sync::Semaphore;

/// `alike`: with objects as hostport's.
pub(crate) async fn run(alike: bool) -> Result<()> {
    let client = Client::try_default().await?;
    if alike {
        let hostports = watcher(Api::<HostPort>::all(client.clone()), watcher::Config::default());
        tokio::spawn(hostports.default_backoff().for_each(|_| ready(())));
    }
    let next = Arc::new(AtomicU16::new(1));
    let room = Arc::new(Semaphore::new(64));
    let mut seen = HashSet::new();
    let mut claims = watcher(Api::<HostPortClaim>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(claim) = claims.next().await {
        let Ok(claim) = claim else { continue };
        if !seen.insert(claim.uid().unwrap_or_default()) {
            continue;
        }
        let (client, next, room) = (client.clone(), next.clone(), room.clone());
        tokio::spawn(async move {
            let _room = room.acquire().await;
            if let Err(error) = bind(client, &claim, next.fetch_add(1, Ordering::Relaxed), alike).await {
                eprintln!("{}: {error}", claim.name_any());
            }
        });
    }
    Ok(())
}

async fn bind(client: Client, claim: &HostPortClaim, number: u16, alike: bool) -> Result<(), kube::Error> {
    let Some(port) = Port::new(number) else { return Ok(()) };
    let namespace = claim.namespace().unwrap_or_default();
    let spec = HostPortSpec {
        port,
        class: "bench".to_owned(),
        claim_ref: Some(ClaimRef { namespace: namespace.clone(), name: claim.name_any(), uid: claim.uid() }),
        block: None,
        scope: crds::Scope::Cluster,
        slot: None,
        takeovers: None,
        reclaim_policy: ReclaimPolicy::Delete,
        reuse_delay: None,
        released_at: None,
        held_by: None,
        phase: HostPortPhase::Bound,
    };
    let mut hostport = HostPort::new(&number.to_string(), spec);
    let mut status = json!({ "observedGeneration": 1, "phase": "Bound", "port": number });
    if alike {
        let labels = [(LABEL_CLASS, "bench"), (LABEL_CLAIM_NAMESPACE, &namespace)];
        hostport.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Bound", "message": format!("Port {number} is the claim's."),
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        status["hostPortClassName"] = json!("bench");
        status["count"] = json!(1);
        status["ports"] = json!(number.to_string());
        status["conditions"] = json!([ready]);
    }
    Api::all(client.clone()).create(&PostParams::default(), &hostport).await?;
    Api::<HostPortClaim>::namespaced(client, &namespace)
        .patch_status(&claim.name_any(), &PatchParams::default(), &Patch::Merge(json!({ "status": status })))
        .await?;
    Ok(())
}
