//! Why a pod is refused, in the words that its author reads. Each sentence ends in what to do. It names objects
//! of the pod's own namespace only and carries no number that moves by itself (I9): controllers put it in events.

mod fleets;

use crds::Port;

pub(crate) use self::fleets::Fleet;
use crate::{run::Run, standing::Outlook};

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "annotation {key} is not supported by this version of hostport, and it ignores none of its annotations. \
         {meant}Remove the annotation, correct it, or ask the administrator to upgrade hostport.",
        key = short(key), meant = meant.as_ref().map(|it| format!("Did you mean {}? ", short(it))).unwrap_or_default()
    )]
    UnknownAnnotation { key: String, meant: Option<String> },

    #[error(
        "annotation {key} has a longer name than Kubernetes allows: at most 63 characters may stand behind the slash. \
         Shorten it.",
        key = short(key)
    )]
    LongAnnotation { key: String },

    #[error(transparent)]
    Fleet(#[from] Fleet),

    #[error(
        "claims {first:?} and {second:?} both hold {number}, each another slot of it, and a pod has a number once. Let both \
         ports name one claim."
    )]
    SameNumber { number: Port, first: String, second: String },

    #[error(
        "ports {first:?} and {second:?} both are {protocol} and both name claim {claim:?}, whose number a node gives out \
         once for each protocol. Let each name a claim of its own."
    )]
    SharedClaim { claim: String, protocol: String, first: String, second: String },

    #[error(
        "annotation {key} asks for number {index} of claim {claim:?}, which holds {holds}; the first is 0. Correct \
         the index, or leave \"/{index}\" out for all of them.",
        key = short(key)
    )]
    NoSuchMember { key: String, claim: String, index: u16, holds: Run },

    #[error(
        "annotation {key} says {value:?}, which is not the name of a HostPortClaim. Name a claim of this \
         namespace (kubectl get hpc).",
        key = short(key), value = short(value)
    )]
    ClaimName { key: String, value: String },

    #[error(
        "annotation {key:?} has a name that no environment variable can be made of. Use letters, digits, \"-\" \
         and \"_\".",
        key = short(key)
    )]
    RefName { key: String },

    #[error(
        "annotation {key} has the option {option:?}; this version of hostport knows Passthrough and TCPUDP. \
         Correct or remove it.",
        key = short(key), option = short(option)
    )]
    UnknownOption { key: String, option: String },

    #[error(
        "annotation options.hostport.io/{name} has no claim beside it. Add annotation claim.hostport.io/{name}, \
         or remove the options.",
        name = short(name)
    )]
    OptionsWithoutClaim { name: String },

    #[error("annotations {first} and {second} both set the variable {variable}. Rename one of them.")]
    SameVariable { first: String, second: String, variable: String },

    #[error("the request names no namespace. Create the pod in one.")]
    NoNamespace,

    #[error("its annotations name more than {limit} claims. Split the pod.")]
    TooManyClaims { limit: usize },

    #[error(
        "annotation {key} names a port that no container of the pod has (there are: {there}). \
         Give the container's port that name, or correct the annotation.",
        key = short(key)
    )]
    UnknownPort { key: String, there: String },

    #[error(
        "port {name:?} is on containers {first:?} and {second:?}, and annotation {key} may mean either. \
         Rename one of the ports."
    )]
    AmbiguousPort { name: String, key: String, first: String, second: String },

    #[error(
        "port {port:?} is on init/sidecar container {container:?}; a node maps ports of app containers only. \
         Declare the same containerPort on an app container, they share the network."
    )]
    OnSidecar { port: String, container: String },

    #[error(
        "annotation options.hostport.io/{name} says TCPUDP, but port {name:?} is {protocol}. TCPUDP is for TCP and \
         UDP ports: remove the option, or change the protocol."
    )]
    NotTcpOrUdp { name: String, protocol: String },

    #[error(
        "port {port:?} says hostPort {says}, claim {claim:?} holds {holds}. Remove hostPort from the pod, or claim \
         {says}."
    )]
    HandWritten { port: String, says: i64, claim: String, holds: Run },

    #[error(
        "annotation {key} names HostPortClaim {claim:?}, which does not exist in namespace {namespace:?} ({there}). \
         Apply the claim before the pod."
    )]
    Absent { key: String, claim: String, namespace: String, there: String },

    #[error(
        "claim {claim:?} is being deleted: pods that have its port keep it, new ones are refused. Name another \
         claim, or create this one again once it is gone."
    )]
    Terminating { claim: String },

    #[error("claim {claim:?} is not Bound: {reason}, {detail}. {advice}")]
    Unbound { claim: String, reason: String, detail: String, advice: String },

    #[error(
        "claim {claim:?} says port {says}, but HostPort {says} does not belong to it. The controller settles that \
         by itself; \"kubectl describe hpc {claim}\" tells how it ended."
    )]
    Disproved { claim: String, says: Port },

    #[error(
        "port {port:?} does not carry port {holds} of claim {claim:?}: another webhook changed it, or \
         pods.hostport.io has not seen the pod. Create the pod again; if that does not help, ask the administrator \
         for the order of the webhooks."
    )]
    NotCarried { port: String, claim: String, holds: Run },

    #[error(
        "label hostport.io/port-{number} does not say that the pod is of claim {claim:?}: another webhook changed it, or \
         pods.hostport.io has not seen the pod. Create the pod again; if that does not help, ask the administrator for \
         the order of the webhooks."
    )]
    NotLabelled { number: Port, claim: String },

    #[error(
        "claim {claim:?} already has a live pod, {pod:?}. In a class of scope Node a claim serves one pod: use \
         class.hostport.io/{port} for one claim per pod, or strategy Recreate."
    )]
    Serving { claim: String, pod: String, port: String },

    #[error(
        "port {number}/{protocol} is in the pod twice, {first} and {second}, and a node gives it out once. Remove \
         one of them, or give it a claim of its own."
    )]
    Twice { number: i64, protocol: String, first: String, second: String },

    #[error(
        "namespace {namespace:?} is managed by hostport and no claim of it holds port {number} ({place}). {advice}"
    )]
    Unclaimed { namespace: String, number: i64, place: String, advice: String },

    #[error(
        "port {number} ({place}) belongs to claim {claim:?}, which is being deleted: pods that have the port keep \
         it, new ones are refused. Remove the port from the pod, or create the claim again once it is gone."
    )]
    Leaving { number: i64, place: String, claim: String },

    #[error(
        "namespace {namespace:?} is managed by hostport and does not allow hostNetwork, with which a pod can listen \
         on every port of its node. Remove hostNetwork, or ask the administrator for the label \
         hostport.io/allow-host-network: \"true\" on the namespace."
    )]
    HostNetwork { namespace: String },
}

