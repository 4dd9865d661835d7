//! What Helm does with a release over time: upgraded, refused a second time, uninstalled, installed again.

use anyhow::{Context, Result, ensure};
use e2e::devcluster::DevCluster;
use e2e::{chart, helm::Helm, operator};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::installed::{apply, with_chart};

async fn helm(cluster: &DevCluster, args: &[&str]) -> Result<String> {
    let kubeconfig = cluster.kubeconfig().to_owned();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let run = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Helm::find_or_build()?.run(Some(&kubeconfig), &args)
    };
    tokio::task::spawn_blocking(run).await?
}

async fn get(cluster: &DevCluster, args: &[&str]) -> Result<Value> {
    let said = cluster.run_kubectl(&[&["get", "-o", "json"], args].concat(), "").await?;
    Ok(serde_json::from_str(&said)?)
}

#[tokio::test]
async fn an_upgrade_keeps_the_ca_and_an_uninstall_keeps_definitions_and_claims() -> Result<()> {
    let cluster = with_chart().await?;
    let dir = chart::dir().display().to_string();
    let claim = json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": "web", "namespace": "default"}, "spec": {},
    });
    apply(&cluster, &[claim]).await?;
    // As the controller does it.
    let webhook = ["mutatingwebhookconfiguration", "pods.hostport.io"];
    let ca = serde_json::to_value(ByteString(std::fs::read(cluster.dir().join("ca.crt"))?))?;
    let patch =
        json!({"webhooks": [{"name": "pods.hostport.io", "clientConfig": {"caBundle": ca}}]}).to_string();
    let args =
        ["patch", webhook[0], webhook[1], "--type=strategic", "--field-manager=hostport", "-p", &patch];
    cluster.run_kubectl(&args, "").await?;

    let upgrade =
        ["upgrade", "hostport", &dir, "-n", chart::NAMESPACE, "--set", "webhooks.timeoutSeconds=15"];
    helm(&cluster, &upgrade).await?;
    let upgraded = get(&cluster, &webhook).await?;
    ensure!(upgraded["webhooks"][0]["timeoutSeconds"] == 15, "{upgraded}");
    ensure!(upgraded["webhooks"][0]["clientConfig"]["caBundle"] == ca, "{upgraded}");

    let second = helm(&cluster, &["install", "second", &dir, "-n", "second", "--create-namespace"]).await;
    let said = second.err().context("a second release was installed")?.to_string();
    ensure!(said.contains("invalid ownership metadata"), "{said}");
    for role in ["dev", "admission"] {
        let by_hand = [role, "--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0"];
        let said = operator::print(&cluster, &by_hand).await.err().context("it took the webhooks over")?;
        ensure!(said.to_string().contains("this cluster has hostport installed"), "{said}");
    }
    ensure!(get(&cluster, &webhook).await? == upgraded, "the webhooks are the chart's");

    // The hook is a Job, and nothing runs pods here.
    helm(&cluster, &["uninstall", "hostport", "-n", chart::NAMESPACE, "--no-hooks"]).await?;
    ensure!(get(&cluster, &webhook).await.is_err(), "the webhooks are still there");
    let policies =
        get(&cluster, &["validatingadmissionpolicies,clusterroles", "-l", "app.kubernetes.io/name=hostport"])
            .await?;
    ensure!(policies["items"].as_array().is_some_and(Vec::is_empty), "{policies}");
    get(&cluster, &["hpc", "web", "-n", "default"]).await.context("the claim")?;

    helm(&cluster, &["install", "hostport", &dir, "-n", chart::NAMESPACE]).await?;
    get(&cluster, &["hpc", "web", "-n", "default"]).await.context("the claim, afterwards")?;
    Ok(())
}
