//! Many claims at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crds::{ClaimPhase, HostPort, HostPortClaim};
use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::support::World;

const MANY: u16 = 1000;
const DELAY: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_thousand_claims_share_a_thousand_ports_and_the_next_one_waits_for_the_delay() -> Result<()> {
    let world = World::new("many").await?;
    let class = world.class_with(MANY, |spec| spec.reuse_delay = crds::ReuseDelay::new(DELAY)).await?;

    let start = Instant::now();
    let names: Vec<String> = (0..MANY).map(|number| format!("claim-{number}")).collect();
    let creates = futures::stream::iter(&names).map(|name| world.claim(name, &class));
    creates.buffer_unordered(32).try_collect::<Vec<_>>().await?;
    let claims = world
        .until("all claims to be Bound", || async {
            let claims = world.api::<HostPortClaim>().list(&ListParams::default()).await?.items;
            let bound = |claim: &&HostPortClaim| {
                claim
                    .status
                    .as_ref()
                    .is_some_and(|status| status.phase == ClaimPhase::Bound && status.port.is_some())
            };
            let count = claims.iter().filter(bound).count();
            ensure!(count == usize::from(MANY), "{count} are");
            Ok(claims)
        })
        .await?;
    eprintln!("{MANY} claims created and Bound after {:.1?}", start.elapsed());

    let held: BTreeMap<u16, String> =
        claims.iter().filter_map(|claim| Some((port(claim)?, claim.uid()?))).collect();
    ensure!(held.len() == claims.len(), "{} numbers for {} claims", held.len(), claims.len());
    ensure!(held.keys().copied().eq(class.first..=class.last), "each number of the class is held");
    let of_class = ListParams::default().fields(&format!("spec.class={}", class.name));
    let grants = world.hostports().list(&of_class).await?.items;
    let granted: BTreeMap<u16, String> = grants.iter().filter_map(grant).collect();
    ensure!(granted == held && grants.len() == held.len(), "HostPorts and claims tell the same");

    world.claim("one-too-many", &class).await?;
    let message = world.says("one-too-many", "PoolExhausted").await?;
    let words = format!("No free port in class \"{}\" ({}-{}).", class.name, class.first, class.last);
    ensure!(message.starts_with(&words), "{message}");
    world.counts(&class, [i64::from(MANY), 0, 0, 0, 1]).await?;

    let freed = port(&world.get_claim("claim-500").await?).context("it is Bound")?;
    world.delete_claim("claim-500").await?;
    let start = Instant::now();
    let number = world.bound("one-too-many").await?;
    ensure!(number == freed, "{number} instead of {freed}");
    ensure!(start.elapsed() >= DELAY, "I4: after {:?} only", start.elapsed());
    world.counts(&class, [i64::from(MANY), 0, 0, 0, 0]).await?;

    // A bind is no trouble: no event tells of it.
    let told = world.troubles().await?;
    ensure!(told.iter().all(|event| event.starts_with("PoolExhausted: ")), "{told:?}");
    Ok(())
}

fn port(claim: &HostPortClaim) -> Option<u16> {
    Some(claim.status.as_ref()?.port?.get())
}

fn grant(hostport: &HostPort) -> Option<(u16, String)> {
    Some((hostport.spec.port.get(), hostport.spec.claim_ref.as_ref()?.uid.clone()?))
}
