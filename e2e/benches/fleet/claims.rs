//! Many claims: all of them bound by the controller, what it weighs then, and how soon it is back after a kill.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crds::{HostPort, HostPortClaim, HostPortClass};
use e2e::{
    devcluster::{DevCluster, Options},
    eventually,
    operator::Operator,
};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::{time, usage::Usage};

const CLASS: &str = "many";

/// The claims wait in as many namespaces, as those of tenants do.
const NAMESPACES: usize = 100;

/// A thousand numbers, each granted as often as somebody wants it: on so many nodes.
fn class() -> Value {
    json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass", "metadata": { "name": CLASS },
        "spec": { "scope": "Node", "pools": [{ "start": 10_000, "end": 10_999 }] },
    })
}

pub(crate) async fn measure(count: usize, workers: usize) -> Result<()> {
    let cluster = DevCluster::start(Options::default()).await?;
    let client = cluster.client().await?;
    prepare(&client).await?;
    let controller = Operator::start(&cluster, &["controller"], &[]).await?;

    let start = Instant::now();
    let created = stream::iter(0..count)
        .map(|number| create(&client, number))
        .buffer_unordered(workers)
        .try_for_each(async |()| Ok(()));
    created.await?;
    let created = start.elapsed();
    all_bound(&client, count).await?;
    let bound = start.elapsed();
    no_number_twice(&client, count).await?;
    let before = Usage::of(controller.pid())?;

    controller.kill9();
    let start = Instant::now();
    let (controller, ()) =
        tokio::try_join!(Operator::start(&cluster, &["controller"], &[]), create(&client, count))?;
    let ready = start.elapsed();
    all_bound(&client, count + 1).await?;
    let first = start.elapsed();
    let after = Usage::of(controller.pid())?;

    println!("\n{count} claims of scope Node in {NAMESPACES} namespaces, {workers} created at a time");
    println!(
        "  created {}, all Bound {}: {:.0} a second",
        time(created),
        time(bound),
        count as f64 / bound.as_secs_f64()
    );
    println!(
        "  memory (RSS) {:.1} MiB, processor time of the controller {}",
        before.rss_mib,
        time(before.cpu)
    );
    println!(
        "  killed with -9 and started again: ready after {}, a claim made meanwhile Bound and counted after {}",
        time(ready),
        time(first)
    );
    println!("  memory (RSS) after that {:.1} MiB", after.rss_mib);
    Ok(())
}

async fn prepare(client: &Client) -> Result<()> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    for crd in crds::all() {
        definitions.create(&PostParams::default(), &crd).await?;
    }
    let class: HostPortClass = serde_json::from_value(class())?;
    eventually(Duration::from_secs(30), "the definitions to be served", || async {
        Ok(Api::all(client.clone()).create(&PostParams::default(), &class).await?)
    })
    .await?;
    for number in 0..NAMESPACES {
        let namespace: k8s_openapi::api::core::v1::Namespace =
            serde_json::from_value(json!({ "metadata": { "name": namespace(number) } }))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    }
    Ok(())
}

fn namespace(number: usize) -> String {
    format!("tenant-{}", number % NAMESPACES)
}

async fn create(client: &Client, number: usize) -> Result<()> {
    let claim: HostPortClaim = serde_json::from_value(json!({
        "metadata": { "name": format!("claim-{number}") }, "spec": { "hostPortClassName": CLASS },
    }))?;
    let api: Api<HostPortClaim> = Api::namespaced(client.clone(), &namespace(number));
    api.create(&PostParams::default(), &claim).await.context("create a claim")?;
    Ok(())
}

/// The class counts them; to list all of them again and again would be most of the work.
async fn all_bound(client: &Client, count: usize) -> Result<()> {
    let api: Api<HostPortClass> = Api::all(client.clone());
    eventually(Duration::from_secs(3_600), &format!("{count} claims to be Bound"), || async {
        let status = api.get(CLASS).await?.status.context("the class has no status yet")?;
        ensure!(status.allocated == count as i64, "{} are, {} wait", status.allocated, status.waiting);
        Ok(())
    })
    .await
}

/// Every HostPort is of another claim, and there are as many as claims. (Their names differ, or they would not be.)
async fn no_number_twice(client: &Client, count: usize) -> Result<()> {
    let api: Api<HostPort> = Api::all(client.clone());
    let (mut holders, mut page) = (std::collections::HashSet::new(), ListParams::default().limit(5_000));
    loop {
        let list = api.list(&page).await?;
        for hostport in &list {
            let holder = hostport.spec.claim_ref.as_ref().and_then(|claim| claim.uid.clone());
            let holder = holder.with_context(|| format!("HostPort {} is nobody's", hostport.name_any()))?;
            ensure!(holders.insert(holder), "HostPort {} is a second one of its claim", hostport.name_any());
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    ensure!(holders.len() == count, "{} HostPorts for {count} claims", holders.len());
    Ok(())
}
