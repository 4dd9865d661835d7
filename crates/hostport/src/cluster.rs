//! The cluster that a command talks to.

use anyhow::Context;
use kube::Config;

/// From KUBECONFIG (or `~/.kube/config`), or the ServiceAccount of the pod that this runs in.
///
/// # Errors
/// There is neither, or it makes no sense.
pub(crate) async fn config() -> anyhow::Result<Config> {
    Config::infer().await.context("find the cluster: set KUBECONFIG, or run in a pod")
}
