//! Pods on their way through admission: what a watch, which may be silent, knows of the claim, or a read of it; then
//! the HostPorts, read live. The validation believes that reading, which may be one that another pod of the claim began
//! up to a second before this one came, or makes a new one. Within 34 s of its creation the pod is stored, or never.
//! What is believed is judged by the very function of `admission`. A pod of a block carries all of its numbers,
//! whose HostPorts are read at one moment, those that say they are of it: it is one LIST.

use allocator::Spot;
use crds::{ClaimRef, HostPortClaimStatus, HostPortSpec};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use reconciler::seen::{Claim, HostPort, Key, Pod, Uid};
use serde_json::json;

use crate::{
    faults::Fault,
    judge::Actor,
    server::{Changed, Server},
    world::World,
};

/// How long a create can be in flight inside the API server, milliseconds.
const IN_FLIGHT: i64 = 34_000;
/// A mutation that takes longer is given up.
const LIMIT: i64 = 8_000;
/// How old the mutation's reading may be that the validation believes (`admission/src/lookup.rs`, `FRESH`).
const FRESH: i64 = 1_000;
/// How old a watch's knowledge of a claim may be: a watch that is silent for longer is begun anew.
const SILENT: i64 = 30_000;

/// A pod whose creation is in flight inside the API server.
#[derive(Clone, Debug)]
pub struct Admission {
    pub pod: Pod,
    /// What the claim's status named.
    pub spots: Box<[Spot]>,
    pub key: Key,
    /// The claim as it was when it was believed.
    pub claim: Uid,
    stage: Stage,
    /// When its reading began. Its creation began then, or up to [`FRESH`] later.
    began: i64,
    /// An administrator has promised that nothing uses the number.
    pub excused: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    ClaimRead(Box<Claim>),
    ClaimKnown(Box<Claim>),
    Mutated,
    Validated,
}

impl World {
    /// A pod of the claim comes to admission: what is known or read of the claim now. The HostPorts are read later.
    pub fn admit(&mut self, name: &str, key: &Key, by_watch: bool) {
        let Some(claim) = self.server.claims.get(key).cloned() else { return };
        let Some(run) = claim.run() else { return };
        let key_of_pod = Key { namespace: key.namespace.clone(), name: name.into() };
        let spots: Box<[Spot]> = run.iter().collect();
        let serves = run.slot.map(|_| (run.first, key.name.clone()));
        let pod = Pod {
            key: key_of_pod,
            ports: spots.iter().map(|spot| spot.port()).collect(),
            serves: serves.into_iter().collect(),
            own: None,
        };
        let coming = |it: &Admission| it.pod.key == pod.key;
        if self.server.pods.contains_key(&pod.key) || self.admissions.iter().any(coming) {
            return;
        }
        self.note(|_| format!("pod {name} of {key}={} comes to admission, port {run}", claim.uid));
        let uid = claim.uid.clone();
        let stage = match by_watch {
            true => Stage::ClaimKnown(Box::new(claim)),
            false => Stage::ClaimRead(Box::new(claim)),
        };
        let (key, began) = (key.clone(), self.server.now);
        self.admissions.push(Admission { pod, spots, key, claim: uid, stage, began, excused: false });
    }

    /// The next step of an admission: the read of the HostPorts, or the validation. A pod that fails is refused.
    pub fn admit_on(&mut self, at: usize) {
        let it = self.admissions[at].clone();
        let ports = &*it.spots;
        let age = self.server.now - it.began;
        let claim = self.server.claims.get(&it.key);
        let hostports = self.server.read(ports);
        let passes = match &it.stage {
            Stage::ClaimRead(_) if age > LIMIT => None,
            Stage::ClaimKnown(_) if age > SILENT => None,
            // In scope Node a claim serves one pod; two that come at once may both pass.
            Stage::ClaimRead(_) | Stage::ClaimKnown(_) if self.server.has_live_pod(&it) => None,
            Stage::ClaimRead(claim) => judge(claim, &hostports, ports),
            // Where the watch and the HostPorts do not agree the claim is read.
            Stage::ClaimKnown(known) => {
                judge(known, &hostports, ports).or_else(|| judge(claim?, &hostports, ports))
            }
            Stage::Mutated if age <= FRESH => {
                if claim.and_then(|claim| judge(claim, &hostports, ports)).is_none() {
                    self.tally.hit(Fault::StaleReading);
                }
                Some(it.claim.clone())
            }
            Stage::Mutated => claim.and_then(|claim| judge(claim, &hostports, ports)),
            Stage::Validated => return,
        };
        self.note(|_| {
            let step = if matches!(it.stage, Stage::Mutated) { "validated" } else { "mutated" };
            format!("pod {} is {}", it.pod.key, if passes.is_some() { step } else { "refused" })
        });
        let Some(uid) = passes else {
            self.tally.hit(Fault::PodRefused);
            self.admissions.swap_remove(at);
            return;
        };
        let stage = match it.stage {
            Stage::Mutated => Stage::Validated,
            // The watch knew of the claim before the pod came.
            Stage::ClaimKnown(_) => {
                self.admissions[at].began = self.server.now;
                Stage::Mutated
            }
            _ => Stage::Mutated,
        };
        (self.admissions[at].claim, self.admissions[at].stage) = (uid, stage);
    }

