//! The lowest numbers of a class are left to those who want a certain one.

use anyhow::{Result, ensure};

use crate::support::World;

#[tokio::test]
async fn claims_for_any_number_get_those_above_the_static_band_first() -> Result<()> {
    let world = World::new("band").await?;
    let class = world.class(100).await?;
    let band = format!("{}-{}", class.first, class.first + 15);

    ensure!(world.bind("any", &class).await? == class.first + 16);
    world.claim_port("wanted", &class, class.first + 3).await?;
    ensure!(world.bound("wanted").await? == class.first + 3);

    let status = world.get_class(&class).await?.status.unwrap_or_default();
    ensure!(status.static_band.as_deref() == Some(band.as_str()), "{status:?}");
    let table = world.kubectl(&["get", "hpclass", &class.name, "-o", "wide"]).await?;
    ensure!(table.contains("STATIC-BAND") && table.contains(&band), "{table}");
    Ok(())
}

#[tokio::test]
async fn when_the_upper_numbers_are_taken_the_band_serves_all() -> Result<()> {
    let world = World::new("bandfull").await?;
    // 18 numbers: a band of 16, and 2 above it.
    let class = world.class(18).await?;

    let upper = [world.bind("one", &class).await?, world.bind("two", &class).await?];
    ensure!(upper == [class.last - 1, class.last], "{upper:?}");
    ensure!(world.bind("three", &class).await? == class.first, "then the band");

    // A block may have the band too.
    world.claim_block("block", &class, 3).await?;
    ensure!(world.bound("block").await? == class.first + 1);
    let small = world.class(16).await?;
    ensure!(world.bind("small", &small).await? == small.first);
    let status = world.get_class(&small).await?.status.unwrap_or_default();
    ensure!(status.static_band.is_none(), "{status:?}");
    Ok(())
}
