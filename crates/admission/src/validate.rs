//! I5 on the final object: every number of the node that a pod takes is held by a claim of its own namespace.
//! Pure; what was read comes in.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    Port,
    names::{LABEL_POD_PORT, label_of_claim},
};

use crate::{
    annotations::{Plan, Use},
    grants::Grants,
    mutate::{Target, slots, targets},
    pod::{Carried, List, Place, Pod},
    refusal::Refusal,
    run::Run,
    standing::Holder,
};

/// What a managed namespace demands of a pod beyond its annotations.
#[derive(Debug)]
pub(crate) struct Managed<'a> {
    pub(crate) namespace: &'a str,
    /// Who holds each number of [`unexplained`].
    pub(crate) holders: &'a BTreeMap<Port, Holder>,
}

/// A pod in any namespace carries what its annotations claim, and nothing else under these numbers.
pub(crate) fn annotated(pod: &Pod, plan: &Plan, grants: &Grants<'_>) -> Result<(), Refusal> {
    for target in targets(pod, plan)? {
        let Some(run) = grants.run(&target.used.claim, target.used.index) else { continue };
        let port = target.place.port;
        let expected = i64::from(run.first.get());
        let listens = pod.host_network() || run.is_block();
        let wrong = port.host_port != expected || listens && port.container_port != expected;
        if wrong || !carries_all(pod, &target, run) {
            let (port, claim) = (target.used.port_name.clone(), target.used.claim.clone());
            return Err(Refusal::NotCarried { port, claim, holds: run });
        }
    }
    for (number, claim) in slots(plan, grants) {
        let label = pod.metadata.labels.get(&format!("{LABEL_POD_PORT}{number}"));
        if label.is_none_or(|label| *label != label_of_claim(claim)) {
            return Err(Refusal::NotLabelled { number, claim: claim.to_owned() });
        }
    }
    let claimed = claimed(plan, grants);
    no_number_twice(pod, |number| claimed.contains(&number))
}

/// Beside the named port stand all others of the block, under its protocol.
fn carries_all(pod: &Pod, target: &Target<'_>, run: Run) -> bool {
    let beside = pod.ports().filter(|place| place.beside(&target.place));
    let same = beside.filter(|place| place.port.protocol() == target.place.port.protocol());
    let carried: BTreeSet<i64> = same.map(|place| place.port.host_port).collect();
    run.iter().all(|number| carried.contains(&i64::from(number.get())))
}

/// A managed namespace allows hostNetwork or not: without any port a pod could listen on all of them.
pub(crate) fn host_network(pod: &Pod, namespace: &str, allowed: bool) -> Result<(), Refusal> {
    if pod.host_network() && !allowed {
        return Err(Refusal::HostNetwork { namespace: namespace.to_owned() });
    }
    Ok(())
}

/// The numbers that no claim of the pod's annotations accounts for, in their order in the pod, each once.
pub(crate) fn unexplained(pod: &Pod, plan: &Plan, grants: &Grants<'_>) -> Vec<Port> {
    let mut seen = BTreeSet::new();
    let numbers = unaccounted(pod, plan, grants).into_iter().map(|one| one.number);
    numbers.filter(|number| seen.insert(*number)).filter_map(port).collect()
}

/// A pod in a managed namespace carries only numbers of its namespace's claims, annotated or not.
pub(crate) fn managed(
    pod: &Pod,
    plan: &Plan,
    grants: &Grants<'_>,
    rules: &Managed<'_>,
) -> Result<(), Refusal> {
    for carried in unaccounted(pod, plan, grants) {
        let number = carried.number;
        match port(number).and_then(|port| rules.holders.get(&port)).unwrap_or(&Holder::Nobody) {
            Holder::Claim => {}
            Holder::Terminating(claim) => {
                let place = describe(&carried.place);
                return Err(Refusal::Leaving { number, place, claim: claim.clone() });
            }
            Holder::Nobody => return Err(unclaimed(pod, rules.namespace, carried)),
        }
    }
    no_number_twice(pod, |_| true)
}

/// A node gives one number and protocol to one entry. The API server refuses only some doubles.
fn no_number_twice(pod: &Pod, concerns: impl Fn(i64) -> bool) -> Result<(), Refusal> {
    let mut seen: BTreeMap<(i64, &str), Place<'_>> = BTreeMap::new();
    for Carried { number, place } in pod.carried().filter(|one| concerns(one.number)) {
        let protocol = place.port.protocol();
        if let Some(first) = seen.insert((number, protocol), place) {
            return Err(Refusal::Twice {
                number,
                protocol: protocol.to_owned(),
                first: describe(&first),
                second: describe(&place),
            });
        }
    }
    Ok(())
}

/// What the pod carries beyond its annotations. A dry run on an unbound claim leaves the port's own number
/// standing, which with hostNetwork looks like a port of the node.
fn unaccounted<'a>(pod: &'a Pod, plan: &Plan, grants: &Grants<'_>) -> Vec<Carried<'a>> {
    let claimed = claimed(plan, grants);
    let open = |place: &Place<'_>| {
        let named = |used: &&Use| used.port_name == place.port.name;
        plan.uses.iter().find(named).is_some_and(|used| grants.run(&used.claim, used.index).is_none())
    };
    pod.carried().filter(|one| !claimed.contains(&one.number) && !open(&one.place)).collect()
}

fn claimed(plan: &Plan, grants: &Grants<'_>) -> BTreeSet<i64> {
    let runs = plan.uses.iter().filter_map(|used| grants.run(&used.claim, used.index));
    runs.flat_map(Run::iter).map(|number| i64::from(number.get())).collect()
}

fn unclaimed(pod: &Pod, namespace: &str, Carried { number, place }: Carried<'_>) -> Refusal {
    let advice = if pod.host_network() {
        format!(
            "The pod uses hostNetwork, so every containerPort is a port of the node: remove the entry, or add a \
             claim with port: {number}."
        )
    } else if place.list == List::Init {
        "Remove hostPort: a node maps ports of app containers only.".to_owned()
    } else if place.port.name.is_empty() {
        "Give the port a name and claim it: annotation claim.hostport.io/<port-name>.".to_owned()
    } else {
        format!("Claim it: annotation claim.hostport.io/{}.", place.port.name)
    };
    Refusal::Unclaimed { namespace: namespace.to_owned(), number, place: describe(&place), advice }
}

fn describe(place: &Place<'_>) -> String {
    let container = &place.container.name;
    match place.port.name.as_str() {
        "" => format!("container {container:?}"),
        name => format!("container {container:?}, port {name:?}"),
    }
}

fn port(number: i64) -> Option<Port> {
    Port::new(u16::try_from(number).ok()?)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
