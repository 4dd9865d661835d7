//! The demo in somebody else's cluster: in a namespace of its own, only where hostport is not installed, and everything
//! is taken away at the end.

use anyhow::{Context, Result, bail, ensure};
use e2e::devcluster::DevCluster;

use crate::screen::Screen;

const NAMESPACE: &str = "hostport-demo";
const WEBHOOKS: &str = "mutatingwebhookconfiguration,validatingwebhookconfiguration";
const DEFINITIONS: [&str; 3] =
    ["hostportclaims.hostport.io", "hostports.hostport.io", "hostportclasses.hostport.io"];

pub(crate) struct Visit;

impl Visit {
    pub(crate) async fn begin(cluster: &DevCluster) -> Result<Visit> {
        let installed =
            kubectl(cluster, &["get", "crd", DEFINITIONS[1], "--ignore-not-found", "-o", "name"]).await?;
        if !installed.trim().is_empty() {
            bail!(
                "hostport is in this cluster already ({}), and the demo would get in its way. Choose another cluster, \
                 or leave out --use-current-cluster",
                installed.trim()
            );
        }
        kubectl(cluster, &["create", "namespace", NAMESPACE])
            .await
            .context("the demo wants a namespace of its own")?;
        // In our copy of the kubeconfig: the commands of the story need no --namespace.
        kubectl(cluster, &["config", "set-context", "--current", "--namespace", NAMESPACE]).await?;
        Ok(Visit)
    }

    /// Needs the operator to be alive: it takes its finalizers off the claims.
    pub(crate) async fn end(self, cluster: &DevCluster, screen: &mut Screen) -> Result<()> {
        screen.say("\nTaking away what the demo has brought into the cluster …")?;
        let mut failed = Vec::new();
        let definitions = [&["delete", "crd"], &DEFINITIONS[..]].concat();
        for words in [
            // First of all: with nobody behind them they would refuse pods.
            &["delete", WEBHOOKS, "pods.hostport.io", "check.pods.hostport.io"][..],
            &["delete", "namespace", NAMESPACE, "hostport-managed"],
            &definitions,
        ] {
            let words = [words, &["--ignore-not-found", "--timeout=90s"]].concat();
            if let Err(error) = kubectl(cluster, &words).await {
                failed.push(format!("kubectl {}: {error:#}", words.join(" ")));
            }
        }
        ensure!(failed.is_empty(), "some of it is left; do by hand:\n{}", failed.join("\n"));
        Ok(())
    }
}

async fn kubectl(cluster: &DevCluster, words: &[&str]) -> Result<String> {
    let output = cluster.kubectl(words).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
