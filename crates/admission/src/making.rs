//! Makes the claims that a pod's annotations ask for, the only writes of admission. Nothing is written in a dry run.
//!
//! A claim of one pod alone has a random name. It is *given* to the pod that is being admitted, and no other may have
//! it; when this very admission refuses the pod it is given up, and the next pod of the same owner that comes to this
//! process takes it over. Whether somebody else refuses the pod later cannot be known here: then the claim is not
//! adopted, and the controller removes it when no pod with it can be on its way any more.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crds::{
    HostPortClaim, HostPortClaimSpec, Port,
    names::{
        ANNOTATION_GIVEN, ANNOTATION_PREFERRED_PORT, ANNOTATION_SCALED_WITH, LABEL_FOR_OWNER, LABEL_MADE,
        MADE_BY_NAME, MADE_FOR_POD,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, Error, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use parking_lot::{Mutex, MutexGuard};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    annotations::Plan,
    classes::{Classes, exhausted, has_free_ports},
    grants::Asking,
    pod::Pod,
    reads::{ReadError, within},
    refusal::{Fleet, Refusal},
    server::Stop,
    standing::said,
    wishes::{Kind, Make},
};

/// A pod with a claim is on its way no longer than this.
const IN_FLIGHT: Duration = Duration::from_secs(40);
/// A refused owner tries again within this time: the controllers of Kubernetes wait 1,000 s at most.
const NEXT_TRY: Duration = Duration::from_secs(1100);
/// From so many claims for one owner in that time on it is looked whether its pods are stored at all.
const MANY: usize = 16;
/// How much of a pod's name is in that of its claim.
const STEM: usize = 200;

/// Makes claims.
pub(crate) struct Maker {
    client: Client,
    classes: Classes,
    /// What this process did for each owner. A memory only: without it there is more litter, until the controller
    /// has removed it.
    recent: Mutex<HashMap<String, Recent>>,
}

#[derive(Default)]
struct Recent {
    /// When claims were made.
    made: VecDeque<Instant>,
    /// For whom comes next.
    given_up: Vec<GivenUp>,
}

/// A claim of a pod that was refused.
struct GivenUp {
    at: Instant,
    namespace: String,
    claim: Given,
}

/// A claim that is one pod's alone.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    uid: String,
    /// What it was made for.
    spec: HostPortClaimSpec,
    preferred: Option<Port>,
    /// To how many pods it was given before.
    before: u32,
}

/// The claims of one pod that are there now because of it. Those that are the pod's alone are given up when this is
/// dropped, for the next of its owner, unless they are kept.
pub(crate) struct Making<'a> {
    maker: &'a Maker,
    namespace: &'a str,
    owner: String,
    /// Given to this pod by this admission.
    given: Vec<Given>,
    /// Not bound when they were looked at; worth a short wait, for their class has free ports.
    pub(crate) hopeful: bool,
}

impl Making<'_> {
    /// No other pod has this claim, or had it.
    pub(crate) fn gives(&self, claim: &str) -> bool {
        self.given.iter().any(|given| given.name == claim && given.before == 0)
    }

    /// The pod is let through.
    pub(crate) fn keep(mut self) {
        self.given.clear();
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        for claim in self.given.drain(..) {
            self.maker.give_up(&self.owner, self.namespace, claim);
        }
    }
}

impl Maker {
    pub(crate) fn new(client: Client) -> Self {
        Self { classes: Classes::new(client.clone()), client, recent: Mutex::default() }
    }

    /// Where it looks classes up.
    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Sees to it that the claims of the plan are there, and names those that had no name. What was done is in
    /// `making`, also if it fails half-way.
    pub(crate) async fn make(
        &self,
        plan: &mut Plan,
        pod: &Pod,
        asking: Asking<'_>,
        making: &mut Making<'_>,
    ) -> Result<(), Stop> {
        for make in plan.makes.clone() {
            match &make.kind {
                Kind::ByName { .. } => self.by_name(&make, asking, making).await?,
                Kind::ForPod { told_by } => {
                    let claim = self.for_pod(&make, pod, asking, making).await?;
                    plan.name(told_by, &claim);
                }
            }
        }
        Ok(())
    }

    /// For one pod, of which nothing is made yet.
    pub(crate) fn begin<'a>(&'a self, pod: &Pod, user: &str, namespace: &'a str) -> Making<'a> {
        Making { maker: self, namespace, owner: owner_key(pod, user), given: Vec::new(), hopeful: false }
    }

    fn give_up(&self, owner: &str, namespace: &str, claim: Given) {
        let given_up = GivenUp { at: Instant::now(), namespace: namespace.to_owned(), claim };
        self.recent().entry(owner.to_owned()).or_default().given_up.push(given_up);
    }