impl Refusal {
    /// A claim without a port. `retries`: whoever creates the pod tries again by itself.
    pub(crate) fn unbound(claim: &str, outlook: Outlook, reason: &str, message: &str, retries: bool) -> Self {
        let advice = match (outlook, retries) {
            (Outlook::Never, _) => format!("\"kubectl describe hpc {claim}\" tells what to do."),
            (_, true) => {
                "Nothing to do here: the workload retries by itself; \"kubectl rollout restart\" makes \
                          it retry now."
                    .to_owned()
            }
            (_, false) => format!("Create the pod again when \"kubectl get hpc {claim}\" says Bound."),
        };
        Refusal::Unbound {
            claim: claim.to_owned(),
            reason: reason.to_owned(),
            detail: detail(message),
            advice,
        }
    }

    /// A claim that does not exist. `others`: names of claims that do; `more`: there are, or may be, others.
    pub(crate) fn absent(key: String, claim: &str, namespace: &str, others: &[String], more: bool) -> Self {
        let there = match (others.join(", "), more) {
            (names, false) if names.is_empty() => "it has no claims".to_owned(),
            (names, true) if names.is_empty() => "kubectl get hpc lists its claims".to_owned(),
            (names, false) => format!("there are: {names}"),
            (names, true) => format!("there are: {names} and more"),
        };
        Refusal::Absent { key, claim: claim.to_owned(), namespace: namespace.to_owned(), there }
    }
}

/// What a sentence quotes of a text that somebody else wrote: enough to find it again.
fn short(text: &str) -> String {
    const LONGEST: usize = 100;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// The first sentence of a condition's message, to go on with behind a comma.
fn detail(message: &str) -> String {
    let first = message.split_once(". ").map_or(message, |(first, _)| first).trim_end_matches('.');
    let word = first.split(' ').next().unwrap_or_default();
    let is_name = word.chars().skip(1).any(char::is_uppercase);
    let mut rest = first.chars();
    match rest.next() {
        Some(start) if !is_name => start.to_lowercase().chain(rest).collect(),
        _ => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unbound_claim_is_told_with_its_reason_and_what_to_do() {
        let message = "No 100 consecutive free ports in class \"media\" (5060-5065,20000-20599). The claim binds \
                       by itself when such a run is free.";
        let say = |outlook, retries| {
            Refusal::unbound("rtp-6", outlook, "PoolExhausted", message, retries).to_string()
        };

        assert_eq!(
            say(Outlook::Later, true),
            "claim \"rtp-6\" is not Bound: PoolExhausted, no 100 consecutive free ports in class \"media\" \
             (5060-5065,20000-20599). Nothing to do here: the workload retries by itself; \"kubectl rollout \
             restart\" makes it retry now."
        );
        assert!(
            say(Outlook::Later, false)
                .ends_with("Create the pod again when \"kubectl get hpc rtp-6\" says Bound.")
        );
        assert!(say(Outlook::Never, true).ends_with("\"kubectl describe hpc rtp-6\" tells what to do."));
    }

    #[test]
    fn a_name_at_the_start_of_a_message_keeps_its_capital() {
        assert_eq!(detail("HostPort 9000 was removed. Do this."), "HostPort 9000 was removed");
        assert_eq!(
            detail("Port 9000 is held by claim \"a.b\" here."),
            "port 9000 is held by claim \"a.b\" here"
        );
        assert_eq!(detail(""), "");
    }

    #[test]
    fn an_absent_claim_is_told_with_those_that_exist() {
        let say = |others: &[&str], more| {
            let others: Vec<_> = others.iter().map(|name| (*name).to_owned()).collect();
            Refusal::absent("claim.hostport.io/web".into(), "web", "shop", &others, more).to_string()
        };

        assert_eq!(
            say(&["staging-web"], false),
            "annotation claim.hostport.io/web names HostPortClaim \"web\", which does not exist in namespace \
             \"shop\" (there are: staging-web). Apply the claim before the pod."
        );
        assert!(say(&["a", "b", "c"], true).contains("(there are: a, b, c and more)"));
        assert!(say(&[], false).contains("(it has no claims)"));
    }

    #[test]
    fn a_long_text_is_quoted_in_part() {
        let refusal =
            Refusal::UnknownAnnotation { key: format!("hostport.io/{}", "ä".repeat(5000)), meant: None };

        assert!(refusal.to_string().chars().count() < 350);
    }
}
