//! hostport leaves: nothing that it has put on claims keeps a namespace from being deleted.

use anyhow::{Result, ensure};
use crds::names::FINALIZER_CLAIM_PROTECTION;
use e2e::{eventually, operator};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::replicas::{SYSTEM, controller, says};
use crate::faults::world::{SOON, in_world};
use crate::support::pod_with;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_though_its_claim_is_in_use_and_nobody_looks_after_it() -> Result<()> {
    in_world("cleanup", async |world| {
        world.namespace(SYSTEM).await?;
        world.namespace("shop").await?;
        world.class("games", 20_000, 20_099, json!({})).await?;
        let running = controller(world, "controller", &["--leader-elect"]).await?;
        world.claim("shop", "web", "games").await?;
        let port = world.bound("shop", "web").await?;
        let pod = pod_with("echo", json!({}), json!([{ "containerPort": port, "hostPort": port }]));
        let pods = Api::<Pod>::namespaced(world.client(), "shop");
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        let finalizers = async || {
            anyhow::Ok(world.claims("shop").get("web").await?.metadata.finalizers.unwrap_or_default())
        };
        eventually(SOON, "the claim to be protected", || async {
            ensure!(finalizers().await?.iter().any(|it| it == FINALIZER_CLAIM_PROTECTION), "it is not");
            Ok(())
        })
        .await?;

        // The controller runs still, as it does before an uninstall: it stands by, and puts nothing back.
        let said = operator::print(world.cluster(), &["cleanup"]).await?;
        ensure!(said.contains("off 1 claim."), "{said}");
        says(&running, 200, "standby").await?;
        ensure!(finalizers().await?.is_empty(), "{:?}", finalizers().await?);
        ensure!(world.bound("shop", "web").await? == port, "the claim stays as it is");

        running.kill9();
        let again = operator::print(world.cluster(), &["cleanup"]).await?;
        ensure!(again.contains("nothing to do"), "{again}");
        let namespaces = Api::<Namespace>::all(world.client());
        namespaces.delete("shop", &DeleteParams::default()).await?;
        eventually(SOON, "the namespace to be gone", || async {
            let found = namespaces.get_opt("shop").await?;
            ensure!(found.is_none(), "{:?}", found.and_then(|it| it.status));
            Ok(())
        })
        .await
    })
    .await
}
