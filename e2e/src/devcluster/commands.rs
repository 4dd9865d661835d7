//! The command lines of the programs, as pure functions. Files are named relative to the cluster's folder, in which
//! all programs run; etcd and the API server talk over a socket there, so that only one port is taken.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::credentials;

pub(super) const AUDIT_LOG: &str = "audit.log";
pub(super) const AUDIT_POLICY: &str = "audit-policy.yaml";
pub(super) const ETCD_SOCKET: &str = "etcd.sock";
const ETCD_DATA: &str = "etcd";

/// The annotation of a node that kwok plays, and the taint that keeps others' pods from it.
pub(super) const FAKE_NODE: &str = "kwok.x-k8s.io/node";
pub(super) const FAKE: &str = "fake";

/// Every request of users, operators and webhooks, and every write; not what the control plane itself reads.
pub(super) const AUDIT_RULES: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ['*']
- level: None
  users: ['system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler', 'system:kube-proxy', 'kwok']
  verbs: [get, list, watch]
- level: None
  userGroups: ['system:serviceaccounts:kube-system', 'system:nodes']
  verbs: [get, list, watch]
- level: Metadata
";

/// Removes what an earlier cluster has left in the folder and a new one must not find.
pub(super) fn remove_store(dir: &Path) -> Result<()> {
    let removed = [
        fs::remove_dir_all(dir.join(ETCD_DATA)),
        fs::remove_file(dir.join(ETCD_SOCKET)),
        fs::remove_file(dir.join(AUDIT_LOG)),
    ];
    removed
        .into_iter()
        .filter(|result| !matches!(result, Err(error) if error.kind() == ErrorKind::NotFound))
        .collect::<Result<(), _>>()
        .with_context(|| format!("remove the store of an earlier cluster in {}", dir.display()))
}

pub(super) fn etcd() -> Vec<String> {
    let mut arguments = flags(&[
        ("data-dir", ETCD_DATA),
        // Nobody comes: there are no peers, and clients are told the socket.
        ("listen-peer-urls", "http://127.0.0.1:0"),
        ("advertise-client-urls", "http://127.0.0.1:2379"),
        ("log-level", "warn"),
    ]);
    arguments.push(format!("--listen-client-urls=unix://{ETCD_SOCKET}"));
    // What a power cut would lose is a test's.
    arguments.push("--unsafe-no-fsync".to_owned());
    arguments
}

pub(super) fn apiserver(endpoint: SocketAddr, services: &str, has_controllers: bool) -> Vec<String> {
    let mut arguments = flags(&[
        ("bind-address", &endpoint.ip().to_string()),
        ("advertise-address", &endpoint.ip().to_string()),
        ("secure-port", &endpoint.port().to_string()),
        ("etcd-servers", &format!("unix://{ETCD_SOCKET}")),
        ("tls-cert-file", credentials::SERVER_CERT),
        ("tls-private-key-file", credentials::SERVER_KEY),
        ("token-auth-file", credentials::TOKENS),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-account-key-file", credentials::ACCOUNTS_PUBLIC),
        ("service-account-signing-key-file", credentials::ACCOUNTS_KEY),
        ("service-cluster-ip-range", services),
        ("allow-privileged", "true"),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("kubelet-client-certificate", credentials::KUBELET_CLIENT_CERT),
        ("kubelet-client-key", credentials::KUBELET_CLIENT_KEY),
        ("audit-policy-file", AUDIT_POLICY),
        ("audit-log-path", AUDIT_LOG),
    ]);
    if endpoint.ip().is_loopback() {
        // An Endpoints object may not hold a loopback address, and there are no pods that would use it.
        arguments.push("--endpoint-reconciler-type=none".to_owned());
    }
    if !has_controllers {
        // Nobody would make the ServiceAccounts without which it refuses every pod.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    arguments
}

pub(super) fn controller_manager() -> Vec<String> {
    flags(&[
        ("kubeconfig", &credentials::kubeconfig_name(credentials::CONTROLLER_MANAGER)),
        ("root-ca-file", credentials::CA_CERT),
        ("service-account-private-key-file", credentials::ACCOUNTS_KEY),
        ("use-service-account-credentials", "true"),
        ("leader-elect", "false"),
        // No port: nobody scrapes it.
        ("secure-port", "0"),
        // The default of 20 requests a second would be what we measure.
        ("kube-api-qps", "500"),
        ("kube-api-burst", "1000"),
        ("concurrent-deployment-syncs", "20"),
        ("concurrent-replicaset-syncs", "20"),
        // A lease that is late on a busy machine would make a played node NotReady, and its pods for good: kwok does not
        // set their condition again.
        ("node-monitor-grace-period", "120s"),
    ])
}

pub(super) fn scheduler() -> Vec<String> {
    flags(&[
        ("kubeconfig", &credentials::kubeconfig_name(credentials::SCHEDULER)),
        ("leader-elect", "false"),
        ("secure-port", "0"),
        ("kube-api-qps", "1000"),
        ("kube-api-burst", "2000"),
    ])
}

/// `stages` is the file with what it plays.
pub(super) fn kwok(stages: &Path) -> Vec<String> {
    flags(&[
        ("config", &stages.display().to_string()),
        ("kubeconfig", &credentials::kubeconfig_name(credentials::KWOK)),
        ("manage-all-nodes", "false"),
        ("manage-nodes-with-annotation-selector", &format!("{FAKE_NODE}={FAKE}")),
        ("node-lease-duration-seconds", "40"),
        ("cidr", "10.220.0.0/16"),
    ])
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_of_an_earlier_cluster_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(ETCD_DATA)).unwrap();
        fs::write(dir.path().join(ETCD_DATA).join("member"), "").unwrap();
        fs::write(dir.path().join("mine.txt"), "").unwrap();

        remove_store(dir.path()).unwrap();

        assert!(!dir.path().join(ETCD_DATA).exists() && dir.path().join("mine.txt").exists());
    }
}
