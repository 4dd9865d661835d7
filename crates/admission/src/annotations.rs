//! A pod's annotations of ours, parsed once into a plan. What this version does not know or support is
//! refused, never ignored: an ignored annotation starts a pod without its port.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    Port,
    names::{
        ANNOTATION_ALLOCATED, ANNOTATION_BASE_PORT, ANNOTATION_CLAIM, ANNOTATION_CLASS, ANNOTATION_COUNT,
        ANNOTATION_ENABLED, ANNOTATION_ENABLED_CLASS, ANNOTATION_ENABLED_OWN, ANNOTATION_OPTIONS,
        ANNOTATION_OWN, ANNOTATION_PORT, ANNOTATION_REF, ANNOTATION_STRATEGY, ANNOTATION_WHEN_DELETED,
        ANNOTATION_WHEN_SCALED, GROUP, is_object_name,
    },
};

use crate::{
    identity::Identity,
    pod::Pod,
    refusal::Refusal,
    wishes::{Ask, Make},
};

/// Annotations that `wishes` reads, or that admission itself has written.
const KNOWN: [&str; 7] = [
    ANNOTATION_ENABLED,
    ANNOTATION_ENABLED_CLASS,
    ANNOTATION_BASE_PORT,
    ANNOTATION_STRATEGY,
    ANNOTATION_ENABLED_OWN,
    ANNOTATION_WHEN_DELETED,
    ANNOTATION_WHEN_SCALED,
];

/// More claims than any pod has ports for; each costs two reads of the API server.
const MAX_CLAIMS: usize = 128;

/// Bytes that the key of an annotation has at most: a DNS subdomain, a slash and a name. The API server holds pods to it
/// only after admission.
const LONGEST_KEY: usize = 253 + 1 + 63;

/// What a pod asks for by its annotations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The ports of the pod that get the number of a claim, by port name.
    pub(crate) uses: Vec<Use>,
    /// The claims whose number the pod is only told, by name.
    pub(crate) refs: Vec<Ref>,
    /// The claims that are made if they are not there.
    pub(crate) makes: Vec<Make>,
}

/// `claim.hostport.io/<port-name>: <claim>`, or `<claim>/<index>`, and the options beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The annotation that asks for it.
    pub(crate) key: String,
    pub(crate) port_name: String,
    pub(crate) claim: String,
    /// One number of the claim's block, by its place; otherwise all of them.
    pub(crate) index: Option<u16>,
    pub(crate) passthrough: bool,
    pub(crate) tcp_udp: bool,
    /// The number is told by `hostport.io/allocated-<port-name>` as well.
    pub(crate) allocated: bool,
}

impl Use {
    pub(crate) fn of(key: &str, port_name: &str, claim: String, index: Option<u16>) -> Self {
        let (key, port_name) = (key.to_owned(), port_name.to_owned());
        Self { key, port_name, claim, index, passthrough: false, tcp_udp: false, allocated: false }
    }
}

/// `ref.hostport.io/<NAME>: <claim>`, or `<claim>/<index>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) name: String,
    pub(crate) claim: String,
    pub(crate) index: Option<u16>,
}

/// One name that a pod is told a number under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    by: By<'a>,
    pub(crate) name: &'a str,
    pub(crate) claim: &'a str,
    pub(crate) index: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
enum By<'a> {
    Use(&'a str),
    Ref,
}