    /// A claim that stays: made if nobody has made it.
    async fn by_name(&self, make: &Make, asking: Asking<'_>, making: &mut Making<'_>) -> Result<(), Stop> {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), asking.namespace);
        let name = &make.claim;
        let Some(found) = within(format!("HostPortClaim {name:?}"), api.get_opt(name)).await? else {
            let class = self.classes.class_of(asking.namespace, make).await?;
            making.hopeful |= has_free_ports(&class, make.count);
            // If somebody was quicker it is there as well.
            self.create(&api, &claim_of(make, name, None)).await?;
            return Ok(());
        };
        if found.labels().contains_key(LABEL_MADE) && may_be_bound_soon(&found) {
            let class = self.classes.class_of(asking.namespace, make).await?;
            making.hopeful |= has_free_ports(&class, make.count);
        }
        Ok(())
    }

    /// A claim of this pod alone: the one that an earlier call gave it, or one that was given up, or a new one.
    async fn for_pod(
        &self,
        make: &Make,
        pod: &Pod,
        asking: Asking<'_>,
        making: &mut Making<'_>,
    ) -> Result<String, Stop> {
        let api: Api<HostPortClaim> = Api::namespaced(self.client.clone(), asking.namespace);
        if !make.is_unnamed() {
            let name = &make.claim;
            let found = within(format!("HostPortClaim {name:?}"), api.get_opt(name)).await?;
            if found.is_some_and(|claim| is_on_its_way(&claim)) {
                return Ok(make.claim.clone()); // The API server calls again after other webhooks.
            }
        }
        if let Some(claim) = self.take_over(&api, make, making).await? {
            return Ok(claim);
        }
        let class = self.classes.class_of(asking.namespace, make).await?;
        if !has_free_ports(&class, make.count) {
            return Err(exhausted(&class, asking.retries).into());
        }
        self.are_stored(&api, &making.owner).await?;
        making.hopeful = true;
        loop {
            let name = random_name(pod.stem());
            let claim = claim_of(make, &name, Some(&making.owner));
            if let Some(uid) = self.create(&api, &claim).await? {
                self.recent().entry(making.owner.clone()).or_default().made.push_back(Instant::now());
                let (spec, preferred) = (spec_of(make), make.preferred);
                making.given.push(Given { name: name.clone(), uid, spec, preferred, before: 0 });
                return Ok(name);
            }
        }
    }

    /// A claim that was made for a pod of this owner which was then refused. That it is given again is written into it:
    /// the controller, which removes what nobody uses, then waits anew.
    async fn take_over(
        &self,
        api: &Api<HostPortClaim>,
        make: &Make,
        making: &mut Making<'_>,
    ) -> Result<Option<String>, Stop> {
        while let Some(mut given) = self.given_up(making, make) {
            given.before += 1;
            let metadata = json!({
                "uid": given.uid, "annotations": { ANNOTATION_GIVEN: given.before.to_string() },
            });
            let (params, patch) = (PatchParams::default(), Patch::Merge(json!({ "metadata": metadata })));
            let what = format!("HostPortClaim {:?}", given.name);
            match within(what, api.patch(&given.name, &params, &patch)).await {
                Ok(claim) if fits(&claim, make) && is_on_its_way(&claim) => {
                    let name = given.name.clone();
                    making.given.push(given);
                    making.hopeful |= may_be_bound_soon(&claim);
                    return Ok(Some(name));
                }
                Ok(_) => {}
                Err(error) if error.is_code(&[404, 409, 422]) => {}
                Err(error) => {
                    making.given.push(given); // For the next try.
                    return Err(error.into());
                }
            }
        }
        Ok(None)
    }

    /// Of those that were made for the same wish; of two that ask one gets it.
    fn given_up(&self, making: &Making<'_>, make: &Make) -> Option<Given> {
        let (spec, mut recent) = (spec_of(make), self.recent());
        let given_up = &mut recent.get_mut(&making.owner)?.given_up;
        let found = given_up.iter().rposition(|GivenUp { namespace, claim, .. }| {
            namespace == making.namespace && claim.spec == spec && claim.preferred == make.preferred
        })?;
        Some(given_up.swap_remove(found).claim)
    }

    /// An owner whose pods are refused by somebody else tries for ever: that must not leave a claim each time.
    async fn are_stored(&self, api: &Api<HostPortClaim>, owner: &str) -> Result<(), Stop> {
        let made = {
            let mut all = self.recent();
            all.retain(|_, recent| {
                recent.made.retain(|at| at.elapsed() < IN_FLIGHT);
                recent.given_up.retain(|given_up| given_up.at.elapsed() < NEXT_TRY);
                !recent.made.is_empty() || !recent.given_up.is_empty()
            });
            all.get(owner).map_or(0, |recent| recent.made.len())
        };
        // The look costs as much as the owner has pods: rarer and rarer.
        if made < MANY || !made.is_power_of_two() {
            return Ok(());
        }
        let limit = u32::try_from(made).unwrap_or(u32::MAX);
        let params = ListParams::default().labels(&format!("{LABEL_FOR_OWNER}={owner}")).limit(limit);
        let waiting = within("HostPortClaims".to_owned(), api.list_metadata(&params)).await?.items.len();
        match waiting >= made / 2 + MANY / 2 {
            true => Err(Refusal::from(Fleet::NotStored).into()),
            false => Ok(()),
        }
    }

    /// The new claim's uid; nothing if the name is taken.
    async fn create(&self, api: &Api<HostPortClaim>, claim: &HostPortClaim) -> Result<Option<String>, Stop> {
        let name = claim.name_any();
        let what = format!("HostPortClaim {name:?}");
        match within(what, api.create(&PostParams::default(), claim)).await {
            Ok(made) => Ok(Some(made.uid().unwrap_or_default())),
            Err(error) if error.is_code(&[409]) => Ok(None),
            Err(ReadError::Failed { what, source }) => match *source {
                Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
                    let words = status.message.trim_end_matches('.').to_owned();
                    Err(Refusal::from(Fleet::CannotMake { claim: name, words }).into())
                }
                other => Err(ReadError::Failed { what, source: Box::new(other) }.into()),
            },
            Err(slow) => Err(slow.into()),
        }
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<String, Recent>> {
        self.recent.lock()
    }
}

