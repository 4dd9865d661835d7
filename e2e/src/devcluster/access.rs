//! How tests talk to a cluster: as admin, with a client or with kubectl.

use std::ffi::OsStr;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::AsyncWriteExt;

use super::DevCluster;
use crate::controlplane::Program;

impl DevCluster {
    /// A new admin client. It belongs to the runtime that asks for it: do not hand it to another test.
    pub async fn client(&self) -> Result<kube::Client> {
        crate::init();
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Runs kubectl as admin; what it returned is for the caller to judge.
    pub async fn kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Output> {
        self.kubectl_with_input(args, "").await
    }

    /// The same with something on its stdin, for `apply -f -`.
    pub async fn kubectl_with_input<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &str,
    ) -> Result<Output> {
        let mut child = self
            .kubectl_command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("run kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl's stdin is not piped")?;
        let write = async {
            // kubectl may end without having read it; its exit code tells why.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        output.context("wait for kubectl")
    }

    /// The same: what it printed, or an error with what it complained about.
    pub async fn run_kubectl(&self, args: &[&str], input: &str) -> Result<String> {
        let output = self.kubectl_with_input(args, input).await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {} failed: {}", args.join(" "), complaint.trim_end());
        Ok(String::from_utf8(output.stdout)?)
    }

    fn kubectl_command(&self) -> tokio::process::Command {
        let program = self.binaries.as_ref().and_then(|binaries| binaries.path(Program::Kubectl));
        let mut command = tokio::process::Command::new(program.unwrap_or_else(|| "kubectl".into()));
        // kubectl remembers what an address serves; another cluster may have had ours.
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", self.dir().join("kubectl-cache"));
        command
    }
}
