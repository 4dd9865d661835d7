//! The story of an installation, as an administrator lives it: from the image to the uninstallation and back again, with the
//! chart, on real nodes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crds::{ClaimPhase, HostPort, HostPortClaim};
use e2e::devcluster::{DevCluster, Options};
use e2e::eventually;
use e2e::helm::Helm;
use e2e::image::{self, StaticProgram};
use e2e::shared::cluster_with_nodes;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt};
use tokio::sync::oneshot;

use crate::scenarios::support::{create, example, host_ports};
use crate::talk::{OverUdp, over_tcp};
use crate::world::echo;

/// The machine is busy, and images and pods take their time.
const SOON: Duration = Duration::from_secs(90);

const RELEASE: [&str; 4] =
    ["hostport", concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/hostport"), "--namespace", OURS];
const OURS: &str = "hostport-system";

#[tokio::test]
async fn hostport_is_installed_used_upgraded_uninstalled_and_installed_again() -> Result<()> {
    // A cluster of its own: in the other one hostport runs as a process.
    if cluster_with_nodes(2).await?.is_none() {
        return Ok(());
    }
    let story = Story::begin().await?;

    story.install().await?;
    story.quickstart().await?;
    story.the_leader_is_deleted().await?;
    story.upgrade_under_churn().await?;
    story.uninstall().await?;
    story.install().await?;
    story.all_is_as_before().await
}

struct Story {
    cluster: DevCluster,
    client: Client,
    helm: Helm,
}

impl Story {
    /// A cluster whose nodes have the image.
    async fn begin() -> Result<Story> {
        let (helm, program) = tokio::task::spawn_blocking(|| {
            anyhow::Ok((
                Helm::find_or_build()?,
                StaticProgram { package: "hostport", profile: "quick", auditable: false }.build()?,
            ))
        })
        .await??;
        let cluster = DevCluster::start(Options { nodes: 2, ..Options::default() }).await?;
        let archive = cluster.dir().join("hostport.tar");
        image::hostport(&[&image::default_name()]).write(&program, &archive)?;
        for node in cluster.nodes() {
            node.import(&archive).await?;
        }
        Ok(Story { client: cluster.client().await?, cluster, helm })
    }

    /// `helm install`, until all its pods are Ready, and `helm test`.
    async fn install(&self) -> Result<()> {
        self.helm("install", &["--create-namespace", "--wait", "--timeout", "3m"]).await?;
        for deployment in ["hostport-controller", "hostport-admission"] {
            let look =
                ["get", "deployment", "-n", OURS, deployment, "-o", "jsonpath={.status.readyReplicas}"];
            let ready = self.kubectl(&look).await?;
            ensure!(ready == "2", "{deployment} has too few replicas that are Ready");
        }
        self.run_helm(&["test", RELEASE[0], "--namespace", OURS, "--timeout", "2m"]).await?;
        Ok(())
    }

    /// The files of the quickstart, as they are; then curl. Over UDP as well.
    async fn quickstart(&self) -> Result<()> {
        for file in ["class.yaml", "claim.yaml", "pod.yaml"] {
            self.kubectl(&["apply", "-f", &example(&format!("quickstart/{file}"))]).await?;
        }
        self.create_pod(echo("both", "second"))
            .await
            .err()
            .context("a pod of a claim that is not there is refused")?;
        self.claim("second").await?;
        self.create_pod(echo("both", "second")).await?;

        self.answers("echo", "echo-web").await?;
        self.answers("both", "second").await
    }

    /// It finishes what it began and gives up the Lease; its successor binds what is claimed from then on.
    async fn the_leader_is_deleted(&self) -> Result<()> {
        let leader = self.leader().await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OURS);
        pods.delete(&leader, &DeleteParams::default()).await?;
        eventually(SOON, "a successor", async || {
            ensure!(self.leader().await? != leader, "{leader} still leads");
            Ok(())
        })
        .await?;

        self.claim("after-the-leader").await?;
        Ok(())
    }

    /// All replicas are replaced while pods are created without a pause: none is refused.
    async fn upgrade_under_churn(&self) -> Result<()> {
        let (stop, stopped) = oneshot::channel();
        let upgrade = async {
            let values = ["admission.podAnnotations.round=two", "controller.podAnnotations.round=two"];
            let set = ["--set", values[0], "--set", values[1], "--wait", "--timeout", "3m"];
            let done = self.helm("upgrade", &set).await;
            let _ = stop.send(());
            done
        };
        let (upgraded, created) = tokio::join!(upgrade, self.churn(stopped));

        upgraded?;
        let created = created?;
        eprintln!("{created} pods were created during the upgrade, none was refused");
        ensure!(created >= 20, "only {created} pods were created during the upgrade");
        self.answers("echo", "echo-web").await
    }

    /// Creates pods with a claim, and deletes them, until it is told to stop; how many. Each must be taken, with its number.
    async fn churn(&self, mut stopped: oneshot::Receiver<()>) -> Result<usize> {
        let pods: Api<Pod> = Api::default_namespaced(self.client.clone());
        let mut created = 0;
        while stopped.try_recv().is_err() {
            created += 1;
            let name = format!("churn-{created}");
            let pod = self.create_pod(echo(&name, "after-the-leader")).await?;
            ensure!(host_ports(&pod).len() == 2, "{name} has {:?}", host_ports(&pod));
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        }
        Ok(created)
    }

    /// Claims, ports and pods stay as they are; and nothing of ours keeps a namespace from being deleted.
    async fn uninstall(&self) -> Result<()> {
        self.kubectl(&["create", "namespace", "tenant"]).await?;
        let tenant = ["-n", "tenant", "apply", "-f"];
        self.kubectl(&[&tenant[..], &[&example("quickstart/claim.yaml")]].concat()).await?;
        self.bound("tenant", "echo-web").await?;
        self.kubectl(&[&tenant[..], &[&example("quickstart/pod.yaml")]].concat()).await?;
        let claims: Api<HostPortClaim> = Api::all(self.client.clone());
        eventually(SOON, "the tenant's claim to be protected", async || {
            let claim =
                Api::<HostPortClaim>::namespaced(self.client.clone(), "tenant").get("echo-web").await?;
            ensure!(!claim.finalizers().is_empty(), "it is not");
            Ok(())
        })
        .await?;

        self.run_helm(&["uninstall", RELEASE[0], "--namespace", OURS, "--wait", "--timeout", "3m"]).await?;

        for claim in claims.list(&Default::default()).await? {
            let phase = claim.status.as_ref().map(|status| status.phase);
            ensure!(phase == Some(ClaimPhase::Bound), "claim {} is {phase:?}", claim.name_any());
            ensure!(claim.finalizers().is_empty(), "claim {} has {:?}", claim.name_any(), claim.finalizers());
        }
        self.answers("echo", "echo-web").await?;
        self.kubectl(&["delete", "namespace", "tenant", "--wait", "--timeout", "90s"]).await?;
        Ok(())
    }

    /// The same numbers under the same objects, new pods get them, and the number of the tenant that is gone is freed.
    async fn all_is_as_before(&self) -> Result<()> {
        self.claim("after-all").await?;
        let hostports: Api<HostPort> = Api::all(self.client.clone());
        for claim in ["echo-web", "second", "after-the-leader"] {
            let port = self.bound("default", claim).await?;
            let hostport = hostports.get(&port.to_string()).await?;
            let holder = hostport.spec.claim_ref.context("it has a holder")?;
            let uid = Api::<HostPortClaim>::default_namespaced(self.client.clone()).get(claim).await?.uid();
            ensure!(holder.uid == uid, "{port} is {holder:?}'s, not {claim}'s");
        }
        self.create_pod(echo("again", "after-the-leader")).await?;
        self.answers("again", "after-the-leader").await?;
        self.answers("both", "second").await?;
        eventually(SOON, "the tenant's number to be freed", async || {
            let of_tenant = |hostport: &HostPort| {
                hostport.spec.claim_ref.as_ref().is_some_and(|claim| claim.namespace == "tenant")
                    && hostport.spec.phase == crds::HostPortPhase::Bound
            };
            let left = hostports.list(&Default::default()).await?;
            ensure!(!left.iter().any(of_tenant), "it is still Bound");
            Ok(())
        })
        .await
    }

    /// The pod that holds the Lease.
    async fn leader(&self) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OURS);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OURS);
        eventually(SOON, "a leader", async || {
            let holder = leases.get("hostport-controller").await?.spec.and_then(|spec| spec.holder_identity);
            let holder = holder.filter(|holder| !holder.is_empty()).context("the Lease has no holder")?;
            let names = pods.list(&Default::default()).await?.into_iter().map(|pod| pod.name_any());
            names
                .into_iter()
                .find(|name| holder.starts_with(name.as_str()))
                .with_context(|| format!("{holder} is no pod"))
        })
        .await
    }

    /// Creates a claim of the quickstart's class and waits for its number.
    async fn claim(&self, name: &str) -> Result<u16> {
        let claim = serde_json::json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
            "metadata": { "name": name }, "spec": { "hostPortClassName": "sample" },
        });
        create::<HostPortClaim>(&Api::default_namespaced(self.client.clone()), claim).await?;
        self.bound("default", name).await
    }

    async fn bound(&self, namespace: &str, claim: &str) -> Result<u16> {
        let claims: Api<HostPortClaim> = Api::namespaced(self.client.clone(), namespace);
        eventually(SOON, &format!("claim {claim} to be Bound"), async || {
            let status = claims.get(claim).await?.status.context("it has no status")?;
            ensure!(status.phase == ClaimPhase::Bound, "it is {:?}", status.phase);
            Ok(status.port.context("it has no port")?.get())
        })
        .await
    }

    async fn create_pod(&self, pod: serde_json::Value) -> Result<Pod> {
        create(&Api::default_namespaced(self.client.clone()), pod).await
    }

    /// Waits until the claim's number answers from this pod, at the node that it is on; over UDP too if it says so.
    async fn answers(&self, pod: &str, claim: &str) -> Result<()> {
        let port = self.bound("default", claim).await?;
        let pods: Api<Pod> = Api::default_namespaced(self.client.clone());
        let client = OverUdp::new().await?;
        eventually(SOON, &format!("port {port} to answer from pod {pod}"), async || {
            let stored = pods.get(pod).await?;
            let node =
                stored.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("it has no node")?;
            let node =
                self.cluster.nodes().iter().find(|it| it.name() == node).context("it is on none of ours")?;
            let mut answers = vec![over_tcp(node.address(), port).await?];
            if host_ports(&stored).len() == 2 {
                answers.push(client.ask(node.address(), port).await?);
            }
            ensure!(answers.iter().all(|answer| answer == pod), "it is {answers:?} that answers");
            Ok(())
        })
        .await
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.run_kubectl(args, "").await
    }

    /// helm for our release and chart.
    async fn helm(&self, verb: &str, more: &[&str]) -> Result<String> {
        self.run_helm(&[&[verb], &RELEASE[..], more].concat()).await
    }

    async fn run_helm(&self, args: &[&str]) -> Result<String> {
        let (helm, kubeconfig) = (self.helm.clone(), self.cluster.kubeconfig().to_owned());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            helm.run(Some(&kubeconfig), &args)
        };
        let said = tokio::task::spawn_blocking(run).await?;
        match said {
            Ok(said) => Ok(said),
            Err(error) => bail!("{error:#}\n{}", self.kubectl(&["get", "pods,events", "-n", OURS]).await?),
        }
    }
}
