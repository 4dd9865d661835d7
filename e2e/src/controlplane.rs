//! The Kubernetes binaries that the test cluster runs: ready ones named by `KUBEBUILDER_ASSETS`, or built from source once
//! per machine and kept in the cache folder. Nothing is started here.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::gobuild::{Recipe, version_in};

const GO_MOD: &str = include_str!("../controlplane/go.mod");
const GO_SUM: &str = include_str!("../controlplane/go.sum");

/// Names a folder of ready binaries, as in kubebuilder's envtest.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are known")]
pub enum Program {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kubectl,
    /// Plays nodes that do not exist. Not a part of Kubernetes: it runs where somebody asks for such nodes.
    Kwok,
}

impl Program {
    /// All that Kubernetes is here.
    pub const ALL: [Program; 5] =
        [Program::Etcd, Program::ApiServer, Program::ControllerManager, Program::Scheduler, Program::Kubectl];

    /// The name of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Program::Etcd => "etcd",
            Program::ApiServer => "kube-apiserver",
            Program::ControllerManager => "kube-controller-manager",
            Program::Scheduler => "kube-scheduler",
            Program::Kubectl => "kubectl",
            Program::Kwok => "kwok",
        }
    }

    /// What a cluster cannot do without it; nothing, if there is no cluster without it (envtest ships without these two).
    fn without(self) -> Option<&'static str> {
        match self {
            Program::ControllerManager => Some(
                "Deployments and other workloads make no pods, deleted namespaces stay, nothing is garbage collected",
            ),
            Program::Scheduler => Some("pods stay Pending"),
            Program::Etcd | Program::ApiServer | Program::Kubectl | Program::Kwok => None,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A folder with the binaries in it.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// The binaries of `KUBEBUILDER_ASSETS`; without it those in the cache folder, which are built first if need be: that
    /// takes minutes, needs Go, blocks, and says on stderr how far it is.
    pub fn find_or_build() -> Result<Binaries> {
        match env::var_os(ASSETS).filter(|dir| !dir.is_empty()) {
            Some(dir) => Binaries::ready_made(Path::new(&dir)),
            None => Ok(Binaries { dir: recipe().once_per_machine()? }),
        }
    }

    /// The folder they are in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a program is; nothing if there is none (only the controller manager and the scheduler can be missing).
    pub fn path(&self, program: Program) -> Option<PathBuf> {
        Some(self.dir.join(program.name())).filter(|path| path.is_file())
    }

    fn ready_made(dir: &Path) -> Result<Binaries> {
        let dir = dir.canonicalize().with_context(|| {
            format!("{ASSETS} is {}: set it to a folder that exists, or unset it", dir.display())
        })?;
        let binaries = Binaries { dir };
        for program in Program::ALL.into_iter().filter(|program| binaries.path(*program).is_none()) {
            let dir = binaries.dir.display();
            match program.without() {
                Some(lost) => tracing::warn!("{ASSETS} ({dir}) has no {program}: {lost}"),
                None => bail!(
                    "{ASSETS} is {dir}, but {program} is not in it: put it there, or unset {ASSETS} to have the \
                     control plane built from source"
                ),
            }
        }
        Ok(binaries)
    }
}

/// The Kubernetes version that is built, as go.mod has it: `v1.36.3`.
pub fn version() -> &'static str {
    version_in(GO_MOD, "k8s.io/kubernetes ")
}

/// The linker's flags without which the kubelet and `kubectl version` say v0.0.0.
pub(crate) fn versions(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!(
        "-X k8s.io/component-base/version.gitVersion={version} \
         -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
}

fn recipe() -> Recipe {
    let version = version();
    let as_built = |program: Program| if program == Program::Etcd { "server" } else { program.name() };
    Recipe {
        name: "controlplane",
        version,
        title: format!("Kubernetes {version}"),
        notice: "That is etcd, API server, controller manager, scheduler and kubectl. The first build takes about 5 \
                 minutes on 2 cores\nand needs 8 GB of disk for Go's caches.",
        go_mod: GO_MOD,
        go_sum: GO_SUM,
        ldflags: versions(version),
        programs: Program::ALL.map(|program| (as_built(program), program.name())).to_vec(),
        joined: None,
        gives_way: false,
        without_go: "or set KUBEBUILDER_ASSETS to a folder with ready binaries (kube-apiserver, etcd, kubectl); or use \
                     the cluster your kubeconfig names (HOSTPORT_USE_CURRENT_CLUSTER=1).",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_go_mod() {
        assert!(version().starts_with("v1."), "{}", version());
    }

    #[test]
    fn ready_made_binaries_without_kubectl_are_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        for program in [Program::Etcd, Program::ApiServer] {
            std::fs::write(dir.path().join(program.name()), "").unwrap();
        }

        let error = Binaries::ready_made(dir.path()).unwrap_err().to_string();

        assert!(error.contains("kubectl is not in it") && error.contains("unset"), "{error}");
    }

    #[test]
    fn ready_made_binaries_may_lack_the_controller_manager_and_the_scheduler() {
        let dir = tempfile::tempdir().unwrap();
        for program in [Program::Etcd, Program::ApiServer, Program::Kubectl] {
            std::fs::write(dir.path().join(program.name()), "").unwrap();
        }

        let binaries = Binaries::ready_made(dir.path()).unwrap();

        assert_eq!(binaries.path(Program::Scheduler), None);
    }
}
