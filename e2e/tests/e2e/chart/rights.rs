//! Least privilege: the operator runs as the chart's two ServiceAccounts, by the chart's own command lines, through all that
//! it can do; then the API server's audit log is compared with the chart's roles.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use crds::HostPortClaim;
use e2e::devcluster::DevCluster;
use e2e::{chart, eventually, operator};
use kube::api::Api;
use serde_json::{Value, json};

use super::features;
use super::installed::{apply, installed, log_in, with_chart};
use super::{kind, name, rendered, values_files};
use crate::support::SOON;

/// Rights that a run does not use, and why they are there. Keep it short.
const RARE: [(&str, &str, &str); 3] = [
    // An event that repeats becomes a series.
    ("hostport-controller", "patch", "events.events.k8s.io"),
    // While the definitions are not served yet; here Helm has installed them before.
    ("hostport-controller", "watch", "customresourcedefinitions.apiextensions.k8s.io"),
    ("hostport-admission", "watch", "customresourcedefinitions.apiextensions.k8s.io"),
];

/// Account, verb and resource, as in `Right`.
type Used = BTreeSet<(String, String, String)>;

#[tokio::test]
async fn roles_allow_what_is_done_and_nothing_else() -> Result<()> {
    let installed = installed().await?;
    features::all(installed).await?;

    let granted = granted(&installed.cluster, &chart::ACCOUNTS).await?;
    // The last to come is the renewal of a certificate, a minute after the first.
    let unused = eventually(2 * SOON, "every right to be used", || async {
        let (used, refused) = audited(&installed.cluster)?;
        if !refused.is_empty() {
            return Ok(Err(refused));
        }
        let unused: Used = granted.difference(&used).filter(|it| !is_rare(it)).cloned().collect();
        ensure!(unused.is_empty(), "never used: {unused:#?}");
        let more: Used = used.difference(&granted).cloned().collect();
        Ok(if more.is_empty() { Ok(()) } else { Err(more) })
    })
    .await?;

    if let Err(refused) = unused {
        bail!("asked for, and no role of the chart has it: {refused:#?}");
    }
    Ok(())
}

fn is_rare((account, verb, resource): &(String, String, String)) -> bool {
    RARE.iter().any(|it| (it.0, it.1, it.2) == (&**account, &**verb, &**resource))
}

/// What the roles give, by what `kubectl auth can-i` calls it.
async fn granted(cluster: &DevCluster, accounts: &[&str]) -> Result<Used> {
    let output = cluster.kubectl(["get", "clusterroles,roles", "-A", "-o", "json"]).await?;
    let roles: Value = serde_json::from_slice(&output.stdout)?;
    let roles = roles["items"].as_array().context("no roles")?;
    let mut granted = Used::new();
    for &account in accounts {
        let rights = chart::rights(roles, account);
        ensure!(rights.len() > 1, "{account}: {rights:?}");
        for right in rights {
            granted.extend(
                right.verbs.iter().map(|verb| (account.to_owned(), verb.clone(), right.resource.clone())),
            );
        }
    }
    Ok(granted)
}

/// What the two accounts have asked the API server for, and of that what it refused.
fn audited(cluster: &DevCluster) -> Result<(Used, Used)> {
    let log = std::fs::read_to_string(cluster.audit_log().context("no audit log")?)?;
    let (mut used, mut refused) = (Used::new(), Used::new());
    for line in log.lines() {
        // The last line may still be under way.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let user = event["user"]["username"].as_str().unwrap_or_default();
        let prefix = format!("system:serviceaccount:{}:", chart::NAMESPACE);
        let Some(account) = user.strip_prefix(&prefix) else { continue };
        let text = |field: &str| event["objectRef"][field].as_str().filter(|text| !text.is_empty());
        let Some(resource) = text("resource") else { continue };
        let group = text("apiGroup").map(|group| format!(".{group}")).unwrap_or_default();
        let sub = text("subresource").map(|sub| format!("/{sub}")).unwrap_or_default();
        let verb = event["verb"].as_str().unwrap_or_default().to_owned();
        let request = (account.to_owned(), verb, format!("{resource}{group}{sub}"));
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            refused.insert(request.clone());
        }
        used.insert(request);
    }
    Ok((used, refused))
}

