//! The end check: everything is read, and every sentence that must hold of it is tried. What does not hold is told in
//! words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use crds::{ClaimPhase, HostPort, HostPortClaim, HostPortClass, HostPortPhase};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::world::port_of;

/// How long after its time a port may still be on its way back.
const GRACE: Duration = Duration::from_secs(20);

/// All there is of ours.
pub(super) struct Ledger {
    pub(super) claims: Vec<HostPortClaim>,
    pub(super) hostports: Vec<HostPort>,
    classes: Vec<HostPortClass>,
}

/// What must hold at any time, a read for each kind apart.
pub(super) async fn assert_ledger_is_sound(client: Client) -> Result<()> {
    let violations = Ledger::read(client).await?.violations();
    anyhow::ensure!(violations.is_empty(), "the ledger is not sound:\n{}", violations.join("\n"));
    Ok(())
}

impl Ledger {
    pub(super) async fn read(client: Client) -> Result<Ledger> {
        let all = ListParams::default();
        Ok(Ledger {
            claims: Api::all(client.clone()).list(&all).await?.items,
            hostports: Api::all(client.clone()).list(&all).await?.items,
            classes: Api::all(client).list(&all).await?.items,
        })
    }

    /// Namespace and name of the claims of a class.
    pub(super) fn claims_of(&self, class: &str) -> BTreeSet<(String, String)> {
        let of_class = |claim: &&HostPortClaim| claim.spec.host_port_class_name.as_deref() == Some(class);
        let name = |claim: &HostPortClaim| (claim.namespace().unwrap_or_default(), claim.name_any());
        self.claims.iter().filter(of_class).map(name).collect()
    }

    /// Grants of which only the first of the two writes has happened.
    pub(super) fn half_done(&self) -> usize {
        let unbound: BTreeSet<_> = self
            .claims
            .iter()
            .filter(|claim| port_of(claim).is_none())
            .filter_map(ResourceExt::uid)
            .collect();
        self.hostports
            .iter()
            .filter(|hostport| holder(hostport).is_some_and(|uid| unbound.contains(uid)))
            .count()
    }

    /// Faults, whenever nobody works on a grant: duplicates, promises without a port, ports without a claim.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let ports: BTreeMap<u16, &HostPort> =
            self.hostports.iter().map(|it| (it.spec.port.get(), it)).collect();
        let mut promised: BTreeMap<u16, String> = BTreeMap::new();
        for claim in self.claims.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
            let name = name_of(claim);
            let Some(status) = claim.status.as_ref().filter(|status| status.phase != ClaimPhase::Pending)
            else {
                continue;
            };
            let Some(port) = port_of(claim) else {
                wrong.push(format!("claim {name} is {:?}, port {:?}", status.phase, status.port));
                continue;
            };
            if let Some(other) = promised.insert(port, name.clone()) {
                wrong.push(format!("I1: port {port} is promised to {other} and to {name}"));
            }
            match ports.get(&port) {
                None => wrong.push(format!("claim {name} is Bound to {port}, there is no such HostPort")),
                Some(hostport) if holder(hostport) != claim.uid().as_deref() => {
                    let whose = &hostport.spec.claim_ref;
                    wrong.push(format!("claim {name} is Bound to {port}, which belongs to {whose:?}"));
                }
                Some(hostport) if hostport.spec.phase != HostPortPhase::Bound => {
                    wrong
                        .push(format!("claim {name} is Bound to {port}, which is {:?}", hostport.spec.phase));
                }
                Some(hostport) if status.host_port_class_name.as_ref() != Some(&hostport.spec.class) => {
                    wrong.push(format!(
                        "claim {name}: class {:?} is not that of {port}",
                        status.host_port_class_name
                    ));
                }
                Some(_) => {}
            }
        }
        let living: BTreeMap<String, &HostPortClaim> =
            self.claims.iter().filter_map(|claim| Some((claim.uid()?, claim))).collect();
        let mut held: BTreeMap<&str, u16> = BTreeMap::new();
        for (port, hostport) in &ports {
            let Some(uid) = holder(hostport) else { continue };
            if let Some(other) = held.insert(uid, *port) {
                wrong.push(format!("I2: claim uid {uid} holds {other} and {port}"));
            }
            let resting = hostport.spec.phase == HostPortPhase::Released;
            match living.get(uid) {
                None if !resting => {
                    wrong.push(format!("leak: the claim of {port} is gone: {:?}", hostport.spec));
                }
                None if overdue(hostport) => {
                    wrong.push(format!("leak: {port} should be free: {:?}", hostport.spec));
                }
                Some(claim) if port_of(claim) != Some(*port) && !resting => {
                    let status = claim.status.as_ref().map(|status| status.phase);
                    wrong.push(format!("leak: {port} is of {}, which is {status:?}", name_of(claim)));
                }
                _ => {}
            }
        }
        wrong
    }

    /// What is not yet as it will be once nothing more happens: ports at rest, claims that could be served, counts.
    pub(super) fn unrest(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for class in &self.classes {
            let name = class.name_any();
            let numbers: BTreeSet<u16> =
                class.spec.pools.iter().flat_map(|pool| pool.start.get()..=pool.end.get()).collect();
            let taken = self.hostports.iter().filter(|it| numbers.contains(&it.spec.port.get())).count();
            let free = (numbers.len() - taken) as i64;
            let waiting: Vec<&HostPortClaim> = (self.claims.iter())
                .filter(|claim| {
                    claim.spec.host_port_class_name.as_ref() == Some(&name) && port_of(claim).is_none()
                })
                .collect();
            if let Some(claim) = waiting.first().filter(|_| free > 0) {
                let status = claim.status.as_ref();
                wrong.push(format!(
                    "stuck: {} claims wait while {free} ports of {name} are free, as {}: {status:?}",
                    waiting.len(),
                    name_of(claim)
                ));
            }
            let of = |phase| {
                let mine = self.hostports.iter().filter(|it| it.spec.class == name && it.spec.phase == phase);
                mine.count() as i64
            };
            let (bound, released) = (of(HostPortPhase::Bound), of(HostPortPhase::Released));
            if released > 0 {
                wrong.push(format!("{released} ports of {name} rest"));
            }
            let status = class.status.clone().unwrap_or_default();
            let told = (status.allocated, status.released, status.free.unwrap_or(-1), status.waiting);
            let are = (bound, released, free, waiting.len() as i64);
            if told != are {
                wrong.push(format!(
                    "class {name} tells (allocated, released, free, waiting) {told:?}, they are {are:?}"
                ));
            }
        }
        wrong
    }
}

fn holder(hostport: &HostPort) -> Option<&str> {
    hostport.spec.claim_ref.as_ref().and_then(|claim| claim.uid.as_deref())
}

fn name_of(claim: &HostPortClaim) -> String {
    format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any())
}

/// Its rest has been over for a while, and nobody is named who keeps it.
fn overdue(hostport: &HostPort) -> bool {
    let spec = &hostport.spec;
    let (Some(released), Some(delay)) = (&spec.released_at, &spec.reuse_delay) else { return true };
    let due = SystemTime::from(released.0) + delay.get() + GRACE;
    spec.held_by.is_none() && due < SystemTime::now()
}
