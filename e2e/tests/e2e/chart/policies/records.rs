//! What the controller has written: read by whom it concerns, written by nobody else.

use anyhow::{Context, Result, ensure};
use crds::{HostPort, HostPortClaim, HostPortClass};
use e2e::{chart, eventually};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::chart::installed::{installed, refusal};
use crate::support::SOON;

fn host_port(port: u16, class: &str, more: Value) -> Result<HostPort> {
    let mut spec = json!({"port": port, "class": class});
    spec.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
    let object = json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPort",
        "metadata": {"name": port.to_string()}, "spec": spec,
    });
    Ok(serde_json::from_value(object)?)
}

#[tokio::test]
async fn a_tenant_makes_claims_and_writes_no_status_and_sees_no_host_port() -> Result<()> {
    let installed = installed().await?;
    installed.class("tenants", 12_100, 12_107, "Delete").await?;
    let tenant = installed.tenant("tenants", json!({})).await?;
    tenant.claim("web", "tenants").await?;
    let status = Patch::Merge(json!({"status": {"port": 10_250}}));
    let claims = tenant.api::<HostPortClaim>();

    let said = refusal(claims.patch_status("web", &PatchParams::default(), &status).await)?;
    ensure!(said.contains("cannot patch resource"), "{said}");
    let hostports: Api<HostPort> = Api::all(tenant.client.clone());
    let said = refusal(hostports.list(&Default::default()).await)?;
    ensure!(said.contains("cannot list resource"), "{said}");
    let classes: Api<HostPortClass> = Api::all(tenant.client.clone());
    classes.get("tenants").await?;
    let said = refusal(classes.delete("tenants", &DeleteParams::default()).await)?;
    ensure!(said.contains("cannot delete resource"), "{said}");

    // Somebody has given them too much, as `hostport.io/*` in a role does.
    installed
        .apply(&[json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "too-much"},
            "rules": [{"apiGroups": ["hostport.io"], "resources": ["*"], "verbs": ["get", "patch", "update"]}],
        })])
        .await?;
    installed.grant("alice", "too-much").await?;
    let said = eventually(SOON, "the policy to say no", || async {
        let said = refusal(claims.patch_status("web", &PatchParams::default(), &status).await)?;
        ensure!(said.contains("nobody else writes it"), "{said}");
        Ok(said)
    })
    .await;
    installed
        .cluster
        .kubectl(["delete", "clusterrole,clusterrolebinding", "too-much", "alice-too-much"])
        .await?;
    said.map(drop)
}

#[tokio::test]
async fn an_administrator_of_ports_prepares_and_frees_numbers_and_grants_none() -> Result<()> {
    let installed = installed().await?;
    installed.class("records", 12_200, 12_207, "Retain").await?;
    let tenant = installed.tenant("records", json!({})).await?;
    let bound = tenant.claim("web", "records").await?;
    installed.grant("carol", "hostport-admin").await?;
    let carol: Api<HostPort> = Api::all(installed.client_as("carol").await?);
    let (params, ours) = (PostParams::default(), PatchParams::default());
    eventually(SOON, "carol to be an administrator", || async { Ok(carol.list(&Default::default()).await?) })
        .await?;

    // Numbers that are prepared: nobody's, or kept for a claim.
    carol.create(&params, &host_port(12_290, "records", json!({}))?).await?;
    let kept = json!({"claimRef": {"namespace": "records", "name": "later"}});
    carol.create(&params, &host_port(12_291, "records", kept)?).await?;
    carol.patch("12290", &ours, &Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}))).await?;
    carol.delete("12290", &DeleteParams::default()).await?;

    // Not a grant, nor a record of one.
    let uid = json!({"claimRef": {"namespace": "records", "name": "forged", "uid": "1"}, "phase": "Bound"});
    let said = refusal(carol.create(&params, &host_port(12_292, "records", uid.clone())?).await)?;
    ensure!(said.contains("only the controller grants"), "{said}");
    let said = refusal(carol.patch("12291", &ours, &Patch::Merge(json!({"spec": uid}))).await)?;
    ensure!(said.contains("only the controller grants"), "{said}");
    let released = json!({"spec": {"phase": "Released", "releasedAt": "2026-01-01T00:00:00Z"}});
    let bound = bound.to_string();
    let said = refusal(carol.patch(&bound, &ours, &Patch::Merge(released)).await)?;
    ensure!(said.contains("only the controller grants"), "{said}");
    let said = refusal(carol.delete(&bound, &DeleteParams::default()).await)?;
    ensure!(said.contains("a claim holds this port"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_released_number_is_set_free_as_the_runbook_says() -> Result<()> {
    let installed = installed().await?;
    installed.class("runbook", 12_300, 12_307, "Retain").await?;
    let tenant = installed.tenant("runbook", json!({})).await?;
    installed.grant("dora", "hostport-admin").await?;
    let dora: Api<HostPort> = Api::all(installed.client_as("dora").await?);
    eventually(SOON, "dora to be an administrator", || async { Ok(dora.list(&Default::default()).await?) })
        .await?;
    let runbook = std::fs::read_to_string(chart::repository("docs/troubleshooting.md"))?;
    let line =
        runbook.lines().find(|line| line.starts_with("kubectl patch hp 5066 ")).context("no such line")?;
    let patch = line.split('\'').nth(1).context("no patch in it")?;
    ensure!(runbook.contains("\nkubectl delete hp 5066 "), "the other line");

    for (name, deletes) in [("one", false), ("two", true)] {
        let port = tenant.claim(name, "runbook").await?;
        tenant.api::<HostPortClaim>().delete(name, &DeleteParams::default()).await?;
        installed.host_port(port, "Released").await?;
        let number = port.to_string();

        let rest = json!({"spec": {"releasedAt": "2020-01-01T00:00:00Z"}});
        let said = refusal(dora.patch(&number, &PatchParams::default(), &Patch::Merge(rest)).await)?;
        ensure!(said.contains("the controller's record"), "{said}");
        if deletes {
            dora.delete(&number, &DeleteParams::default()).await?;
        } else {
            // As in the runbook, by the very words.
            let args = ["--as=dora", "patch", "hp", &number, "--type=json", "-p", patch];
            installed.cluster.run_kubectl(&args, "").await?;
            installed.host_port(port, "Available").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn whoever_may_override_does_and_nobody_has_to_be_of_system_masters_for_it() -> Result<()> {
    let installed = installed().await?;
    installed.class("override", 12_400, 12_407, "Delete").await?;
    let tenant = installed.tenant("override", json!({})).await?;
    installed.grant("erin", "cluster-admin").await?;
    let erin: Api<HostPort> = Api::all(installed.client_as("erin").await?);
    eventually(SOON, "erin to be an administrator", || async { Ok(erin.list(&Default::default()).await?) })
        .await?;

    let port = tenant.claim("web", "override").await?;
    erin.delete(&port.to_string(), &DeleteParams::default()).await?;

    // The claim lives, so the controller makes it again; nobody else could.
    installed.host_port(port, "Bound").await?;
    Ok(())
}
