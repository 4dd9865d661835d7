//! Warnings when workloads and bare pods are applied. Nothing is refused.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::workload;
use crate::support::{World, pod};

impl World {
    /// What kubectl says beside its result.
    async fn warned(&self, object: &Value) -> Result<String> {
        let args = ["apply", "-n", self.ns(), "-f", "-"];
        let output = self.env.cluster().kubectl_with_input(args, &object.to_string()).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}");
        Ok(said)
    }
}

#[tokio::test]
async fn the_author_of_a_workload_is_told_what_its_pods_will_meet() -> Result<()> {
    let world = World::new("warned").await?;
    let absent = workload("Deployment", "absent", 0, &json!({"claim.hostport.io/web": "nowhere"}));
    let unknown = workload("StatefulSet", "unknown", 0, &json!({"claim.hostport.io/http": "x"}));
    let mut misplaced = workload("Deployment", "misplaced", 0, &json!({}));
    misplaced["metadata"]["annotations"] = json!({"claim.hostport.io/web": "x"});

    for (object, words) in [
        (absent, "Warning: HostPortClaim \"nowhere\" does not exist in namespace"),
        (unknown, "names a port that no container of the pod has (there are: web)"),
        (misplaced, "annotation claim.hostport.io/web stands on the Deployment itself"),
    ] {
        let said = world.warned(&object).await?;
        ensure!(said.contains(words), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_author_of_a_bare_pod_is_told_its_number() -> Result<()> {
    let world = World::new("news").await?;
    let class = world.class(2).await?;
    let port = world.bind("echo-web", &class).await?;

    let said = world.warned(&pod("echo", "echo-web")).await?;

    ensure!(said.contains(&format!("Warning: hostport: web → {port} (claim echo-web)")), "{said}");
    Ok(())
}
