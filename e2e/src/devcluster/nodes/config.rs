//! What the daemons of a node are told, as files in the node's folder, which the node knows as `/run/node`. Pure.

use std::path::Path;

use serde_json::{Value, json};

use super::addresses::Addresses;

/// The image that holds the namespaces of each pod.
pub(super) const PAUSE: &str = "hostport.test/pause:1";

/// `plugins` is the folder of the CNI plugins.
pub(super) fn containerd(plugins: &Path) -> String {
    format!(
        r#"version = 2
# What the node has no use for, and what would look for programs that it lacks.
disabled_plugins = [
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_apparmor = true
# Without CAP_SYS_RESOURCE nobody may lower it, and no container would start.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{}"
conf_dir = "/run/node/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        plugins.display()
    )
}

/// Pods get addresses of the node's range behind a bridge; `portmap` is what makes a hostPort work.
pub(super) fn cni(addresses: Addresses, number: u8) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "node",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": addresses.pods_of(number) }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ],
    })
}

/// `cgroup` is the node's subtree.
pub(super) fn kubelet(address: &str, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "healthzBindAddress": "127.0.0.1",
        // Only the API server may ask it to run something: it has a certificate of our CA, and nobody else has.
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": "/run/node/ca.crt" },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "resolvConf": "/run/node/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        // Many machines still have version 1, and some have swap.
        "failCgroupV1": false,
        "failSwapOn": false,
        // It may not be lowered without CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        // The disk is the machine's, and so is what fills it; no registry would give a collected image back.
        "evictionHard": { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": false,
        "maxPods": 250,
        // Tests do many things in a short time.
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    })
}

pub(super) fn kube_proxy(addresses: Addresses, address: &str, name: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": address,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "hostnameOverride": name,
        "clusterCIDR": addresses.pods(),
        "clientConnection": { "kubeconfig": "/run/node/kube-proxy.kubeconfig" },
        "oomScoreAdj": 0,
        // They count for the whole machine, and can be written from its own network namespace only.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}
