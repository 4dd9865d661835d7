//! Names that are part of the API: group, labels, annotations, finalizer, webhooks.

/// API group of every kind of ours.
pub const GROUP: &str = "hostport.io";

/// Label on a HostPort: the HostPortClass that it belongs to.
pub const LABEL_CLASS: &str = "hostport.io/class";
/// Label on a HostPort: the namespace of the claim that holds it.
pub const LABEL_CLAIM_NAMESPACE: &str = "hostport.io/claim-namespace";
/// Label on a HostPortClaim that admission made: [`MADE_FOR_POD`] or [`MADE_BY_NAME`].
pub const LABEL_MADE: &str = "hostport.io/made";
/// Value of [`LABEL_MADE`]: for one pod alone. It is adopted by that pod and gone with it.
pub const MADE_FOR_POD: &str = "for-pod";
/// Value of [`LABEL_MADE`]: under the name that a template asked for. It stays.
pub const MADE_BY_NAME: &str = "by-name";
/// Label on a claim that was made for one pod and that no pod has adopted: whose pods may have it.
pub const LABEL_FOR_OWNER: &str = "hostport.io/for-owner";
/// Annotation beside [`LABEL_FOR_OWNER`]: how many pods had the claim before and were refused.
pub const ANNOTATION_GIVEN: &str = "hostport.io/given";
/// Label on a Namespace, value `"true"`: pods in it may carry only ports that its claims hold.
pub const LABEL_MANAGED: &str = "hostport.io/managed";
/// Label on a Namespace, value `"true"`: pods in it may use `hostNetwork`.
pub const LABEL_ALLOW_HOST_NETWORK: &str = "hostport.io/allow-host-network";

/// Annotation on a HostPortClass, value `"true"`: claims that name no class use it.
pub const ANNOTATION_DEFAULT_CLASS: &str = "hostportclass.hostport.io/is-default-class";
/// Annotation prefix on a pod: `claim.hostport.io/<port-name>: <claim>`.
pub const ANNOTATION_CLAIM: &str = "claim.hostport.io/";
/// Annotation prefix on a pod: `ref.hostport.io/<NAME>: <claim>`, the number as information only.
pub const ANNOTATION_REF: &str = "ref.hostport.io/";
/// Annotation prefix on a pod: `options.hostport.io/<port-name>: Passthrough,TCPUDP`.
pub const ANNOTATION_OPTIONS: &str = "options.hostport.io/";
/// Annotation prefix that admission writes: `port.hostport.io/<port-name>: "9000"`.
pub const ANNOTATION_PORT: &str = "port.hostport.io/";
/// Annotation prefix on a pod: `class.hostport.io/<port-name>: <class>`, a claim is made for the port.
pub const ANNOTATION_CLASS: &str = "class.hostport.io/";
/// Annotation prefix on a pod: `count.hostport.io/<port-name>: "100"`, of how many numbers that claim is.
pub const ANNOTATION_COUNT: &str = "count.hostport.io/";
/// Annotation prefix that admission writes: `own.hostport.io/<port-name>: <claim>`, made for this pod alone.
pub const ANNOTATION_OWN: &str = "own.hostport.io/";
/// Annotation on a pod, value `"true"`: all its container ports get numbers from one claim.
pub const ANNOTATION_ENABLED: &str = "hostport.io/enabled";
/// Annotation beside `enabled`: the class; without it the default class.
pub const ANNOTATION_ENABLED_CLASS: &str = "hostport.io/class";
/// Annotation beside `enabled`: the number at which the first pod's ports begin, if it is free.
pub const ANNOTATION_BASE_PORT: &str = "hostport.io/base-port";
/// Annotation beside `enabled`: Sequential or Random.
pub const ANNOTATION_STRATEGY: &str = "hostport.io/strategy";
/// Annotation prefix that admission writes beside `enabled`: `hostport.io/allocated-<port-name>: "30558"`.
pub const ANNOTATION_ALLOCATED: &str = "hostport.io/allocated-";
/// Annotation that admission writes beside `enabled`: the claim of the pod's ports, if it is this pod's alone.
pub const ANNOTATION_ENABLED_OWN: &str = "hostport.io/own-claim";
/// Annotation on a pod of a StatefulSet, Retain or Delete: what becomes of its claims when that is deleted.
pub const ANNOTATION_WHEN_DELETED: &str = "hostport.io/when-deleted";
/// Annotation on a pod of a StatefulSet, Retain or Delete: what becomes of its claims when it is scaled down.
pub const ANNOTATION_WHEN_SCALED: &str = "hostport.io/when-scaled";
/// Annotation on a claim that admission made: the first number to try, before any other.
pub const ANNOTATION_PREFERRED_PORT: &str = "hostport.io/preferred-port";
/// Annotation on a claim that goes when a StatefulSet is scaled down: `<name>/<uid>/<ordinal>` of it.
pub const ANNOTATION_SCALED_WITH: &str = "hostport.io/scaled-with";

/// Prefix of a label that admission writes on pods of claims of scope Node: `hostport.io/port-9000: <claim>`. By it the
/// one live pod of a claim is found, and after the claim's end the pod that still needs a slot.
pub const LABEL_POD_PORT: &str = "hostport.io/port-";

/// A DNS subdomain, as every object name. The name goes into the path of a request, so nothing else may pass.
pub fn is_object_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A claim's name as the value of a label: names that are too long for one are cut, with a fingerprint of the whole.
pub fn label_of_claim(name: &str) -> String {
    const LONGEST: usize = 63;
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    // FNV-1a: the same in every version and process.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{}_{hash:016x}", &name[..LONGEST - 17])
}

/// End of a resource's name in a ResourceQuota: `<class>.hostportclass.hostport.io/ports: "5"`.
pub const QUOTA_PORTS: &str = ".hostportclass.hostport.io/ports";

/// Finalizer on a claim that a pod uses: keeps the claim visible as Terminating until the pod has ended.
pub const FINALIZER_CLAIM_PROTECTION: &str = "hostport.io/claim-protection";

/// The mutating webhook's name; users meet it in error messages.
pub const WEBHOOK_MUTATE: &str = "pods.hostport.io";
/// The validating webhook's name; users meet it in error messages.
pub const WEBHOOK_VALIDATE: &str = "check.pods.hostport.io";
