//! Claims that name no class. One test, for the default class is everybody's.

use anyhow::{Result, ensure};
use crds::HostPortClass;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::support::{Class, World};

#[tokio::test]
async fn a_claim_without_a_class_binds_from_the_default_class_also_when_it_appears_later() -> Result<()> {
    let world = World::new("default").await?;
    let class = world.class(4).await?;

    world.claim_spec("any", None, None).await?;
    world.claim_spec("none", Some(""), None).await?;
    let message = world.says("any", "ClassNotFound").await?;
    ensure!(message.contains("No default class admits this namespace"), "{message}");
    world.says("none", "ClassNotFound").await?;

    make_default(&world, &class, "true").await?;
    ensure!(world.bound("any").await? == class.first);
    let claim = world.get_claim("any").await?;
    // I6: what the author left open stays open.
    ensure!(claim.spec.host_port_class_name.is_none());
    ensure!(claim.status.unwrap_or_default().host_port_class_name.as_deref() == Some(class.name.as_str()));
    let message = world.says("none", "ClassNotFound").await?;
    ensure!(message.contains("hostPortClassName is \"\""), "{message}");

    make_default(&world, &class, "false").await?;
    world.claim_spec("later", None, None).await?;
    world.says("later", "ClassNotFound").await?;
    ensure!(world.bound("any").await? == class.first, "what is bound stays bound");

    // The newest of several; of the same second by name, so only the count can tell that one of them was taken.
    let newer = world.class(1).await?;
    make_default(&world, &class, "true").await?;
    make_default(&world, &newer, "true").await?;
    world.bound("later").await?;
    for class in [&class, &newer] {
        make_default(&world, class, "false").await?;
    }
    Ok(())
}

async fn make_default(world: &World, class: &Class, value: &str) -> Result<()> {
    let api: Api<HostPortClass> = Api::all(world.client());
    let patch = json!({"metadata": {"annotations": {crds::names::ANNOTATION_DEFAULT_CLASS: value}}});
    api.patch(&class.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}
