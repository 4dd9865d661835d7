//! Claims that name no class.

use anyhow::{Result, ensure};

use crate::support::{World, alone_with_default_classes};

#[tokio::test]
async fn a_claim_without_a_class_binds_from_the_default_class_also_when_it_appears_later() -> Result<()> {
    let _alone = alone_with_default_classes().await;
    let world = World::new("default").await?;
    let class = world.class(4).await?;

    world.claim_spec("any", None, None).await?;
    world.claim_spec("none", Some(""), None).await?;
    let message = world.says("any", "ClassNotFound").await?;
    ensure!(message.contains("No default class admits this namespace"), "{message}");
    world.stalled("none", "ClassNotFound").await?;

    world.make_default(&class, true).await?;
    ensure!(world.bound("any").await? == class.first);
    let claim = world.get_claim("any").await?;
    // I6: what the author left open stays open.
    ensure!(claim.spec.host_port_class_name.is_none());
    ensure!(claim.status.unwrap_or_default().host_port_class_name.as_deref() == Some(class.name.as_str()));
    let message = world.says("none", "ClassNotFound").await?;
    ensure!(message.contains("hostPortClassName is \"\""), "{message}");

    world.make_default(&class, false).await?;
    world.claim_until("later", None, "ClassNotFound").await?;
    ensure!(world.bound("any").await? == class.first, "what is bound stays bound");

    // The newest of several; of the same second by name, so only the count can tell that one of them was taken.
    let newer = world.class(1).await?;
    world.make_default(&class, true).await?;
    world.make_default(&newer, true).await?;
    world.bound("later").await?;
    for class in [&class, &newer] {
        world.make_default(class, false).await?;
    }
    Ok(())
}