    /// A validated pod is stored, unless its time is over.
    pub fn store(&mut self, at: usize) {
        if !matches!(self.admissions[at].stage, Stage::Validated) {
            return;
        }
        let it = self.admissions.swap_remove(at);
        if it.began + FRESH + IN_FLIGHT < self.server.now {
            return;
        }
        let lives = |claim: &Claim| claim.uid == it.claim && !claim.deleting;
        if !self.server.claims.get(&it.key).is_some_and(lives) {
            self.tally.hit(Fault::LatePod);
        }
        let pod = it.pod.clone();
        if !pod.serves.is_empty() {
            self.tally.hit(Fault::PodOfSlot);
        }
        if pod.ports.len() > 1 {
            self.tally.hit(Fault::PodOfBlock);
        }
        self.note(|_| format!("pod {} is stored on {:?}", pod.key, pod.ports));
        self.judge.admitted.insert(pod.key.clone(), it);
        self.change(Actor::People, |server| put_pod(server, pod));
    }

    /// A pod of the claim that comes through at once.
    pub fn run_pod(&mut self, name: &str, key: &Key) {
        let at = self.admissions.len();
        self.admit(name, key, false);
        for _ in 0..2 {
            if self.admissions.len() > at {
                self.admit_on(at);
            }
        }
        if self.admissions.len() > at {
            self.store(at);
        }
    }

    /// `kubectl create --dry-run=server`: admission answers, nothing is stored and nothing remembered (I7).
    pub fn dry_run(&mut self, name: &str, key: &Key) {
        let (revision, coming) = (self.server.revision(), self.admissions.len());
        self.admit(name, key, false);
        if self.admissions.len() > coming {
            self.tally.hit(Fault::DryRun);
            self.admit_on(coming);
            self.admissions.truncate(coming);
        }
        if self.server.revision() != revision {
            self.judge.accuse("I7: a dry run left a trace".to_owned());
        }
    }
}

pub fn put_pod(server: &mut Server, pod: Pod) {
    server.pods.insert(pod.key.clone(), pod.clone());
    server.bump();
    server.changes.push(Changed::Pod(None, Some(pod)));
}

impl Server {
    /// The claim of scope Node, for which the pod comes, has one already.
    fn has_live_pod(&self, it: &Admission) -> bool {
        let same = |pod: &Pod| pod.key.namespace == it.key.namespace && pod.serves == it.pod.serves;
        !it.pod.serves.is_empty() && self.pods.values().any(same)
    }

    /// The HostPorts of these names, of a block as one LIST by its first number shows them.
    fn read(&self, spots: &[Spot]) -> Vec<HostPort> {
        let block = spots.first().filter(|_| spots.len() > 1).map(|first| first.port());
        let of_it = |it: &&HostPort| block.is_none() || it.block == block;
        spots.iter().filter_map(|spot| self.hostports.get(spot)).filter(of_it).cloned().collect()
    }
}

/// The claim's uid, if admission believes that it holds these numbers.
fn judge(claim: &Claim, hostports: &[HostPort], spots: &[Spot]) -> Option<Uid> {
    let stored: Vec<_> = hostports.iter().map(stored_hostport).collect();
    let believed = admission::believed(&stored_claim(claim), stored.iter())?;
    let same = usize::from(claim.count) == spots.len()
        && spots.first().map(|it| it.port().get()) == Some(believed.get());
    same.then(|| claim.uid.clone())
}

/// The claim as the API server shows it, with all that admission looks at.
fn stored_claim(claim: &Claim) -> crds::HostPortClaim {
    let mut stored = crds::HostPortClaim::new(&claim.key.name, crds::HostPortClaimSpec::default());
    stored.spec.count = claim.count;
    stored.metadata.namespace = Some(claim.key.namespace.to_string());
    stored.metadata.uid = Some(claim.uid.to_string());
    stored.metadata.deletion_timestamp = claim.deleting.then_some(Time(Timestamp::UNIX_EPOCH));
    let port = claim.port.and_then(|port| crds::Port::new(port.get()));
    let name = claim.run().filter(|run| run.slot.is_some()).and_then(|run| run.member(0));
    let host_port_name = name.map(|spot| spot.to_string());
    stored.status =
        Some(HostPortClaimStatus { phase: claim.phase, port, host_port_name, ..Default::default() });
    stored
}

thread_local! {
    /// What a HostPort's spec has in it if nothing is said.
    static BLANK: HostPortSpec = serde_json::from_value(json!({"port": 1, "class": "none"}))
        .expect("a HostPort has no other fields that must be");
}

/// The HostPort as the API server shows it, with all that admission looks at.
fn stored_hostport(hostport: &HostPort) -> crds::HostPort {
    let claim_ref = hostport.holder.as_ref().map(|holder| ClaimRef {
        namespace: holder.key.namespace.to_string(),
        name: holder.key.name.to_string(),
        uid: Some(holder.uid.to_string()),
    });
    let spec = HostPortSpec {
        port: crds::Port::new(hostport.spot.port().get()).expect("a port is not 0"),
        scope: if hostport.spot.is_whole() { crds::Scope::Cluster } else { crds::Scope::Node },
        slot: hostport.spot.slot(),
        class: hostport.class.to_string(),
        phase: hostport.phase,
        claim_ref,
        ..BLANK.with(Clone::clone)
    };
    crds::HostPort::new(&hostport.spot.to_string(), spec)
}
