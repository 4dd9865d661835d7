//! From a pod and how its claims stand to the pod with its numbers in it. Pure and idempotent: the API server
//! may call the webhook again after others have changed the pod.

use std::collections::BTreeMap;

use crds::Port;
use serde_json::Value;

use crate::{
    annotations::{Plan, Use, told_before},
    block,
    companion::{self, Companion},
    edit::{self, Edit},
    grants::{Asking, Grants, Unsettled, settle},
    pod::{List, Place, Pod},
    refusal::Refusal,
    run::Run,
    standing::Standings,
};

/// How many names of a pod's ports a sentence lists.
const MOST_NAMES: usize = 10;

/// What becomes of a pod.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It goes on, as it stands here.
    Allow { pod: Value, warnings: Vec<String> },
    /// It is refused.
    Deny(Refusal),
    /// A claim may be bound in a moment: look again, or refuse it so.
    Wait(Refusal),
}

/// A pod whose annotations are understood and whose claimed ports are found; what its claims hold is open.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    raw: &'a Value,
    pod: &'a Pod,
    plan: &'a Plan,
    targets: Vec<Target<'a>>,
}

/// A port and the numbers that it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) run: Run,
    /// The container listens on the granted numbers themselves.
    pub(crate) listens: bool,
}

/// A port that a claim is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) used: &'a Use,
    pub(crate) place: Place<'a>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(raw: &'a Value, pod: &'a Pod, plan: &'a Plan) -> Result<Self, Refusal> {
        let targets = targets(pod, plan)?;
        each_number_once(&targets)?;
        Ok(Self { raw, pod, plan, targets })
    }

    pub(crate) fn decide(&self, standings: &Standings, asking: Asking<'_>) -> Decision {
        let grants = match settle(self.plan, standings, asking) {
            Ok(grants) => grants,
            Err(Unsettled::Final(refusal)) => return Decision::Deny(refusal),
            Err(Unsettled::Waiting(refusal)) => return Decision::Wait(refusal),
        };
        match (self.edits(&grants), self.slots(&grants)) {
            (Err(refusal), _) | (_, Err(refusal)) => Decision::Deny(refusal),
            (Ok(edits), Ok(slots)) => {
                let mut pod = self.raw.clone();
                edit::ports(&mut pod, &edits);
                let told = self.told(&grants);
                edit::annotations(&mut pod, &told);
                edit::variables(&mut pod, &told);
                edit::labels(&mut pod, &slots);
                edit::notes(&mut pod, self.plan.notes(&grants));
                let news = if asking.retries { Vec::new() } else { self.plan.news(&grants) };
                Decision::Allow { pod, warnings: news.into_iter().chain(grants.warnings).collect() }
            }
        }
    }

    /// Of scope Node: the numbers that the pod carries, each with the one claim that it carries it for.
    fn slots(&self, grants: &Grants<'_>) -> Result<BTreeMap<Port, &'a str>, Refusal> {
        let mut slots = BTreeMap::new();
        for (number, claim) in self::slots(self.plan, grants) {
            if let Some(other) = slots.insert(number, claim).filter(|other| *other != claim) {
                let (first, second) = (other.to_owned(), claim.to_owned());
                return Err(Refusal::SameNumber { number, first, second });
            }
        }
        Ok(slots)
    }

    fn edits(&self, grants: &Grants<'_>) -> Result<Vec<Edit<'a>>, Refusal> {
        let granted = |target: &Target<'a>| {
            let run = grants.run(&target.used.claim, target.used.index)?;
            Some(Granted { target: *target, run, listens: self.listens(target.used, run) })
        };
        let granted: Vec<_> = self.targets.iter().filter_map(granted).collect();
        let mut edits = Vec::new();
        for one in &granted {
            edits.push(self.set(one, one.target.place)?);
        }
        for (one, companion) in companion::all(self.pod, self.plan, &granted) {
            edits.push(match companion {
                Companion::Existing(place) => self.set(one, place)?,
                Companion::New { name, protocol } => Edit::Add { beside: one.target.place, name, protocol },
            });
        }
        for one in granted.iter().filter(|one| one.run.is_block()) {
            let told = told_before(&self.pod.metadata.annotations, &one.target.used.port_name);
            edits.extend(block::edits(self.pod, one, told));
        }
        // Last, and from the end on: the places of the others stay as they are.
        edits.sort_by_key(|edit| match edit {
            Edit::Remove { place } => usize::MAX - place.entry,
            _ => 0,
        });
        Ok(edits)
    }

    fn set(&self, granted: &Granted<'a>, place: Place<'a>) -> Result<Edit<'a>, Refusal> {
        let number = granted.run.first;
        if !self.pod.host_network() {
            self.not_hand_written(granted.target.used, place, granted.run)?;
        }
        Ok(Edit::Set { place, host_port: number, container_port: granted.listens.then_some(number) })
    }

    /// Whether the container listens on the granted number itself.
    fn listens(&self, used: &Use, run: Run) -> bool {
        self.pod.host_network() || used.passthrough || run.is_block()
    }

    /// A copied pod carries the number that its origin was told, and the annotation that told it. With
    /// hostNetwork the API server has written hostPort itself before we see it.
    fn not_hand_written(&self, used: &Use, place: Place<'_>, run: Run) -> Result<(), Refusal> {
        let says = place.port.host_port;
        let copied = told_before(&self.pod.metadata.annotations, &used.port_name);
        if says == 0
            || says == i64::from(run.first.get())
            || copied.is_some_and(|old| i64::from(old.get()) == says)
        {
            return Ok(());
        }
        let port = if place.port.name.is_empty() { &used.port_name } else { &place.port.name };
        Err(Refusal::HandWritten { port: port.clone(), says, claim: used.claim.clone(), holds: run })
    }

    fn told(&self, grants: &Grants<'_>) -> BTreeMap<&'a str, Run> {
        self.plan.told().filter_map(|told| Some((told.name, grants.run(told.claim, told.index)?))).collect()
    }
}

