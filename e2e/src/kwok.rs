//! kwok, the program that plays nodes which exist in the API only: built from source once per machine, when somebody
//! wants such nodes for the first time.

use std::path::PathBuf;

use anyhow::Result;

use crate::controlplane::Program;
use crate::gobuild::{Joined, Recipe, version_in};

const GO_MOD: &str = include_str!("../kwok/go.mod");
const GO_SUM: &str = include_str!("../kwok/go.sum");
const MODULE: &str = "sigs.k8s.io/kwok";
const STAGES: &str = "stages.yaml";

/// The program and what it is told to play.
#[derive(Debug, Clone)]
pub struct Kwok {
    dir: PathBuf,
}

impl Kwok {
    /// From the cache folder, into which it is built if need be: that takes minutes, needs Go, blocks, and says on stderr
    /// how far it is.
    pub fn find_or_build() -> Result<Kwok> {
        Ok(Kwok { dir: recipe().once_per_machine()? })
    }

    /// The folder it is in.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.dir.join(Program::Kwok.name())
    }

    /// The file with its stages: what a node and a pod go through, and when. Without any it would end at once.
    pub(crate) fn stages(&self) -> PathBuf {
        self.dir.join(STAGES)
    }
}

/// The version that is built, as go.mod has it: `v0.8.0`.
pub fn version() -> &'static str {
    version_in(GO_MOD, "sigs.k8s.io/kwok ")
}

fn recipe() -> Recipe {
    Recipe {
        name: "kwok",
        version: version(),
        title: format!("kwok {}", version()),
        notice: "It plays nodes that do not exist. The first build takes about 2 minutes on 2 cores.",
        go_mod: GO_MOD,
        go_sum: GO_SUM,
        ldflags: String::new(),
        programs: vec![(Program::Kwok.name(), Program::Kwok.name())],
        // Nodes are ready and stay so, pods run as soon as they have a node, those of Jobs end well, deleted ones go.
        joined: Some(Joined {
            module: MODULE,
            files: &[
                "kustomize/stage/node/fast/node-initialize.yaml",
                "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                "kustomize/stage/pod/fast/pod-ready.yaml",
                "kustomize/stage/pod/fast/pod-complete.yaml",
                "kustomize/stage/pod/fast/pod-delete.yaml",
            ],
            name: STAGES,
        }),
        // Tests that need no nodes run beside the build.
        gives_way: true,
        without_go: "or leave out what needs nodes.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_go_mod() {
        assert!(version().starts_with("v0."), "{}", version());
    }
}