/// Made for a pod that is being admitted, by this call or an earlier one. A stored pod has adopted its claim, so a
/// copy of it gets another.
fn is_on_its_way(claim: &HostPortClaim) -> bool {
    let label = |key: &str| claim.labels().get(key).map(String::as_str);
    label(LABEL_MADE) == Some(MADE_FOR_POD)
        && label(LABEL_FOR_OWNER).is_some()
        && claim.owner_references().is_empty()
        && claim.metadata.deletion_timestamp.is_none()
}

/// It is not bound, and nothing is said against it.
fn may_be_bound_soon(claim: &HostPortClaim) -> bool {
    said(claim).is_none() && claim.ready_reason().is_none_or(|reason| reason == "WaitingForController")
}

/// The claim was made for the same wish.
fn fits(claim: &HostPortClaim, make: &Make) -> bool {
    let preferred = claim.annotations().get(ANNOTATION_PREFERRED_PORT).cloned();
    claim.spec == spec_of(make)
        && preferred == make.preferred.map(|port| port.to_string())
        && claim.metadata.deletion_timestamp.is_none()
}

fn spec_of(make: &Make) -> HostPortClaimSpec {
    HostPortClaimSpec {
        host_port_class_name: make.class.clone(),
        count: make.count,
        ..HostPortClaimSpec::default()
    }
}

/// The claim as it is made; `owner` is whose pods may have it, if it is for one of them alone.
fn claim_of(make: &Make, name: &str, owner: Option<&str>) -> HostPortClaim {
    let mut claim = HostPortClaim::new(name, spec_of(make));
    let mut labels = BTreeMap::new();
    let mut annotations = BTreeMap::new();
    if let Some(port) = make.preferred {
        annotations.insert(ANNOTATION_PREFERRED_PORT.to_owned(), port.to_string());
    }
    match &make.kind {
        Kind::ForPod { .. } => {
            labels.insert(LABEL_MADE.to_owned(), MADE_FOR_POD.to_owned());
            labels.insert(LABEL_FOR_OWNER.to_owned(), owner.unwrap_or_default().to_owned());
        }
        Kind::ByName { deleted_with, scaled_with } => {
            labels.insert(LABEL_MADE.to_owned(), MADE_BY_NAME.to_owned());
            if let Some((set, index)) = scaled_with {
                let place = format!("{}/{}/{index}", set.name, set.uid);
                annotations.insert(ANNOTATION_SCALED_WITH.to_owned(), place);
            }
            claim.metadata.owner_references = deleted_with.as_ref().map(|set| {
                vec![OwnerReference {
                    api_version: set.api_version.clone(),
                    kind: set.kind.clone(),
                    name: set.name.clone(),
                    uid: set.uid.clone(),
                    ..OwnerReference::default()
                }]
            });
        }
    }
    claim.metadata.labels = Some(labels);
    claim.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    claim
}

/// Whose pods are of one kind: the controller's uid; without one, whoever makes pods of that name.
fn owner_key(pod: &Pod, user: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    match pod.controller().filter(|owner| !owner.uid.is_empty() && owner.uid.len() <= 63) {
        Some(owner) if owner.uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            owner.uid.trim_matches('-').to_owned()
        }
        _ => {
            let mut hasher = DefaultHasher::new();
            (user, pod.stem()).hash(&mut hasher);
            format!("pod-{:016x}", hasher.finish())
        }
    }
}

/// `echo-x7k2p`: no vowels, so no words.
fn random_name(stem: &str) -> String {
    const LETTERS: &[u8; 32] = b"bcdfghjklmnpqrstvwxz0123456789bc";
    let mut bits = RandomState::new().hash_one(Instant::now());
    let mut suffix = String::new();
    for _ in 0..6 {
        suffix.push(char::from(LETTERS[(bits % 32) as usize]));
        bits /= 32;
    }
    let end = stem.len().min(STEM);
    let stem = stem.get(..end).unwrap_or_default().trim_end_matches(['-', '.']);
    if stem.is_empty() { format!("pod-{suffix}") } else { format!("{stem}-{suffix}") }
}

#[cfg(test)]
#[path = "making_tests.rs"]
mod tests;