/// Of scope Node: the numbers that a pod of the plan carries, with the claims that it carries them for.
pub(crate) fn slots<'a>(plan: &'a Plan, grants: &Grants<'_>) -> impl Iterator<Item = (Port, &'a str)> {
    plan.uses.iter().filter_map(|used| {
        let run = grants.run(&used.claim, used.index).filter(|run| run.is_slot())?;
        Some((run.first, used.claim.as_str()))
    })
}

/// The one port of the pod that each claim annotation means.
pub(crate) fn targets<'a>(pod: &'a Pod, plan: &'a Plan) -> Result<Vec<Target<'a>>, Refusal> {
    plan.uses.iter().map(|used| target(pod, used)).collect()
}

fn target<'a>(pod: &'a Pod, used: &'a Use) -> Result<Target<'a>, Refusal> {
    let place = find(pod, used)?;
    let protocol = place.port.protocol();
    if used.tcp_udp && companion::other(protocol).is_none() {
        return Err(Refusal::NotTcpOrUdp { name: used.port_name.clone(), protocol: protocol.to_owned() });
    }
    Ok(Target { used, place })
}

/// A node gives a number once for each protocol. The API server would say "Duplicate value", and not of what.
fn each_number_once(targets: &[Target<'_>]) -> Result<(), Refusal> {
    let mut seen = BTreeMap::new();
    for Target { used, place } in targets {
        let protocol = place.port.protocol();
        if let Some(first) = seen.insert((&used.claim, used.index, protocol), &used.port_name) {
            return Err(Refusal::SharedClaim {
                claim: used.claim.clone(),
                protocol: protocol.to_owned(),
                first: first.clone(),
                second: used.port_name.clone(),
            });
        }
    }
    Ok(())
}

/// A node maps ports of app containers only; with hostNetwork every container listens on the node.
fn find<'a>(pod: &'a Pod, used: &Use) -> Result<Place<'a>, Refusal> {
    let Use { key, port_name: name, .. } = used;
    let named = || pod.ports().filter(|place| place.port.name == *name && !name.is_empty());
    let mut usable = named().filter(|place| pod.host_network() || place.list == List::App);
    match (usable.next(), usable.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => Err(Refusal::AmbiguousPort {
            name: name.clone(),
            key: key.clone(),
            first: first.container.name.clone(),
            second: second.container.name.clone(),
        }),
        (None, _) => Err(match named().next() {
            Some(place) => Refusal::OnSidecar { port: name.clone(), container: place.container.name.clone() },
            None => Refusal::UnknownPort { key: key.clone(), there: names(pod) },
        }),
    }
}

fn names(pod: &Pod) -> String {
    let mut names: Vec<_> =
        pod.ports().map(|place| place.port.name.as_str()).filter(|name| !name.is_empty()).collect();
    names.dedup();
    if names.is_empty() {
        return "none has a name".to_owned();
    }
    let more = if names.len() > MOST_NAMES { " and more" } else { "" };
    names.truncate(MOST_NAMES);
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
#[path = "mutate_tests.rs"]
mod tests;
