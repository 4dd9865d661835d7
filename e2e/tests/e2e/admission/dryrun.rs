//! I7: a dry run leaves no trace.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use crds::{HostPort, HostPortClaim, HostPortClaimSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};

use crate::support::{Class, World, claim_yaml, deployment, host_ports, pod, yaml};

#[tokio::test]
async fn dry_runs_of_claims_and_pods_leave_nothing_behind() -> Result<()> {
    let world = World::new("dryrun").await?;
    let class = world.class(2).await?;
    let port = world.bind("bound", &class).await?;
    settled(&world, &class).await?;
    let before = everything(&world, &class).await?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };

    let claim = HostPortClaim::new(
        "dry",
        HostPortClaimSpec { host_port_class_name: Some(class.name.clone()), ..Default::default() },
    );
    world.api().create(&dry, &claim).await?;
    let shown = world.api::<Pod>().create(&dry, &serde_json::from_value(pod("dry", "bound"))?).await?;
    let unbound = world.api::<Pod>().create(&dry, &serde_json::from_value(pod("dry", "dry"))?).await?;
    let files = yaml(&[claim_yaml("web", &class), pod("echo", "web"), deployment("web", "web")]);
    for mode in ["--dry-run=server", "--dry-run=client"] {
        world.env.cluster().kubectl_with_input(["-n", world.ns(), "apply", mode, "-f", "-"], &files).await?;
    }

    ensure!(
        host_ports(&shown) == [i32::from(port)],
        "a dry run shows what would be: {:?}",
        host_ports(&shown)
    );
    ensure!(host_ports(&unbound).is_empty(), "a claim without a port shows the pod without one");
    let after = everything(&world, &class).await?;
    ensure!(before == after, "before {before:#?}\nafter {after:#?}");
    // Nothing is reserved either: the next claim gets the next number.
    ensure!(world.bind("next", &class).await? == class.last);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_of_a_pod_on_an_unbound_claim_warns() -> Result<()> {
    let world = World::new("drywarn").await?;
    let file = yaml(&[pod("echo", "web")]);

    let args = ["-n", world.ns(), "apply", "--dry-run=server", "-f", "-"];
    let output = world.env.cluster().kubectl_with_input(args, &file).await?;

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("Warning: HostPortClaim \"web\" does not exist") && said.contains("before the pod"),
        "{said}"
    );
    Ok(())
}

/// The class's counts are written at most once a second; waits for the last of them.
async fn settled(world: &World, class: &Class) -> Result<()> {
    world
        .until("the class to count its grant", || async {
            let status = world.get_class(class).await?.status.unwrap_or_default();
            ensure!(status.allocated == 1 && status.free == Some(1), "{status:?}");
            Ok(())
        })
        .await
}

/// Kind and name of all that is ours and of all pods here, with their versions.
async fn everything(world: &World, class: &Class) -> Result<BTreeMap<String, String>> {
    let all = ListParams::default();
    let ports = world.hostports().list(&all.clone().fields(&format!("spec.class={}", class.name))).await?;
    let version = |kind: &str, object: &dyn Fn() -> (String, Option<String>)| {
        let (name, version) = object();
        (format!("{kind}/{name}"), version.unwrap_or_default())
    };
    let mut found = BTreeMap::new();
    found.extend(ports.iter().map(|it: &HostPort| version("hp", &|| (it.name_any(), it.resource_version()))));
    let claims = world.api::<HostPortClaim>().list(&all).await?;
    found.extend(claims.iter().map(|it| version("hpc", &|| (it.name_any(), it.resource_version()))));
    let pods = world.api::<Pod>().list(&all).await?;
    found.extend(pods.iter().map(|it| version("pod", &|| (it.name_any(), it.resource_version()))));
    let class = world.get_class(class).await?;
    found.extend([version("hpcl", &|| (class.name_any(), class.resource_version()))]);
    found.extend(world.troubles().await?.into_iter().map(|event| (format!("event/{event}"), String::new())));
    Ok(found)
}