impl Told<'_> {
    /// The annotation that asks for it.
    pub(crate) fn key(&self) -> String {
        match self.by {
            By::Use(key) => key.to_owned(),
            By::Ref => format!("{ANNOTATION_REF}{}", self.name),
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Options {
    passthrough: bool,
    tcp_udp: bool,
}

impl Plan {
    /// What a pod asks for: which of many it is matters, and which ports it has.
    pub(crate) fn of(pod: &Pod) -> Result<Self, Refusal> {
        let annotations = &pod.metadata.annotations;
        let (mut plan, options) = Self::read(annotations, Identity::of(pod))?;
        plan.add_enabled(pod)?;
        plan.set_options(options)?;
        plan.set_retention(pod)?;
        if plan.claimed() > MAX_CLAIMS {
            return Err(Refusal::TooManyClaims { limit: MAX_CLAIMS });
        }
        plan.each_variable_has_one_source()?;
        Ok(plan)
    }

    fn read<'a>(
        annotations: &'a BTreeMap<String, String>,
        identity: Identity<'_>,
    ) -> Result<(Self, BTreeMap<&'a str, Options>), Refusal> {
        let mut plan = Plan::default();
        let mut options = BTreeMap::new();
        let mut asks: BTreeMap<&str, Ask<'_>> = BTreeMap::new();
        for (key, value) in annotations.iter().filter(|(key, _)| is_ours(key)) {
            if key.len() > LONGEST_KEY {
                return Err(Refusal::LongAnnotation { key: key.clone() });
            }
            if let Some(name) = key.strip_prefix(ANNOTATION_CLAIM) {
                let (claim, index) = source(key, &identity.expand(key, value)?)?;
                plan.uses.push(Use::of(key, name, claim, index));
            } else if let Some(name) = key.strip_prefix(ANNOTATION_CLASS) {
                asks.entry(name).or_default().class = Some((key, value));
            } else if let Some(name) = key.strip_prefix(ANNOTATION_COUNT) {
                asks.entry(name).or_default().count = Some((key, value));
            } else if let Some(name) = key.strip_prefix(ANNOTATION_OPTIONS) {
                options.insert(name, parse_options(key, value)?);
            } else if let Some(name) = key.strip_prefix(ANNOTATION_REF) {
                if !is_ref_name(name) {
                    return Err(Refusal::RefName { key: key.clone() });
                }
                let (claim, index) = source(key, &identity.expand(key, value)?)?;
                plan.refs.push(Ref { name: name.to_owned(), claim, index });
            } else if ![ANNOTATION_PORT, ANNOTATION_OWN, ANNOTATION_ALLOCATED]
                .iter()
                .any(|it| key.starts_with(it))
                && !KNOWN.contains(&key.as_str())
            {
                return Err(Refusal::UnknownAnnotation { key: key.clone(), meant: meant(key) });
            }
            // What comes next compares each with each.
            if plan.claimed().max(asks.len()) > MAX_CLAIMS {
                return Err(Refusal::TooManyClaims { limit: MAX_CLAIMS });
            }
        }
        plan.add_makes(asks, annotations)?;
        Ok((plan, options))
    }

    fn set_options(&mut self, mut options: BTreeMap<&str, Options>) -> Result<(), Refusal> {
        for used in &mut self.uses {
            let Options { passthrough, tcp_udp } =
                options.remove(used.port_name.as_str()).unwrap_or_default();
            (used.passthrough, used.tcp_udp) = (passthrough, tcp_udp);
        }
        match options.pop_first() {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::OptionsWithoutClaim { name: name.to_owned() }),
        }
    }

    /// How many names it has for claims.
    fn claimed(&self) -> usize {
        self.uses.len() + self.refs.len()
    }

    /// The claims that the plan names, each once; but those that have no name yet.
    pub(crate) fn claims(&self) -> BTreeSet<&str> {
        self.told().map(|told| told.claim).filter(|claim| is_object_name(claim)).collect()
    }

    /// Whether the claim is one that is made if it is not there.
    pub(crate) fn makes(&self, claim: &str) -> Option<&Make> {
        self.makes.iter().find(|make| make.claim == claim)
    }

    /// Every name that the pod is told a number under, by annotation and by variable.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told<'_>> {
        let uses = self.uses.iter().map(|used| Told {
            by: By::Use(&used.key),
            name: &used.port_name,
            claim: &used.claim,
            index: used.index,
        });
        let refs = self.refs.iter().map(|named| Told {
            by: By::Ref,
            name: &named.name,
            claim: &named.claim,
            index: named.index,
        });
        uses.chain(refs)
    }

    fn each_variable_has_one_source(&self) -> Result<(), Refusal> {
        let mut seen = BTreeMap::new();
        for told in self.told() {
            let variable = variable(told.name);
            if let Some(first) = seen.insert(variable.clone(), told.key()) {
                return Err(Refusal::SameVariable { first, second: told.key(), variable });
            }
        }
        Ok(())
    }
}

/// Whether an annotation is in our domain: `hostport.io/…` or `*.hostport.io/…`. The webhooks' matchConditions
/// ask the same.
pub(crate) fn is_ours(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return false };
    domain.strip_suffix(GROUP).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The annotation that the unknown one differs from by one letter.
fn meant(unknown: &str) -> Option<String> {
    let (_, name) = unknown.split_once('/')?;
    let named = [ANNOTATION_CLAIM, ANNOTATION_CLASS, ANNOTATION_COUNT, ANNOTATION_OPTIONS, ANNOTATION_REF];
    let named = named.into_iter().map(|prefix| format!("{prefix}{name}"));
    let mut all = named.chain(KNOWN.map(str::to_owned));
    all.find(|known| strsim::damerau_levenshtein(known, unknown) == 1)
}

/// The environment variable that tells a container the number: `HOSTPORT_WEB`.
pub(crate) fn variable(name: &str) -> String {
    format!("HOSTPORT_{}", name.to_uppercase().replace(['-', '.'], "_"))
}

/// The number that `port.hostport.io/<name>` says. It may be stale or forged: good for a hint, not for proof.
pub(crate) fn told_before(annotations: &BTreeMap<String, String>, name: &str) -> Option<Port> {
    let told = annotations.get(&format!("{ANNOTATION_PORT}{name}"))?;
    Port::new(told.parse().ok()?)
}

/// `rtp`, or `rtp/3`: a claim, or one number of its block.
fn source(key: &str, value: &str) -> Result<(String, Option<u16>), Refusal> {
    let unknown = |refusal: fn(String, String) -> Refusal| Err(refusal(key.to_owned(), value.to_owned()));
    let (claim, index) = match value.split_once('/') {
        None => (value, None),
        Some((claim, index)) => match index.parse() {
            Ok(place) if is_plain(index) => (claim, Some(place)),
            _ => return unknown(|key, value| Refusal::ClaimName { key, value }),
        },
    };
    match is_object_name(claim) {
        true => Ok((claim.to_owned(), index)),
        false => unknown(|key, value| Refusal::ClaimName { key, value }),
    }
}

/// A number as it is printed: no sign, no leading zero.
fn is_plain(digits: &str) -> bool {
    digits == "0" || !digits.starts_with(['0', '+'])
}

fn parse_options(key: &str, value: &str) -> Result<Options, Refusal> {
    let mut options = Options::default();
    for option in value.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        match option {
            "Passthrough" => options.passthrough = true,
            "TCPUDP" => options.tcp_udp = true,
            _ => return Err(Refusal::UnknownOption { key: key.to_owned(), option: option.to_owned() }),
        }
    }
    Ok(options)
}

/// What may stand behind the slash of an annotation; the API server has not checked it yet.
fn is_ref_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let outer = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= 63 && name.bytes().all(plain) && outer(name.bytes().next()) && outer(name.bytes().last())
}

#[cfg(test)]
#[path = "annotations_tests.rs"]
mod tests;
