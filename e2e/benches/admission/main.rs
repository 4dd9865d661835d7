//! What admission costs a pod: creates without a webhook, with an empty one of the same TLS stack, and with
//! ours, taken in turns. A program that prints a table, not a timed test.

mod calls;
mod empty;
#[path = "../common/samples.rs"]
mod samples;

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use crds::{ClaimPhase, HostPortClaim, HostPortClass};
use e2e::{
    devcluster::{DevCluster, Options},
    eventually,
    operator::Operator,
};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

/// Creates pods on a devcluster and prints how long the API server takes for one.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// How many pods of each kind.
    #[arg(long, default_value_t = 400)]
    pods: usize,
    /// Be the empty webhook (used by the benchmark itself).
    #[arg(long, hide = true)]
    empty_webhook: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const WAYS: [(&str, &str); 6] = [
    ("none", "no webhook"),
    ("empty", "empty webhooks (one mutating, one validating)"),
    ("patching", "the same, but the mutating one always writes one number"),
    ("unclaimed", "ours, pod without annotations"),
    ("claimed", "ours, pods with one claim: they share its readings"),
    ("apart", "ours, pods with a claim each: each is read"),
];

/// Claims of those that have one each, in turns. A reading is shared for half a second: with six creates a turn these
/// would have to take less than 1 ms each to come that soon again.
const APART: usize = 80;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    e2e::init();
    if args.empty_webhook {
        return empty::run().await;
    }
    let cluster = DevCluster::start(Options::default()).await?;
    let client = cluster.client().await?;
    let _operator = Operator::start(&cluster, &["dev", "--webhook-listen", "127.0.0.1:0"], &[]).await?;
    let _empty = EmptyWebhook::start(&cluster)?;
    prepare(&client).await?;

    for (namespace, _) in WAYS {
        for number in 0..20 {
            create(&client, namespace, "warm", number).await?;
        }
    }
    let mut times = vec![Vec::new(); WAYS.len()];
    for number in 0..args.pods {
        for (way, (namespace, _)) in WAYS.iter().enumerate() {
            times[way].push(create(&client, namespace, "pod", number).await?);
        }
    }

    println!(
        "{} pods each, one after the other; API server, etcd and the load on the same machine",
        args.pods
    );
    println!("  p50 ms   p99 ms  of none  of empty");
    for way in &mut times {
        way.sort_unstable();
    }
    let p50 = |way: &[Duration]| way[way.len() / 2].as_secs_f64() * 1000.0;
    for (way, (_, title)) in times.iter().zip(WAYS) {
        let p99 = way[way.len() * 99 / 100].as_secs_f64() * 1000.0;
        let (none, empty) = (p50(way) / p50(&times[0]), p50(way) / p50(&times[1]));
        println!("{:8.2} {p99:8.2} {none:8.2}  {empty:8.2}  {title}", p50(way));
    }
    calls::print(&client).await?;
    println!("to reach: ours with a claim at most 1.25 of the empty ones");
    Ok(())
}

async fn create(client: &Client, namespace: &str, prefix: &str, number: usize) -> Result<Duration> {
    let annotations = match namespace {
        "claimed" => json!({ "claim.hostport.io/web": "web" }),
        "apart" => json!({ "claim.hostport.io/web": format!("web-{}", number % APART) }),
        _ => json!({}),
    };
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": format!("{prefix}-{number}"), "annotations": annotations },
        "spec": {
            // Nobody schedules it: the scheduler's work is not what is measured.
            "schedulerName": "nobody",
            "containers": [{
                "name": "app", "image": "registry.k8s.io/pause:3.10",
                "ports": [{ "name": "web", "containerPort": 8080 }],
            }],
        },
    }))?;
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let start = Instant::now();
    api.create(&PostParams::default(), &pod).await?;
    Ok(start.elapsed())
}

async fn prepare(client: &Client) -> Result<()> {
    let post = PostParams::default();
    for (name, _) in WAYS {
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "bench": name } },
        }))?;
        Api::all(client.clone()).create(&post, &namespace).await?;
        eventually(Duration::from_secs(30), "the namespace's service account", || async {
            Ok(Api::<ServiceAccount>::namespaced(client.clone(), name).get("default").await?)
        })
        .await?;
    }
    let class: HostPortClass = serde_json::from_value(json!({
        "metadata": { "name": "bench" }, "spec": { "pools": [{ "start": 20000, "end": 20099 }] },
    }))?;
    Api::all(client.clone()).create(&post, &class).await?;
    bind(client, "claimed", "web").await?;
    for number in 0..APART {
        bind(client, "apart", &format!("web-{number}")).await?;
    }
    eventually(Duration::from_secs(30), "the empty webhooks to be called", || empty::installed(client)).await
}

async fn bind(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let claim: HostPortClaim = serde_json::from_value(json!({
        "metadata": { "name": name }, "spec": { "hostPortClassName": "bench" },
    }))?;
    let api = Api::<HostPortClaim>::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &claim).await?;
    eventually(Duration::from_secs(30), "the claim to be Bound", || async {
        let phase = api.get(name).await?.status.unwrap_or_default().phase;
        anyhow::ensure!(phase == ClaimPhase::Bound, "{phase:?}");
        Ok(())
    })
    .await
}

/// The empty webhook in a process of its own, as ours is.
struct EmptyWebhook(Child);

impl EmptyWebhook {
    fn start(cluster: &DevCluster) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--empty-webhook").env("KUBECONFIG", cluster.kubeconfig()).stdin(Stdio::null());
        command.spawn().map(Self).context("start the empty webhook")
    }
}

impl Drop for EmptyWebhook {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
