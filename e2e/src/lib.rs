//! A real control plane, end-to-end scenarios and benchmarks.
//!
//! `controlplane` finds or builds the Kubernetes binaries, `kwok` what plays nodes and `helm` what installs the chart;
//! `devcluster` starts and stops them, `shared` gives each test its own namespace in one cluster, `operator` runs the binary
//! under test. Nothing here is part of the product.

mod cargo;
pub mod chart;
mod cli;
pub mod controlplane;
pub mod devcluster;
mod eventually;
mod gobuild;
mod guarded;
pub mod helm;
pub mod image;
pub mod kubelet;
pub mod kwok;
pub mod machine;
pub mod operator;
pub mod shared;

pub use cli::ClusterArgs;
pub use eventually::eventually;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Makes this process ready to talk TLS and to log: installs the rustls provider and a subscriber that obeys `RUST_LOG`
/// (default: warnings, and what this crate says). May be called any number of times.
pub fn init() {
    // Both fail only when something was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A client logs an error for each answer like "not ready yet"; here the caller judges what an error is.
    let usual = "warn,e2e=info,kube_client::client::builder=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_target(false);
    let _ = log.with_writer(std::io::stderr).try_init();
}

/// Whether this runs in CI, where nothing is skipped because the machine cannot do it: `CI` is set, and not to nothing.
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}
