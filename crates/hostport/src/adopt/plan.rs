//! Which claims would account for the hostPorts that pods carry already. Pure: objects in, YAML out.

use std::collections::{BTreeMap, BTreeSet};

use crds::{HostPortClaim, HostPortClass};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::json;

/// The annotation by which a kubelet marks the mirror of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// So many names of pods in one comment.
const NAMED: usize = 3;

/// What was read of the cluster.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) pods: Vec<Pod>,
    pub(super) services: Vec<Service>,
    pub(super) claims: Vec<HostPortClaim>,
    /// The class that the claims are to name.
    pub(super) class: Option<HostPortClass>,
    /// All namespaces were read.
    pub(super) whole: bool,
}

/// For which namespaces claims are proposed.
#[derive(Debug)]
pub(super) struct Scope {
    /// `None`: all of them.
    pub(super) namespace: Option<String>,
}

/// One container port with a number of its node.
#[derive(Clone, Debug)]
struct Carried {
    namespace: String,
    pod: String,
    workload: Workload,
    number: u16,
    port_name: Option<String>,
    /// An init or sidecar container: a kubelet maps no ports for it.
    init: bool,
    skipped: bool,
}

/// What made the pod, or the pod itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Workload {
    kind: String,
    name: String,
}

/// The claims as YAML, with comments on who carries the numbers and what stands in the way.
pub(super) fn proposal(seen: &Seen, scope: &Scope) -> anyhow::Result<String> {
    let carried: Vec<Carried> = seen.pods.iter().flat_map(carried).collect();
    let mut wanted: BTreeMap<(&str, u16), Vec<&Carried>> = BTreeMap::new();
    for one in &carried {
        if !one.skipped && scope.includes(&one.namespace) && !accounted(seen, &one.namespace, one.number) {
            wanted.entry((&one.namespace, one.number)).or_default().push(one);
        }
    }
    let place = match &scope.namespace {
        Some(namespace) => format!("in namespace {namespace}"),
        None => "in any namespace".to_owned(),
    };
    let mut text = match wanted.is_empty() {
        true => format!(
            "# Nothing to adopt: {place} a claim accounts for every static hostPort. See that all are Bound: kubectl get hpc\n"
        ),
        false => format!(
            "# Claims for the static hostPorts of live pods {place}. To apply them changes and restarts no pod;\n\
             # a claim is Bound to exactly its number. Read the comments, then pipe this to: kubectl apply -f -\n"
        ),
    };
    if seen.class.is_none() && !wanted.is_empty() {
        text += "# They are for the default class; --class NAME makes them for another. A claim cannot be changed later.\n";
    }
    text += &notes(seen, scope, &carried);
    let mut names: BTreeSet<(String, String)> =
        seen.claims.iter().map(|claim| (claim.namespace().unwrap_or_default(), claim.name_any())).collect();
    for ((namespace, number), carriers) in wanted {
        let name = unique(&mut names, namespace, number, carriers[0]);
        text += "---\n";
        text += &comments(seen, namespace, number, &name, &carriers, &carried);
        let mut claim = json!({
            "apiVersion": "hostport.io/v1alpha1",
            "kind": "HostPortClaim",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"port": number},
        });
        if let Some(class) = &seen.class {
            claim["spec"]["hostPortClassName"] = json!(class.name_any());
        }
        text += &serde_yaml_ng::to_string(&claim)?;
    }
    Ok(text)
}

impl Scope {
    fn includes(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }
}

fn carried(pod: &Pod) -> Vec<Carried> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let Some(spec) = pod.spec.as_ref().filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else {
        return Vec::new();
    };
    let namespace = pod.namespace().unwrap_or_default();
    let skipped = namespace == "kube-system" || pod.annotations().contains_key(MIRROR);
    let inits = spec.init_containers.iter().flatten().map(|container| (container, true));
    let containers = spec.containers.iter().map(|container| (container, false)).chain(inits);
    let ports = containers
        .flat_map(|(container, init)| container.ports.iter().flatten().map(move |port| (port, init)));
    ports
        .filter_map(|(port, init)| {
            Some(Carried {
                namespace: namespace.clone(),
                pod: pod.name_any(),
                workload: workload(pod),
                number: port.host_port.and_then(|number| u16::try_from(number).ok()).filter(|it| *it > 0)?,
                port_name: port.name.clone(),
                init,
                skipped,
            })
        })
        .collect()
}

/// The pod's controller; of a ReplicaSet that a Deployment made, the Deployment.
fn workload(pod: &Pod) -> Workload {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else {
        return Workload { kind: "Pod".to_owned(), name: pod.name_any() };
    };
    let hash = pod.labels().get("pod-template-hash");
    let deployment = hash
        .filter(|_| owner.kind == "ReplicaSet")
        .and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    match deployment {
        Some(name) => Workload { kind: "Deployment".to_owned(), name: name.to_owned() },
        None => Workload { kind: owner.kind.clone(), name: owner.name.clone() },
    }
}

/// A claim of the namespace holds the number, or asks for it.
fn accounted(seen: &Seen, namespace: &str, number: u16) -> bool {
    let living = |claim: &&HostPortClaim| claim.metadata.deletion_timestamp.is_none();
    let here = |claim: &&HostPortClaim| claim.namespace().as_deref() == Some(namespace);
    seen.claims.iter().filter(living).filter(here).any(|claim| covers(claim, number))
}

fn covers(claim: &HostPortClaim, number: u16) -> bool {
    let status = claim.status.as_ref();
    let bound = status.and_then(|status| Some((status.port?.get(), status.count.unwrap_or(1))));
    let named = claim.spec.host_port_name.as_ref().and_then(|name| name.parse().ok());
    let wanted = claim.spec.port.map(crds::Port::get).or(named);
    let run = bound.or_else(|| Some((wanted?, claim.spec.count)));
    run.is_some_and(|(first, count)| number >= first && number - first < count)
}

