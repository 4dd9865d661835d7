//! From API objects to what the core knows. Parsed once, here: an object that makes no sense is left out with a word
//! in the log.

use std::sync::Arc;

use allocator::{Port, PortRange, Scope, Spot};
use crds::{
    HostPortClass, ReuseDelay,
    names::{
        ANNOTATION_DEFAULT_CLASS, ANNOTATION_ENABLED_OWN, ANNOTATION_OWN, ANNOTATION_PREFERRED_PORT,
        ANNOTATION_SCALED_WITH, LABEL_MADE, LABEL_POD_PORT, MADE_BY_NAME, MADE_FOR_POD, QUOTA_PORTS,
        is_object_name,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition as ApiCondition, ObjectMeta, OwnerReference, Time,
};
use kube::core::Selector;

use super::slim::{
    self, SlimHostPort, SlimHostPortClaim, SlimNamespace, SlimPod, SlimResourceQuota, SlimService,
    SlimStatefulSet,
};
use crate::{
    action::Outcome,
    seen::{
        Admits, Claim, Class, Holder, HostPort, Key, Made, Namespace, Ordinal, Own, Owner, Pod, Quota, Ready,
        Run, Service, Truth, Version,
    },
    text::{UNLIMITED, claim_digest, class_digest},
};

/// Why an object cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Senseless {
    #[error("metadata.{0} is missing")]
    Missing(&'static str),
    #[error("resourceVersion {0:?} is not a number (KEP-5504)")]
    Version(String),
    #[error("{0} is not a port number")]
    Port(i64),
}

fn version(meta: &ObjectMeta) -> Result<Version, Senseless> {
    let text = meta.resource_version.as_deref().ok_or(Senseless::Missing("resourceVersion"))?;
    text.parse().map(Version).map_err(|_| Senseless::Version(text.to_owned()))
}

fn key(meta: &ObjectMeta) -> Result<Key, Senseless> {
    let namespace = meta.namespace.as_deref().ok_or(Senseless::Missing("namespace"))?;
    Ok(Key::new(namespace, meta.name.as_deref().ok_or(Senseless::Missing("name"))?))
}

fn uid(meta: &ObjectMeta) -> Result<Arc<str>, Senseless> {
    meta.uid.as_deref().map(Into::into).ok_or(Senseless::Missing("uid"))
}

fn port(number: i64) -> Result<Port, Senseless> {
    Port::try_from(number).map_err(|_| Senseless::Port(number))
}

fn seconds(time: Option<&Time>) -> i64 {
    time.map_or(0, |time| time.0.as_second())
}

fn truth(status: &str) -> Truth {
    match status {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    }
}

impl TryFrom<SlimHostPortClaim> for Claim {
    type Error = Senseless;

    fn try_from(claim: SlimHostPortClaim) -> Result<Self, Senseless> {
        let SlimHostPortClaim { metadata: meta, spec, status } = claim;
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        let ready =
            ready.map(|it| Ready { status: truth(&it.status), since: it.last_transition_time.0.as_second() });
        // A status with a number that is none was written by someone else; as none, it is written anew.
        let named = status.port.and_then(|number| port(number).ok());
        let spot = status.host_port_name.as_deref().and_then(|name| name.parse::<Spot>().ok());
        let slot = spot.filter(|spot| Some(spot.port()) == named).and_then(Spot::slot);
        let status_digest = claim_digest(
            status.observed_generation,
            status.phase,
            status.host_port_class_name.as_deref(),
            named.map(|first| Run { first, count: status.count.unwrap_or(1), slot }),
            status.conditions.iter().map(words),
        );
        Ok(Self {
            key: key(&meta)?,
            uid: uid(&meta)?,
            version: version(&meta)?,
            generation: meta.generation.unwrap_or_default(),
            created: seconds(meta.creation_timestamp.as_ref()),
            preferred: annotation(&meta, ANNOTATION_PREFERRED_PORT).and_then(number_of),
            made: made(&meta).map(Arc::new),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default().into_iter().map(Into::into).collect(),
            class: spec.host_port_class_name.map(Into::into),
            wanted: match (spec.port, &spec.host_port_name) {
                (Some(number), _) => Some(port(number)?),
                (None, name) => name.as_deref().and_then(|name| Some(name.parse::<Spot>().ok()?.port())),
            },
            hostport_name: spec.host_port_name.map(Into::into),
            count: spec.count.unwrap_or(1),
            phase: status.phase,
            port: named,
            slot,
            used_class: status.host_port_class_name.map(Into::into),
            ready,
            status_digest,
        })
    }
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// What admission noted on a claim that it made.
fn made(meta: &ObjectMeta) -> Option<Made> {
    match meta.labels.as_ref()?.get(LABEL_MADE)?.as_str() {
        MADE_FOR_POD => {
            let all = meta.owner_references.as_deref().unwrap_or_default();
            let is_pod = |it: &&OwnerReference| it.kind == "Pod" && it.api_version == "v1";
            let owner =
                |it: &OwnerReference| Owner { name: it.name.as_str().into(), uid: it.uid.as_str().into() };
            let owners: Vec<_> = all.iter().filter(is_pod).map(owner).collect();
            Some(Made::ForPod { foreign: owners.len() < all.len(), owners })
        }
        MADE_BY_NAME => {
            let scaled_with = annotation(meta, ANNOTATION_SCALED_WITH).and_then(ordinal);
            Some(Made::ByName { scaled_with })
        }
        _ => None,
    }
}

/// `<name>/<uid>/<ordinal>`
fn ordinal(text: &str) -> Option<Ordinal> {
    let mut parts = text.split('/');
    let (set, uid, index) = (parts.next()?, parts.next()?, parts.next()?);
    if !is_object_name(set) {
        return None; // Somebody else wrote it; the name goes into the path of a request.
    }
    Some(Ordinal { set: set.into(), uid: uid.into(), index: index.parse().ok()? })
}

/// The number of a HostPort of that name.
fn number_of(name: &str) -> Option<Port> {
    let number = name.parse::<u16>().ok().and_then(Port::new)?;
    (number.to_string() == name).then_some(number)
}

fn words(condition: &slim::Condition) -> (&str, &str, &str, &str) {
    (&condition.kind, &condition.status, &condition.reason, &condition.message)
}

impl TryFrom<SlimHostPort> for HostPort {
    type Error = Senseless;

    fn try_from(hostport: SlimHostPort) -> Result<Self, Senseless> {
        let SlimHostPort { metadata: meta, spec } = hostport;
        let number = port(spec.port)?;
        let (mut holder, mut kept_for) = (None, None);
        if let Some(claim) = spec.claim_ref {
            let key = Key::new(&claim.namespace, &claim.name);
            match claim.uid {
                Some(uid) => holder = Some(Holder { key, uid: uid.into() }),
                None => kept_for = Some(key),
            }
        }
        Ok(Self {
            spot: spec.slot.map_or(port(spec.port)?.into(), |slot| Spot::slot_of(number, slot)),
            uid: uid(&meta)?,
            version: version(&meta)?,
            class: spec.class.into(),
            holder,
            kept_for,
            block: spec.block.map(|block| block.first.get()).and_then(Port::new),
            phase: spec.phase,
            policy: spec.reclaim_policy,
            reuse_delay: spec.reuse_delay.map(ReuseDelay::get),
            released_at: spec.released_at.map(|time| time.0.as_millisecond()),
            held_by: spec.held_by.map(Into::into),
            takeovers: spec.takeovers.unwrap_or_default(),
        })
    }
}

impl TryFrom<SlimNamespace> for Namespace {
    type Error = Senseless;

    fn try_from(namespace: SlimNamespace) -> Result<Self, Senseless> {
        let SlimNamespace { metadata: meta } = namespace;
        let name = meta.name.as_deref().ok_or(Senseless::Missing("name"))?.into();
        Ok(Self { name, labels: meta.labels.unwrap_or_default() })
    }
}

impl TryFrom<SlimResourceQuota> for Quota {
    type Error = Senseless;

    /// As quotas of storage classes: `<class>.hostportclass.hostport.io/ports` among the hard limits.
    fn try_from(quota: SlimResourceQuota) -> Result<Self, Senseless> {
        let limit = |(resource, most): (&String, &slim::Limit)| {
            let class = resource.strip_suffix(QUOTA_PORTS)?;
            Some((class.into(), most.whole()))
        };
        Ok(Self { key: key(&quota.metadata)?, limits: quota.spec.hard.iter().filter_map(limit).collect() })
    }
}

impl TryFrom<SlimPod> for Pod {
    type Error = Senseless;

    fn try_from(pod: SlimPod) -> Result<Self, Senseless> {
        let spec = &pod.spec;
        // With hostNetwork the containerPort is the node's, too. The API server makes both the same, but not of init
        // containers: they may leave the hostPort out, or have two that differ.
        let numbers = |it: &slim::ContainerPort| {
            [Some(it.host_port), spec.host_network.then_some(it.container_port)].into_iter().flatten()
        };
        let containers = spec.containers.iter().chain(&spec.init_containers);
        let ports = containers.flat_map(|container| container.ports.iter().flat_map(numbers));
        let serves = pod.metadata.labels.iter().flatten().filter_map(|(label, claim)| {
            let number = label.strip_prefix(LABEL_POD_PORT)?.parse::<u16>().ok().and_then(Port::new)?;
            Some((number, claim.as_str().into()))
        });
        let claims = pod
            .metadata
            .annotations
            .iter()
            .flatten()
            .filter(|(key, _)| key.starts_with(ANNOTATION_OWN) || key.as_str() == ANNOTATION_ENABLED_OWN);
        let mut claims: Vec<Arc<str>> = claims.map(|(_, claim)| claim.as_str().into()).collect();
        claims.dedup();
        let own = match claims.is_empty() {
            true => None,
            false => Some(Box::new(Own { uid: uid(&pod.metadata)?, claims })),
        };
        let serves = serves.collect();
        Ok(Self { key: key(&pod.metadata)?, ports: distinct(ports), serves, own })
    }
}

impl TryFrom<SlimStatefulSet> for Outcome {
    type Error = Senseless;

    fn try_from(set: SlimStatefulSet) -> Result<Self, Senseless> {
        let SlimStatefulSet { metadata: meta, spec } = set;
        let start = spec.ordinals.unwrap_or_default().start;
        Ok(Outcome::StatefulSet { uid: uid(&meta)?, end: start.saturating_add(spec.replicas.unwrap_or(1)) })
    }
}

impl TryFrom<SlimService> for Service {
    type Error = Senseless;

    fn try_from(service: SlimService) -> Result<Self, Senseless> {
        let ports = service.spec.ports.iter().map(|port| port.node_port);
        let ports = ports.chain([service.spec.health_check_node_port]);
        Ok(Self { key: key(&service.metadata)?, ports: distinct(ports) })
    }
}

fn distinct(numbers: impl Iterator<Item = i64>) -> Box<[Port]> {
    let mut ports: Vec<Port> = numbers.filter_map(|number| Port::try_from(number).ok()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into_boxed_slice()
}

impl TryFrom<HostPortClass> for Class {
    type Error = Senseless;

    fn try_from(class: HostPortClass) -> Result<Self, Senseless> {
        let HostPortClass { metadata: meta, spec, status } = class;
        let status = status.unwrap_or_default();
        let range = |start: crds::Port, end: crds::Port| {
            let (start, end) = (port(start.get().into()).ok()?, port(end.get().into()).ok()?);
            PortRange::new(start, end).ok()
        };
        let pools = spec.pools.iter().filter_map(|pool| range(pool.start, pool.end)).collect();
        let exclude =
            spec.exclude.iter().filter_map(|it| range(it.start, it.end.unwrap_or(it.start))).collect();
        let numbers = [
            status.capacity,
            status.allocated,
            status.released,
            status.foreign,
            status.free.unwrap_or(UNLIMITED),
            status.reserved,
            status.waiting,
        ];
        let words =
            |it: &ApiCondition| (it.type_.clone(), it.status.clone(), it.reason.clone(), it.message.clone());
        let conditions: Vec<_> = status.conditions.iter().map(words).collect();
        let conditions = conditions.iter().map(|it| (&*it.0, &*it.1, &*it.2, &*it.3));
        let band = status.static_band.as_deref();
        let status_digest =
            class_digest(status.observed_generation, (&status.pools, band), numbers, conditions);
        let ready = |it: &ApiCondition| {
            let ready = Ready { status: truth(&it.status), since: it.last_transition_time.0.as_second() };
            (it.type_.as_str().into(), ready)
        };
        let annotations = meta.annotations.as_ref();
        Ok(Self {
            name: meta.name.as_deref().ok_or(Senseless::Missing("name"))?.into(),
            uid: uid(&meta)?,
            version: version(&meta)?,
            generation: meta.generation.unwrap_or_default(),
            created: seconds(meta.creation_timestamp.as_ref()),
            is_default: annotations
                .and_then(|all| all.get(ANNOTATION_DEFAULT_CLASS))
                .is_some_and(|it| it == "true"),
            pools,
            exclude,
            strategy: spec.strategy,
            scope: match spec.scope {
                crds::Scope::Cluster => Scope::Cluster,
                crds::Scope::Node => Scope::Node { most: spec.max_nodes },
            },
            policy: spec.reclaim_policy,
            reuse_delay: spec.reuse_delay.get(),
            allow_reserved: spec.allow_reserved,
            admits: match spec.namespace_selector.map(Selector::try_from) {
                None => Admits::All,
                Some(Ok(selector)) if selector.selects_all() => Admits::All,
                Some(Ok(selector)) => Admits::Matching(selector),
                Some(Err(_)) => Admits::Nobody,
            },
            max_per_namespace: spec.max_per_namespace.map(usize::from),
            max_count: spec.max_count,
            conditions: status.conditions.iter().map(ready).collect(),
            status_digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ports(host_network: bool) -> Vec<u16> {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "sip", "namespace": "voice", "uid": "u", "resourceVersion": "1"},
            "spec": {
                "hostNetwork": host_network,
                "containers": [{"ports": [{"containerPort": 9002, "hostPort": 9002}, {"containerPort": 80}]}],
                "initContainers": [{"ports": [{"containerPort": 9000, "hostPort": 9001}]}],
            },
        });
        let slim: SlimPod = serde_json::from_value(pod).unwrap();
        let Ok(pod) = Pod::try_from(slim) else { panic!("it makes sense") };
        pod.ports.iter().map(|port| port.get()).collect()
    }

    #[test]
    fn a_stateful_set_that_cannot_be_is_none() {
        assert_eq!(&*ordinal("sbc/u1/2").unwrap().set, "sbc");
        for text in ["a b/u/0", "a?x/u/0", "../u/0", "/u/0", "sbc/u/x", "sbc/u"] {
            assert!(ordinal(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_pod_has_its_host_ports() {
        assert_eq!(ports(false), [9001, 9002]);
    }

    #[test]
    fn with_the_nodes_network_it_has_all_that_its_containers_listen_on() {
        assert_eq!(ports(true), [80, 9000, 9001, 9002]);
    }
}
