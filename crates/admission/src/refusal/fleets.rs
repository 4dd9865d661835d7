//! Why a pod of a fleet is refused: names after pods, claims that are made for them.

use super::short;
use crate::run::Run;

/// Why a pod that is one of many from a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fleet {
    #[error(
        "annotation {key} says {value:?}, but the pod has no name yet: its workload lets the API server make it. Use \
         a StatefulSet, or a claim for each pod: class.hostport.io/<port-name> instead of claim.hostport.io.",
        key = short(key), value = short(value)
    )]
    NoPodName { key: String, value: String },

    #[error(
        "annotation {key} says {value:?}, but the pod has no index. Pods of a StatefulSet and of an indexed Job have \
         one; for others use class.hostport.io/<port-name> instead of claim.hostport.io.",
        key = short(key), value = short(value)
    )]
    NoPodIndex { key: String, value: String },

    #[error(
        "annotation {key} says {value:?}; what can stand in the name of a claim is $(POD_NAME) and $(POD_INDEX). \
         Correct it.",
        key = short(key), value = short(value)
    )]
    UnknownVariable { key: String, value: String },

    #[error("annotation {key} says {value:?}, which is not {expected}. Correct it.", key = short(key), value = short(value))]
    Value { key: String, value: String, expected: &'static str },

    #[error("annotation {key} has no {beside} beside it. Add that, or remove {key}.", key = short(key))]
    Alone { key: String, beside: String },

    #[error(
        "annotations {first} and {second} want claim {claim:?} made in two ways. Give both the same class and count, \
         or say it once."
    )]
    TwoWays { claim: String, first: String, second: String },

    #[error(
        "annotation {key} is for pods of a StatefulSet: only these have a place to come back to. Remove it; a claim \
         by class.hostport.io alone goes with its pod."
    )]
    OnlyOfStatefulSets { key: String },

    #[error(
        "a port of container {container:?} has no name, and hostport.io/enabled tells numbers by name. Name it."
    )]
    NamelessPort { container: String },

    #[error(
        "no container of the pod has a port, so hostport.io/enabled has nothing to give it. Declare its ports, or \
         remove the annotation."
    )]
    NoPorts,

    #[error(
        "annotation {key} names HostPortClass {class:?}, which does not exist. \"kubectl get hpclass\" lists those \
         there are."
    )]
    NoClass { key: String, class: String },

    #[error(
        "annotation {key} names no class, and no default class admits namespace {namespace:?}. Name one (kubectl get \
         hpclass), or ask the administrator to make one:\n\
         kubectl apply -f - <<'EOF'\n\
         {{apiVersion: hostport.io/v1alpha1, kind: HostPortClass, metadata: {{name: default, annotations: \
         {{hostportclass.hostport.io/is-default-class: \"true\"}}}}, spec: {{pools: [{{start: 30558, end: 31557}}]}}}}\n\
         EOF"
    )]
    NoDefaultClass { key: String, namespace: String },

    #[error(
        "namespace {namespace:?} may not use class {class:?}. Ask the administrator to label the namespace, or use a \
         class of your own (kubectl get hpclass)."
    )]
    NotForNamespace { class: String, namespace: String },

    #[error(
        "annotation {key} asks for {count} ports in a row, and class {class:?} gives at most {most} to one claim. Ask \
         for fewer, or have maxCount raised."
    )]
    TooLarge { key: String, class: String, count: u16, most: u16 },

    #[error(
        "annotation {key} asks for {count} ports, and class {class:?}, which is of scope Node, gives one to a claim. Use \
         class.hostport.io/<port> for each of the ports, or a class of scope Cluster."
    )]
    NoBlocks { key: String, class: String, count: u16 },

    #[error(
        "the pod has more ports than claim {claim:?}, which was made for them, has numbers ({holds}). Delete the claim: it \
         is made anew, with as many."
    )]
    Outgrown { claim: String, holds: Run },

    #[error(
        "class {class:?} has no free port ({pools}). {advice} Ask the administrator for a larger pool, or delete \
         claims that nobody needs (kubectl get hpc)."
    )]
    Exhausted { class: String, pools: String, advice: &'static str },

    #[error(
        "claim {claim:?} cannot be made for the pod: {words}. If that is a quota, ask the administrator of the \
         namespace for room; else mend what it says."
    )]
    CannotMake { claim: String, words: String },

    #[error(
        "the last pods of its owner got claims and were not stored: something else refuses them, a quota or another \
         webhook. \"kubectl get events\" tells what; until that is mended no more claims are made for its pods."
    )]
    NotStored,

    #[error(
        "annotation {key} asks for a claim of its own, and none was made: another webhook changed the pod, or \
         pods.hostport.io has not seen it. Create the pod again; if that does not help, ask the administrator for the \
         order of the webhooks."
    )]
    NotMade { key: String },
}