/// A name that no other claim of the namespace has: of the workload and the port.
fn unique(names: &mut BTreeSet<(String, String)>, namespace: &str, number: u16, carrier: &Carried) -> String {
    let port = carrier.port_name.clone().unwrap_or_else(|| number.to_string());
    // 253 is the most; what is appended below is short. Names of pods and workloads are ASCII.
    let workload: String = carrier.workload.name.chars().take(200).collect();
    let plain = format!("{}-{port}", workload.trim_end_matches(['-', '.']));
    let more = (2..).map(|copy| format!("{plain}-{number}-{copy}"));
    let all = [plain.clone(), format!("{plain}-{number}")].into_iter().chain(more);
    let mut free = all.filter(|name| names.insert((namespace.to_owned(), name.clone())));
    free.next().unwrap_or(plain)
}

fn notes(seen: &Seen, scope: &Scope, carried: &[Carried]) -> String {
    let mut text = String::new();
    let skipped = carried.iter().filter(|one| one.skipped && scope.includes(&one.namespace));
    let skipped: BTreeSet<String> = skipped.map(|one| format!("{}/{}", one.namespace, one.pod)).collect();
    if !skipped.is_empty() {
        let names: Vec<&str> = skipped.iter().map(String::as_str).collect();
        text += &format!(
            "# Left out, for hostport does not look at kube-system and static pods: {}.\n# Keep their numbers out of \
             every class (exclude).\n",
            some(&names)
        );
    }
    if !seen.whole {
        text += "# Other namespaces could not be read, so who else carries a number is not told. Ask the administrator \
                 to run this.\n";
    }
    text
}

fn comments(
    seen: &Seen,
    namespace: &str,
    number: u16,
    name: &str,
    carriers: &[&Carried],
    all: &[Carried],
) -> String {
    let mut text = format!("# Port {number} is carried by\n");
    let mut workloads: BTreeMap<&Workload, Vec<&Carried>> = BTreeMap::new();
    carriers.iter().for_each(|one| workloads.entry(&one.workload).or_default().push(one));
    for (workload, ports) in workloads {
        let pods: BTreeSet<&str> = ports.iter().map(|one| one.pod.as_str()).collect();
        let pods: Vec<&str> = pods.into_iter().collect();
        let (what, template) = match workload.kind.as_str() {
            "Pod" => (format!("pod {}", workload.name), "pod"),
            kind => (format!("{kind} {} (pods {})", workload.name, some(&pods)), "pod template"),
        };
        text += &format!("#   {what}\n");
        let lines: BTreeSet<String> = ports.iter().map(|one| advice(one, name)).collect();
        for line in lines {
            text += &format!("#     annotation of its {template}: {line}\n");
        }
    }
    for conflict in conflicts(seen, namespace, number, all) {
        text += &format!("# CONFLICT: {conflict}.\n");
    }
    if let Some(class) = seen.class.as_ref().filter(|class| !hands_out(class, number)) {
        text += &format!(
            "# Not in class \"{}\": add {number} to its pools, or the claim says PortOutsidePools.\n",
            class.name_any()
        );
    }
    text
}

/// The line that ties the workload to its claim.
fn advice(carried: &Carried, claim: &str) -> String {
    match &carried.port_name {
        _ if carried.init => {
            "none, the port is on an init or sidecar container; declare it on an app container".to_owned()
        }
        Some(port) => format!("{}{port}: {claim}", crds::names::ANNOTATION_CLAIM),
        None => format!("{}<port name>: {claim} (give the port a name first)", crds::names::ANNOTATION_CLAIM),
    }
}

/// Who outside the namespace has the number: as long as that is so the claim stays Pending.
fn conflicts(seen: &Seen, namespace: &str, number: u16, all: &[Carried]) -> Vec<String> {
    let pods = all.iter().filter(|one| one.number == number && one.namespace != namespace);
    let pods: BTreeSet<String> =
        pods.map(|one| format!("{} {}/{}", one.workload.kind, one.namespace, one.workload.name)).collect();
    let pods = pods
        .into_iter()
        .map(|what| format!("{what} carries {number} too; move one of them to another number"));

    let uses = |service: &&Service| {
        let spec = service.spec.iter();
        let mut numbers = spec.flat_map(|spec| {
            let nodes = spec.ports.iter().flatten().filter_map(|port| port.node_port);
            nodes.chain(spec.health_check_node_port)
        });
        numbers.any(|used| used == i32::from(number))
    };
    let services = seen.services.iter().filter(uses).map(|service| {
        let name = format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
        format!("Service {name} has {number} as its nodePort; give the Service another one")
    });

    let held = |claim: &&HostPortClaim| {
        claim.namespace().as_deref() != Some(namespace) && claim.status.is_some() && covers(claim, number)
    };
    let claims = seen.claims.iter().filter(held).map(|claim| {
        let name = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
        format!("HostPortClaim {name} has or wants {number}; move the pods above to another number")
    });
    pods.chain(services).chain(claims).collect()
}

fn hands_out(class: &HostPortClass, number: u16) -> bool {
    let spec = &class.spec;
    let within = |start: u16, end: u16| (start..=end).contains(&number);
    let pools = spec.pools.iter().any(|pool| within(pool.start.get(), pool.end.get()));
    let left_out = spec.exclude.iter().any(|out| within(out.start.get(), out.end.unwrap_or(out.start).get()));
    pools && !left_out
}

/// The first few of them, and how many more there are.
fn some(names: &[&str]) -> String {
    match names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
        None => names.join(", "),
    }
}
