//! What a real node runs of Kubernetes: kubelet and kube-proxy, built from source once per machine, when somebody wants
//! such nodes for the first time.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::controlplane;
use crate::gobuild::{Recipe, version_in};

const GO_MOD: &str = include_str!("../node/go.mod");
const GO_SUM: &str = include_str!("../node/go.sum");

/// The names of the programs.
pub(crate) const PROGRAMS: [&str; 2] = ["kubelet", "kube-proxy"];

/// A folder with both in it.
#[derive(Debug, Clone)]
pub struct NodePrograms {
    dir: PathBuf,
}

impl NodePrograms {
    /// From the cache folder, into which they are built if need be: that takes minutes, needs Go, blocks, and says on
    /// stderr how far it is.
    pub fn find_or_build() -> Result<NodePrograms> {
        Ok(NodePrograms { dir: recipe().once_per_machine()? })
    }

    /// The folder they are in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn recipe() -> Recipe {
    let version = version_in(GO_MOD, "k8s.io/kubernetes ");
    Recipe {
        name: "node",
        version,
        title: format!("kubelet and kube-proxy {version}"),
        notice: "The first build takes about a minute on 2 cores once the control plane is built, which has most of it.",
        go_mod: GO_MOD,
        go_sum: GO_SUM,
        ldflags: controlplane::versions(version),
        programs: PROGRAMS.map(|program| (program, program)).to_vec(),
        joined: None,
        // Tests that need no nodes run beside the build.
        gives_way: true,
        without_go: "or leave out what needs nodes.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_of_the_version_of_their_control_plane() {
        assert_eq!(recipe().version, controlplane::version());
    }
}
