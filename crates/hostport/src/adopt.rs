//! `hostport adopt`: reads what the proposal needs, and prints it. Nothing is written to the cluster.

mod plan;
#[cfg(test)]
mod tests;

use anyhow::{Context, ensure};
use crds::{HostPortClaim, HostPortClass};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, Pod, Service},
};
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use self::plan::{Scope, Seen};
use crate::{cli::AdoptOptions, cluster};

const PAGE: u32 = 500;

pub(crate) async fn run(options: AdoptOptions) -> anyhow::Result<()> {
    let config = cluster::config().await?;
    let server = config.cluster_url.clone();
    let client = Client::try_from(config).context("connect to the cluster")?;
    adopt(client, options).await.map_err(|error| match error.downcast_ref() {
        None | Some(kube::Error::Api(_)) => error,
        Some(_) => error.context(format!("no answer from the API server at {server}")),
    })
}

async fn adopt(client: Client, options: AdoptOptions) -> anyhow::Result<()> {
    let here = || options.namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let namespace = (!options.all_namespaces).then(here);
    let class = match &options.class {
        Some(name) => {
            let class = Api::<HostPortClass>::all(client.clone()).get_opt(name).await;
            let class = class.with_context(|| format!("read HostPortClass {name}"))?;
            Some(class.with_context(|| format!("there is no HostPortClass {name} (kubectl get hpclass)"))?)
        }
        None => None,
    };
    if let Some(name) = &namespace {
        // Who may not read it lists what is in it, or is told why not.
        let found = Api::<Namespace>::all(client.clone()).get_metadata_opt(name).await;
        ensure!(!matches!(found, Ok(None)), "there is no namespace {name} (kubectl get namespaces)");
    }
    let mut whole = true;
    let only = namespace.as_deref();
    let seen = Seen {
        pods: list::<Pod>(&client, only, &mut whole).await?,
        services: list::<Service>(&client, only, &mut whole).await?,
        claims: list::<HostPortClaim>(&client, only, &mut whole).await?,
        class,
        whole,
    };
    crate::definitions::say(&plan::proposal(&seen, &Scope { namespace })?)
}

/// All objects of the kind in the cluster; of the namespace only, if we may not read more.
async fn list<K>(client: &Client, namespace: Option<&str>, whole: &mut bool) -> anyhow::Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    match (pages(Api::all(client.clone())).await, namespace) {
        (Err(kube::Error::Api(status)), Some(namespace)) if status.code == 403 => {
            *whole = false;
            pages(Api::namespaced(client.clone(), namespace)).await
        }
        (all, _) => all,
    }
    .with_context(|| format!("list {}", K::plural(&())))
}

async fn pages<K>(api: Api<K>) -> kube::Result<Vec<K>>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}
