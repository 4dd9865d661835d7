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

/// End of a resource's name in a ResourceQuota: `<class>.hostportclass.hostport.io/ports: "5"`.
pub const QUOTA_PORTS: &str = ".hostportclass.hostport.io/ports";

/// Finalizer on a claim that a pod uses: keeps the claim visible as Terminating until the pod has ended.
pub const FINALIZER_CLAIM_PROTECTION: &str = "hostport.io/claim-protection";

/// The mutating webhook's name; users meet it in error messages.
pub const WEBHOOK_MUTATE: &str = "pods.hostport.io";
/// The validating webhook's name; users meet it in error messages.
pub const WEBHOOK_VALIDATE: &str = "check.pods.hostport.io";