#[tokio::test]
async fn kubectl_says_of_the_accounts_what_the_documentation_says() -> Result<()> {
    let installed = installed().await?;
    for account in chart::ACCOUNTS {
        may_what_its_roles_say(&installed.cluster, account).await?;
    }
    Ok(())
}

/// Whether `kubectl auth can-i --list` says of the account what the roles in the cluster say, no more and no less.
pub async fn may_what_its_roles_say(cluster: &DevCluster, account: &str) -> Result<()> {
    let roles = cluster.kubectl(["get", "clusterroles,roles", "-A", "-o", "json"]).await?;
    let roles: Value = serde_json::from_slice(&roles.stdout)?;
    let roles = roles["items"].as_array().context("no roles")?;

    let user = format!("--as=system:serviceaccount:{}:{account}", chart::NAMESPACE);
    let args = ["auth", "can-i", "--list", "--no-headers", &user, "-n", chart::NAMESPACE];
    let output = cluster.kubectl(args).await?;
    let said = String::from_utf8(output.stdout)?;

    // Resource, and verbs that are said of it, whatever the names.
    let mut listed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in said.lines().filter(|line| !line.starts_with(' ')) {
        let resource = line.split_whitespace().next().unwrap_or_default();
        let verbs = line.rsplit_once('[').map(|(_, verbs)| verbs.trim_end_matches(']')).unwrap_or_default();
        listed.entry(resource).or_default().extend(verbs.split_whitespace().map(str::to_owned));
    }
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for right in chart::rights(roles, account) {
        expected.entry(right.resource).or_default().extend(right.verbs);
    }
    // Everybody may ask about themselves and read classes.
    listed.retain(|resource, _| !resource.starts_with("selfsubject"));
    expected
        .entry("hostportclasses.hostport.io".to_owned())
        .or_default()
        .extend(["get", "list", "watch"].map(str::to_owned));
    let listed: BTreeMap<String, BTreeSet<String>> =
        listed.into_iter().map(|(resource, verbs)| (resource.to_owned(), verbs)).collect();
    ensure!(listed == expected, "{account}: kubectl lists {listed:#?}, the roles have {expected:#?}");
    Ok(())
}

#[tokio::test]
async fn the_cleanup_job_may_do_what_it_does_and_nothing_else() -> Result<()> {
    let cluster = with_chart().await?;
    let chart = tokio::task::spawn_blocking(|| rendered(&values_files()?[1])).await??;
    let hook: Vec<Value> = chart.into_iter().filter(|object| name(object) == "hostport-cleanup").collect();
    let (job, rest): (Vec<Value>, Vec<Value>) = hook.into_iter().partition(|object| kind(object) == "Job");
    apply(&cluster, &rest).await?;
    let claim = json!({
        "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
        "metadata": {"name": "web", "namespace": "default",
            "finalizers": ["example.com/theirs", crds::names::FINALIZER_CLAIM_PROTECTION]},
        "spec": {},
    });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "hostport-controller", "namespace": chart::NAMESPACE}, "spec": {},
    });
    apply(&cluster, &[claim, lease]).await?;
    log_in(&cluster, "hostport-cleanup").await?;

    let words = job.first().and_then(|job| job.pointer("/spec/template/spec/containers/0/args")?.as_array());
    let words: Vec<&str> = words.context("no Job with args")?.iter().filter_map(Value::as_str).collect();
    operator::print_as(&cluster.kubeconfig_of("hostport-cleanup"), &words).await?;

    let claims: Api<HostPortClaim> = Api::namespaced(cluster.client().await?, "default");
    let left = claims.get("web").await?.metadata.finalizers.unwrap_or_default();
    ensure!(left == ["example.com/theirs"], "{left:?}");
    let (used, refused) = audited(&cluster)?;
    let granted = granted(&cluster, &["hostport-cleanup"]).await?;
    ensure!(
        refused.is_empty() && used == granted,
        "granted {granted:#?}, used {used:#?}, refused {refused:#?}"
    );
    Ok(())
}
