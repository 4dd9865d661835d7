//! The cluster that a command talks to.

use anyhow::Context;
use axum::http::{HeaderValue, header::USER_AGENT};
use kube::Config;

/// What audit logs call us; what stands before the slash is the manager of the fields that we write.
const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("hostport/", env!("CARGO_PKG_VERSION")));

/// From KUBECONFIG (or `~/.kube/config`), or the ServiceAccount of the pod that this runs in.
///
/// # Errors
/// There is neither, or it makes no sense.
pub(crate) async fn config() -> anyhow::Result<Config> {
    let mut config = Config::infer().await.context("find the cluster: set KUBECONFIG, or run in a pod")?;
    config.headers.push((USER_AGENT, PRODUCT));
    Ok(config)
}
