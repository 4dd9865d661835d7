//! Helm, built from source once per machine. Version 4: of Helm 3 there are only security fixes any more, until February
//! 2027. The chart itself (`apiVersion: v2`) is for both.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::gobuild::{Recipe, version_in};

const GO_MOD: &str = include_str!("../helm/go.mod");
const GO_SUM: &str = include_str!("../helm/go.sum");
const PROGRAM: &str = "helm";

/// The program.
#[derive(Debug, Clone)]
pub struct Helm {
    dir: PathBuf,
}

impl Helm {
    /// From the cache folder, into which it is built if need be: that takes minutes, needs Go, blocks, and says on stderr
    /// how far it is.
    pub fn find_or_build() -> Result<Helm> {
        Ok(Helm { dir: recipe().once_per_machine()? })
    }

    /// The folder it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `helm ARGS`, for the cluster of this kubeconfig, or for none. What it returned is for the caller to judge.
    pub fn output<A: AsRef<OsStr>>(
        &self,
        kubeconfig: Option<&Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Output> {
        let mut command = Command::new(self.dir.join(PROGRAM));
        // Neither the user's plugins and repositories nor, by mistake, the user's cluster.
        let nowhere = self.dir.join("no-such-folder");
        for home in ["HELM_PLUGINS", "HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
            command.env(home, &nowhere);
        }
        command.env("KUBECONFIG", kubeconfig.unwrap_or(&nowhere)).args(args);
        command.output().context("run helm")
    }

    /// The same: what it printed, or an error with what it complains about.
    pub fn run(&self, kubeconfig: Option<&Path>, args: &[&str]) -> Result<String> {
        let output = self.output(kubeconfig, args)?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let complaint = format!("{}\n{}", said(&output.stdout), said(&output.stderr));
        ensure!(output.status.success(), "helm {} failed: {complaint}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The version that is built, as go.mod has it: `v4.3.1`.
pub fn version() -> &'static str {
    version_in(GO_MOD, "helm.sh/helm/v4 ")
}

fn recipe() -> Recipe {
    Recipe {
        name: "helm",
        version: version(),
        title: format!("Helm {}", version()),
        notice: "It renders and installs the chart. The first build takes about 3 minutes on 2 cores.",
        go_mod: GO_MOD,
        go_sum: GO_SUM,
        ldflags: format!("-X helm.sh/helm/v4/internal/version.version={}", version()),
        programs: vec![(PROGRAM, PROGRAM)],
        joined: None,
        // Tests that need no chart run beside the build.
        gives_way: true,
        without_go: "or leave out what needs the chart.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_go_mod() {
        assert!(version().starts_with("v4."), "{}", version());
    }
}
