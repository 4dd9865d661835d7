//! The class that a claim is to be made of: whether there is one, whether it is for the namespace, whether it has a
//! free port. Only a hint, the controller decides; but without it a retrying workload would leave claims for nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crds::{HostPortClass, Scope, names::ANNOTATION_DEFAULT_CLASS};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{Selector, SelectorExt},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    reads::within,
    refusal::{Fleet, Refusal},
    server::Stop,
    wishes::Make,
};

/// How old a class with free ports may be: thousands of pods that come at once need not read it each.
const FRESH: Duration = Duration::from_secs(1);

/// Reads classes.
pub(crate) struct Classes {
    client: Client,
    recent: Mutex<HashMap<Wanted, Arc<Recent>>>,
}

/// What was found last, and when that was asked for. Who reads holds it: the others wait for what he finds.
type Recent = tokio::sync::Mutex<Option<(Instant, Vec<HostPortClass>)>>;

/// The class of this name, or if there is none the default classes.
type Wanted = Option<String>;

impl Classes {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, recent: Mutex::default() }
    }

    /// The class of a claim that is to be made, nearly as it is stored.
    pub(crate) async fn class_of(&self, namespace: &str, make: &Make) -> Result<HostPortClass, Stop> {
        let candidates = self.candidates(&make.class, make.count).await?;
        if let Some(name) = make.class.as_ref().filter(|_| candidates.is_empty()) {
            let missing = Fleet::NoClass { key: make.key.clone(), class: name.clone() };
            return Err(Refusal::from(missing).into());
        }
        let labels = match candidates.iter().any(|class| class.spec.namespace_selector.is_some()) {
            true => labels_of(&self.client, namespace).await?,
            false => BTreeMap::new(),
        };
        let mut admitting: Vec<_> = candidates.iter().filter(|class| admits(class, &labels)).collect();
        // The newest, ties by name: as the controller has it.
        admitting.sort_by_key(|class| (class.creation_timestamp(), std::cmp::Reverse(class.name_any())));
        let Some(class) = admitting.pop() else {
            let (key, namespace) = (make.key.clone(), namespace.to_owned());
            let refusal = match candidates.first().filter(|_| make.class.is_some()) {
                Some(class) => Fleet::NotForNamespace { class: class.name_any(), namespace },
                None => Fleet::NoDefaultClass { key, namespace },
            };
            return Err(Refusal::from(refusal).into());
        };
        if make.count > 1 && class.spec.scope == Scope::Node {
            let (key, class, count) = (make.key.clone(), class.name_any(), make.count);
            return Err(Refusal::from(Fleet::NoBlocks { key, class, count }).into());
        }
        if make.count > class.spec.max_count {
            let (key, class, most) = (make.key.clone(), class.name_any(), class.spec.max_count);
            return Err(Refusal::from(Fleet::TooLarge { key, class, count: make.count, most }).into());
        }
        Ok(class.clone())
    }

    /// That there is no such class, no free port, or too few at once, is never said on what was read before.
    async fn candidates(&self, wanted: &Wanted, count: u16) -> Result<Vec<HostPortClass>, Stop> {
        let asked = Instant::now();
        let all = || self.recent.lock();
        let recent = all().entry(wanted.clone()).or_default().clone();
        let mut recent = recent.lock().await;
        let serves = |class: &HostPortClass| count <= class.spec.max_count && has_free_ports(class, count);
        if let Some((at, found)) = &*recent
            && (*at > asked || at.elapsed() < FRESH && !found.is_empty() && found.iter().all(serves))
        {
            return Ok(found.clone());
        }
        let at = Instant::now();
        let api: Api<HostPortClass> = Api::all(self.client.clone());
        let found: Vec<_> = match wanted {
            Some(name) => {
                let found = within(format!("HostPortClass {name:?}"), api.get_opt(name)).await?;
                found.into_iter().collect()
            }
            None => {
                let all = within("HostPortClasses".to_owned(), api.list(&ListParams::default())).await?;
                all.items.into_iter().filter(is_default).collect()
            }
        };
        *recent = Some((at, found.clone()));
        if found.is_empty() {
            all().remove(wanted);
        }
        Ok(found)
    }
}

/// As far as the class's status says. One that the controller has not looked at yet may have any number.
pub(crate) fn has_free_ports(class: &HostPortClass, count: u16) -> bool {
    let status = class.status.as_ref().filter(|status| status.observed_generation >= 0);
    status.and_then(|status| status.free).is_none_or(|free| free >= i64::from(count))
}

/// The refusal of a pod whose class has no free port. `retries`: whoever creates it tries again.
pub(crate) fn exhausted(class: &HostPortClass, retries: bool) -> Refusal {
    let pools = class.status.as_ref().map(|status| status.pools.clone()).unwrap_or_default();
    let advice = match retries {
        true => "The workload tries again by itself.",
        false => "Create the pod again when one is freed.",
    };
    Fleet::Exhausted { class: class.name_any(), pools, advice }.into()
}

fn is_default(class: &HostPortClass) -> bool {
    class.annotations().get(ANNOTATION_DEFAULT_CLASS).is_some_and(|value| value == "true")
}

fn admits(class: &HostPortClass, labels: &BTreeMap<String, String>) -> bool {
    match class.spec.namespace_selector.clone().map(Selector::try_from) {
        None => true,
        Some(Ok(selector)) => selector.matches(labels),
        Some(Err(_)) => false,
    }
}

async fn labels_of(client: &Client, namespace: &str) -> Result<BTreeMap<String, String>, Stop> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = within(format!("namespace {namespace:?}"), api.get_metadata_opt(namespace)).await?;
    Ok(found.map(|found| found.labels().clone()).unwrap_or_default())
}

#[cfg(test)]
#[path = "classes_tests.rs"]
mod tests;
