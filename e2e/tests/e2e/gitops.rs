//! Tools that apply again and again what is in git: they meet no drift, no conflict and no surprise (I6).

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use serde_json::Value;

use crate::support::{World, claim_yaml, deployment, example, host_ports, yaml};

#[tokio::test]
async fn a_diff_shows_nothing_after_binding_and_after_deployments_run() -> Result<()> {
    let world = World::new("diff").await?;
    let class = world.class(2).await?;
    let files = yaml(&[claim_yaml("web", &class), deployment("web", "web")]);
    world.env.apply(&files).await?;
    world.bound("web").await?;
    world.pods("web", 1).await?;
    world.protected("web").await?;

    let diff = world.env.cluster().kubectl_with_input(["-n", world.ns(), "diff", "-f", "-"], &files).await?;
    let again = world.env.apply(&files).await?;

    let shown = String::from_utf8_lossy(&diff.stdout).into_owned();
    ensure!(diff.status.code() == Some(0), "{shown}{}", String::from_utf8_lossy(&diff.stderr));
    ensure!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    Ok(())
}

#[tokio::test]
async fn server_side_apply_by_another_manager_meets_no_conflict() -> Result<()> {
    let world = World::new("ssa").await?;
    let class = world.class(1).await?;
    let files = yaml(&[claim_yaml("web", &class), deployment("web", "web")]);
    let apply = async |manager: &str| {
        let manager = format!("--field-manager={manager}");
        let args = ["-n", world.ns(), "apply", "--server-side", &manager, "-f", "-"];
        world.env.cluster().run_kubectl(&args, &files).await.map(drop)
    };

    apply("argocd-controller").await?;
    world.bound("web").await?;
    world.pods("web", 1).await?;
    world.protected("web").await?;
    apply("argocd-controller").await?;
    apply("kustomize-controller").await?;

    // And what is ours are status and finalizer, nothing else.
    let claim = serde_json::to_value(world.get_claim("web").await?)?;
    let fields = claim["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let theirs = ["argocd-controller", "kustomize-controller"];
    for entry in fields.iter().filter(|entry| !theirs.iter().any(|manager| entry["manager"] == *manager)) {
        let owned = &entry["fieldsV1"];
        let names = |value: &Value| {
            value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let metadata: Vec<_> = names(&owned["f:metadata"]);
        ensure!(entry["manager"] == "hostport", "{entry}");
        ensure!(owned.get("f:spec").is_none(), "{entry}");
        ensure!(metadata.iter().all(|field| field == "f:finalizers"), "{entry}");
    }
    let owns_spec = |entry: &Value, manager: &str| {
        entry["manager"] == manager && entry["fieldsV1"].get("f:spec").is_some()
    };
    ensure!(theirs.iter().all(|manager| fields.iter().any(|entry| owns_spec(entry, manager))), "{fields:?}");
    Ok(())
}

#[tokio::test]
async fn the_kustomize_example_renames_the_claim_in_the_pods_too() -> Result<()> {
    let world = World::new("kustomize").await?;
    let example = example("gitops");
    world.kubectl_here(&["apply", "-k", &format!("{example}/platform")]).await?;

    for (overlay, namespace, name, replicas) in
        [("staging", "shop-staging", "staging-web", 1), ("production", "shop-production", "web", 3)]
    {
        let folder = format!("{example}/overlays/{overlay}");
        world.kubectl_here(&["apply", "-k", &folder]).await?;

        let claims: Api<crds::HostPortClaim> = Api::namespaced(world.client(), namespace);
        let port = world
            .until(&format!("claim {name} to be Bound"), || async {
                let claim = claims.get(name).await?;
                let port = claim.status.as_ref().and_then(|status| status.port);
                port.map(crds::Port::get).with_context(|| format!("{:?}", claim.ready_message()))
            })
            .await?;
        ensure!(overlay != "production" || port == 8143, "the wanted number: {port}");
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(world.client(), namespace);
        let pods = world
            .until(&format!("{replicas} pods in {namespace}"), || async {
                let found = pods.list(&Default::default()).await?.items;
                ensure!(found.len() == replicas, "there are {}", found.len());
                Ok(found)
            })
            .await?;
        ensure!(pods.iter().all(|pod| host_ports(pod) == [i32::from(port)]), "every pod carries {port}");
        let deployments: Api<Deployment> = Api::namespaced(world.client(), namespace);
        deployments.get(name).await?;

        let diff = world.env.cluster().kubectl(["diff", "-k", &folder]).await?;
        ensure!(diff.status.code() == Some(0), "{}", String::from_utf8_lossy(&diff.stdout));
    }
    Ok(())
}
