//! What the API server says to the rendered objects, on a cluster without any other hostport: an operator that runs outside
//! has webhooks of these names, with a URL.

use anyhow::{Context, Result, ensure};
use e2e::chart;
use e2e::devcluster::{DevCluster, Options};
use serde_json::{Value, json};

use super::installed::apply;
use super::{all_rendered, kind};

async fn with_namespace() -> Result<DevCluster> {
    let cluster = DevCluster::start(Options::default()).await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": chart::NAMESPACE}});
    apply(&cluster, &[namespace]).await?;
    Ok(cluster)
}

/// Kinds of others that the chart can make objects of: here only that they exist, their fields are not checked.
fn stub(group: &str, version: &str, kind: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": singular},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }}}],
        },
    })
}

#[tokio::test]
async fn the_api_server_takes_all_objects_of_every_values_file() -> Result<()> {
    let cluster = with_namespace().await?;
    let stubs = [
        stub("cert-manager.io", "v1", "Issuer"),
        stub("cert-manager.io", "v1", "Certificate"),
        stub("monitoring.coreos.com", "v1", "ServiceMonitor"),
        stub("monitoring.coreos.com", "v1", "PrometheusRule"),
    ];
    apply(&cluster, &stubs).await?;
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd",
        "issuers.cert-manager.io",
        "certificates.cert-manager.io",
        "servicemonitors.monitoring.coreos.com",
        "prometheusrules.monitoring.coreos.com",
    ];
    cluster.run_kubectl(&wait, "").await?;

    for (file, objects) in tokio::task::spawn_blocking(all_rendered).await?? {
        let yaml: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        let args = [
            "--namespace",
            chart::NAMESPACE,
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ];
        let output = cluster.kubectl_with_input(args, &yaml).await?;

        let (said, complaint) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{file}: {complaint}");
        ensure!(!complaint.contains("Warning"), "{file}: {complaint}");
        ensure!(said.lines().count() == objects.len(), "{file}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_takes_the_plain_manifests() -> Result<()> {
    let cluster = with_namespace().await?;
    let folder = chart::repository("config/default").display().to_string();

    let args = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", &folder];
    let said = cluster.run_kubectl(&args, "").await?;

    ensure!(said.contains("deployment.apps/hostport-admission"), "{said}");
    ensure!(
        !said.contains("hostport-cleanup") && !said.contains("hostport-test"),
        "hooks are Helm's: {said}"
    );
    Ok(())
}

#[tokio::test]
async fn the_plain_manifests_are_the_chart_with_its_defaults_but_for_the_definitions() -> Result<()> {
    let plain = std::fs::read_to_string(chart::repository("config/default/hostport.yaml"))?;
    let chart = tokio::task::spawn_blocking(all_rendered).await??;
    let default = chart.iter().find(|(file, _)| file == "default-values.yaml").context("no defaults")?;

    let names = |objects: &[Value]| {
        let ours = |object: &&Value| {
            let hook = object["metadata"]["annotations"].get("helm.sh/hook").is_some();
            !hook && kind(object) != "CustomResourceDefinition"
        };
        let mut names: Vec<String> = objects.iter().filter(ours).map(super::label).collect();
        names.sort();
        names
    };
    let objects = chart::objects(&plain)?;
    ensure!(objects.iter().all(|object| kind(object) != "CustomResourceDefinition"), "deleted with the rest");
    ensure!(names(&objects) == names(&default.1));
    ensure!(default.1.iter().any(|object| kind(object) == "ValidatingAdmissionPolicy"));
    Ok(())
}
