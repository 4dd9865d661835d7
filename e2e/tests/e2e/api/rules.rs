//! The definitions on a real API server: applied without a warning, and judging the same table as `crates/crds/tests/cel.rs`.
//! They are installed a second time under another group, so that no controller changes an object between two steps.

use anyhow::{Context, Result, bail, ensure};
use e2e::shared::cluster;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{World, yaml};

#[path = "../../../../crates/crds/tests/cases/mod.rs"]
mod cases;

use cases::{Case, Verdict};

const GROUP: &str = "rules.hostport.example";

#[tokio::test]
async fn the_api_server_accepts_and_refuses_what_the_table_says() -> Result<()> {
    let world = World::new("rules").await?;
    install(&world).await?;

    let mut wrong = Vec::new();
    for case in cases::all() {
        if let Err(error) = judge(&world, &case).await {
            wrong.push(format!("{}: {error:#}", case.claim));
        }
    }

    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn judge(world: &World, case: &Case) -> Result<()> {
    let api = api(world, case.kind);
    let object: DynamicObject = object(case.kind, &case.object)?;
    let name = object.name_any();
    let answer = match &case.before {
        None => api.create(&PostParams::default(), &object).await,
        Some(before) => {
            let before: DynamicObject = self::object(case.kind, before)?;
            let stored = api.create(&PostParams::default(), &before).await.context("the object before")?;
            let mut changed = object;
            changed.metadata.resource_version = stored.resource_version();
            api.replace(&name, &PostParams::default(), &changed).await
        }
    };
    let stored = api.get_opt(&name).await?.is_some();
    if stored {
        api.delete(&name, &DeleteParams::default()).await?;
    }

    match (case.verdict, answer) {
        (Verdict::Accepted, Ok(_)) => Ok(()),
        (Verdict::Accepted, Err(error)) => bail!("refused: {error}"),
        (Verdict::Rule(_) | Verdict::Schema(_), Ok(_)) => bail!("accepted"),
        (Verdict::Rule(words) | Verdict::Schema(words), Err(error)) => {
            let said = error.to_string();
            ensure!(said.contains(words), "expected {words:?}, got {said}");
            Ok(())
        }
    }
}

#[tokio::test]
async fn a_claim_says_that_nobody_has_looked_at_it_whatever_its_author_wrote() -> Result<()> {
    let world = World::new("unseen").await?;
    install(&world).await?;
    let forged = json!({
        "metadata": {"name": "web"},
        "spec": {},
        "status": {"phase": "Bound", "port": 10250, "observedGeneration": 1},
    });

    let claims = api(&world, "HostPortClaim");
    let stored = claims.create(&PostParams::default(), &object("HostPortClaim", &forged)?).await?;

    let status = &stored.data["status"];
    ensure!(status["phase"] == "Pending" && status["observedGeneration"] == -1, "{status}");
    ensure!(status.get("port").is_none(), "{status}");
    ensure!(status["conditions"][0]["status"] == "Unknown", "{status}");
    ensure!(status["conditions"][0]["reason"] == "WaitingForController", "{status}");
    let spec = json!({"spec": {}, "status": {"phase": "Bound", "port": 10250}});
    let patched = claims.patch("web", &PatchParams::default(), &Patch::Merge(spec)).await?;
    ensure!(patched.data["status"]["phase"] == "Pending", "{}", patched.data["status"]);
    Ok(())
}

#[tokio::test]
async fn the_shipped_definitions_are_applied_without_a_warning() -> Result<()> {
    let cluster = cluster().await?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");
    for args in [
        &["apply", "--dry-run=server", "-f", folder][..],
        &[
            "apply",
            "--dry-run=server",
            "--server-side",
            "--field-manager=hostport",
            "--force-conflicts",
            "-f",
            folder,
        ],
    ] {
        let output = cluster.kubectl(args).await?;
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        // kubectl's own word on objects that were not made by kubectl apply.
        let theirs = |line: &&str| !line.contains("last-applied-configuration");
        let warnings: Vec<_> = complaints.lines().filter(theirs).collect();

        ensure!(output.status.success() && warnings.is_empty(), "{args:?}: {warnings:?}");
    }
    Ok(())
}

/// Our definitions under another group and other names, so that `kubectl get hpc` still means ours.
async fn install(world: &World) -> Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let install = || async {
        let definitions: Vec<Value> = crds::all().into_iter().map(renamed).collect::<Result<_>>()?;
        world.env.apply(&yaml(&definitions)).await?;
        let api: Api<CustomResourceDefinition> = Api::all(world.client());
        for definition in definitions {
            let name = definition["metadata"]["name"].as_str().context("it has a name")?;
            world
                .until("the definitions to be served", || async {
                    let conditions = api.get(name).await?.status.and_then(|status| status.conditions);
                    let served = |kind: &str| {
                        conditions
                            .iter()
                            .flatten()
                            .any(|condition| condition.type_ == kind && condition.status == "True")
                    };
                    ensure!(served("Established"), "{name}: {conditions:?}");
                    Ok(())
                })
                .await?;
        }
        Ok(())
    };
    INSTALLED.get_or_try_init(install).await.copied()
}

fn renamed(definition: CustomResourceDefinition) -> Result<Value> {
    let mut value = serde_json::to_value(definition)?;
    let spec = &mut value["spec"];
    let plural = format!("checked{}", spec["names"]["plural"].as_str().context("a plural")?);
    let singular = format!("checked{}", spec["names"]["singular"].as_str().context("a singular")?);
    spec["group"] = json!(GROUP);
    spec["names"] = json!({"plural": plural, "singular": singular, "kind": spec["names"]["kind"]});
    value["metadata"]["name"] = json!(format!("{plural}.{GROUP}"));
    Ok(value)
}

fn resource(kind: &str) -> ApiResource {
    let plural = match kind {
        "HostPortClass" => "checkedhostportclasses",
        "HostPortClaim" => "checkedhostportclaims",
        _ => "checkedhostports",
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1alpha1", kind), plural)
}

fn api(world: &World, kind: &str) -> Api<DynamicObject> {
    match kind {
        "HostPortClaim" => Api::namespaced_with(world.client(), world.ns(), &resource(kind)),
        _ => Api::all_with(world.client(), &resource(kind)),
    }
}

fn object(kind: &str, content: &Value) -> Result<DynamicObject> {
    let mut content = content.clone();
    content["apiVersion"] = json!(format!("{GROUP}/v1alpha1"));
    content["kind"] = json!(kind);
    Ok(serde_json::from_value(content)?)
}
