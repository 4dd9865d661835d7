//! Names that are part of the API: group, labels, annotations, finalizer, webhooks.

/// API group of every kind of ours.
pub const GROUP: &str = "hostport.io";

/// Label on a HostPort: the HostPortClass that it belongs to.
pub const LABEL_CLASS: &str = "hostport.io/class";
/// Label on a HostPort: the namespace of the claim that holds it.
pub const LABEL_CLAIM_NAMESPACE: &str = "hostport.io/claim-namespace";
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

/// Prefix of a label that admission writes on pods of claims of scope Node: `hostport.io/port-9000: <claim>`. By it the
/// one live pod of a claim is found, and after the claim's end the pod that still needs a slot.
pub const LABEL_POD_PORT: &str = "hostport.io/port-";

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
