//! The choice of a cluster on the command line, shared by the binaries of this crate.

use std::path::PathBuf;

use anyhow::Result;

use crate::devcluster::{DevCluster, Options};

/// Which cluster a command works with.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterArgs {
    /// Use the cluster of your kubeconfig's current context (kind, a real one) instead of starting one
    #[arg(long, env = "HOSTPORT_USE_CURRENT_CLUSTER", conflicts_with = "dir", value_parser = clap::builder::FalseyValueParser::new())]
    pub use_current_cluster: bool,

    /// Folder for the cluster's data, logs and kubeconfig; kept afterwards [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl ClusterArgs {
    /// The chosen cluster, started if it is ours.
    pub async fn cluster(&self) -> Result<DevCluster> {
        if self.use_current_cluster {
            return DevCluster::current().await;
        }
        DevCluster::start(Options { dir: self.dir.clone(), ..Options::default() }).await
    }
}
