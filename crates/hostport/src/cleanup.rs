//! `hostport cleanup`: takes our finalizer off all claims, before hostport leaves a cluster. Nothing else of them is
//! changed, and nothing is deleted.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, bail};
use crds::{HostPortClaim, names::FINALIZER_CLAIM_PROTECTION};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, Error, ResourceExt,
    api::{ListParams, ObjectMeta, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{cli::CleanupOptions, definitions, election};

/// Claims of one page of a listing, and how many are patched at once.
const PAGE: u32 = 500;
const AT_ONCE: usize = 16;
/// A claim that is clean must stay so for this time: a controller that led a moment ago may still be at work.
const CALM: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);
/// For how long controllers stand by afterwards: time enough to delete them, and not long for those of a new
/// installation.
const STAND_BY: Duration = Duration::from_secs(60);

pub(crate) async fn run(options: CleanupOptions) -> anyhow::Result<()> {
    let config = crate::cluster::config().await?;
    let client = Client::try_from(config).context("connect to the cluster")?;
    let mut done = BTreeSet::new();
    match timeout(options.timeout, clean(&client, &options.namespace, &mut done)).await {
        Ok(cleaned) => cleaned?,
        Err(_) => bail!(
            "not finished after {} s: the finalizer was taken off {}, but others have it still or have it again. Is a \
             controller running that does not stand by (hostport dev, or without --leader-elect)? End it, then run this \
             again.",
            options.timeout.as_secs(),
            claims(done.len())
        ),
    }
    let text = match done.len() {
        0 => "No claim has the finalizer: there is nothing to do.\n".to_owned(),
        number => format!(
            "Took the finalizer {FINALIZER_CLAIM_PROTECTION} off {}. Claims, ports and pods stay as they are.\n",
            claims(number)
        ),
    };
    definitions::say(&text)
}

fn claims(number: usize) -> String {
    match number {
        1 => "1 claim".to_owned(),
        number => format!("{number} claims"),
    }
}

/// Until no claim has the finalizer, and stays so. Names those that had it in `done`.
async fn clean(
    client: &Client,
    namespace: &str,
    done: &mut BTreeSet<(String, String)>,
) -> anyhow::Result<()> {
    hold_lease(client, namespace).await;
    let hold_on = async {
        loop {
            sleep(STAND_BY / 3).await;
            hold_lease(client, namespace).await;
        }
    };
    tokio::select! {
        cleaned = strip_all(client, done) => cleaned,
        never = hold_on => never,
    }
}

/// Has controllers stand by from now on.
async fn hold_lease(client: &Client, namespace: &str) {
    if let Err(error) = election::take_away(client, namespace, STAND_BY).await {
        eprintln!(
            "hostport: the Lease cannot be taken ({error}); a controller that runs may put the finalizer back"
        );
    }
}

async fn strip_all(client: &Client, done: &mut BTreeSet<(String, String)>) -> anyhow::Result<()> {
    let mut calm_since = Instant::now();
    while calm_since.elapsed() < CALM {
        let protected = protected(client).await.context("list the claims")?;
        if !protected.is_empty() {
            let strip = stream::iter(protected.into_iter().map(|claim| strip(client, claim)));
            let stripped: Vec<_> = strip.buffer_unordered(AT_ONCE).try_collect().await?;
            done.extend(stripped.into_iter().flatten());
            calm_since = Instant::now();
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Claims with our finalizer.
async fn protected(client: &Client) -> Result<Vec<ObjectMeta>, Error> {
    let api = Api::<HostPortClaim>::all(client.clone());
    let mut params = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = match api.list_metadata(&params).await {
            // Without definitions there are no claims.
            Err(Error::Api(status)) if status.code == 404 => return Ok(found),
            page => page?,
        };
        let ours = page.items.into_iter().filter(|claim| {
            claim.finalizers().iter().any(|finalizer| finalizer == FINALIZER_CLAIM_PROTECTION)
        });
        found.extend(ours.map(|claim| claim.metadata));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Namespace and name, if it was done; a claim that has changed meanwhile is met again.
async fn strip(client: &Client, claim: ObjectMeta) -> anyhow::Result<Option<(String, String)>> {
    let (namespace, name) = (claim.namespace.unwrap_or_default(), claim.name.unwrap_or_default());
    let mut finalizers = claim.finalizers.unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER_CLAIM_PROTECTION);
    let patch = json!({ "metadata": {
        "uid": claim.uid, "resourceVersion": claim.resource_version, "finalizers": finalizers,
    } });
    let api = Api::<HostPortClaim>::namespaced(client.clone(), &namespace);
    match api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(Some((namespace, name))),
        Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("take the finalizer off claim {namespace}/{name}")),
    }
}
