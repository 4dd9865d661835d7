//! What the demo shows, act by act, and the checks that it is true.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::controlplane::Program;
use e2e::devcluster::DevCluster;
use e2e::eventually;
use serde_json::{Value, json};

use crate::screen::Screen;

/// How long anything may take that takes a moment, on a machine that does many other things.
const SOON: Duration = Duration::from_secs(30);
/// `reuseDelay` of examples/pool-exhausted/class.yaml.
const REUSE_DELAY: Duration = Duration::from_secs(5);
/// The sentence of a claim.
const MESSAGE: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;

/// Tells it all; an error is what did not come true.
pub(crate) async fn tell(cluster: &DevCluster, screen: &mut Screen) -> Result<()> {
    let mut story = Story { cluster, screen };
    story.a_class().await?;
    story.a_claim().await?;
    story.a_pod().await?;
    story.no_port_left().await?;
    story.a_port_comes_back().await?;
    story.a_managed_namespace().await
}

struct Story<'a> {
    cluster: &'a DevCluster,
    screen: &'a mut Screen,
}

impl Story<'_> {
    async fn a_class(&mut self) -> Result<()> {
        self.screen.heading("1. An administrator says which ports are handed out")?;
        self.apply(&["examples/quickstart/class.yaml"]).await?;
        Ok(())
    }

    async fn a_claim(&mut self) -> Result<()> {
        self.screen.heading("2. A tenant claims one of them")?;
        self.apply(&["examples/quickstart/claim.yaml"]).await?;
        self.run(&["wait", "--for=condition=Ready", "hpc/echo-web", "--timeout=30s"]).await?;
        let port = self.bound_port("echo-web").await?;
        // A class is counted at most once a second.
        self.until("the class to count the port", async |story| {
            let class = story.json(&["get", "hpcl", "sample"]).await?;
            ensure!(class["status"]["allocated"] == 1, "its status is {}", class["status"]);
            Ok(())
        })
        .await?;
        self.run(&["get", "hpcl,hpc,hp"]).await?;
        self.screen.note(&format!("The claim holds {port} for life, whatever pods come and go."))?;
        Ok(())
    }

    async fn a_pod(&mut self) -> Result<()> {
        self.screen.heading("3. A pod uses the claim, by annotation. There is no number in its file")?;
        self.service_account(None).await?;
        let port = self.bound_port("echo-web").await?;
        self.apply(&["examples/quickstart/pod.yaml"]).await?;
        let pod = self.json(&["get", "pod", "echo"]).await?;

        let container = &pod["spec"]["containers"][0];
        ensure!(container["ports"][0]["hostPort"] == port, "the pod's ports are {}", container["ports"]);
        let annotation = &pod["metadata"]["annotations"]["port.hostport.io/web"];
        ensure!(
            annotation.as_str() == Some(&port.to_string()),
            "annotation port.hostport.io/web is {annotation}"
        );
        let variable = &container["env"][0];
        ensure!(
            *variable == json!({ "name": "HOSTPORT_WEB", "value": port.to_string() }),
            "the first variable is {variable}"
        );

        self.screen.command(&["get", "pod", "echo", "-o", "yaml"])?;
        self.screen.output(&serde_yaml_ng::to_string(&essence(&pod))?)?;
        if self.cluster.is_own() {
            self.screen.note("Shortened. The pod stays Pending, as this control plane has no nodes.")?;
        }
        Ok(())
    }

    async fn no_port_left(&mut self) -> Result<()> {
        self.screen.heading("4. Three claims for two ports: one waits, and says so")?;
        self.apply(&["examples/pool-exhausted/class.yaml", "examples/pool-exhausted/claims.yaml"]).await?;
        let waiting = self
            .until("two claims to be bound and one to wait", async |story| {
                let (bound, waiting) = story.contenders().await?;
                ensure!(bound.len() == 2, "bound are {bound:?}");
                waiting.context("none waits with reason PoolExhausted")
            })
            .await?;
        self.run(&["get", "hpc"]).await?;
        let sentence = self.run(&["get", "hpc", &waiting, "-o", MESSAGE]).await?;
        ensure!(sentence.contains("No free port in class \"tiny\""), "it says {sentence:?}");
        Ok(())
    }

    async fn a_port_comes_back(&mut self) -> Result<()> {
        self.screen.heading("5. A claim goes; its port rests (reuseDelay), then it is for whoever waits")?;
        let (bound, waiting) = self.contenders().await?;
        let leaving = bound.first().context("nobody holds a port of class tiny")?;
        let waiting = waiting.context("nobody waits for a port of class tiny")?;
        let port = self.bound_port(leaving).await?;
        let start = Instant::now();
        self.run(&["delete", "hpc", leaving]).await?;
        self.until("the port to be Released", async |story| {
            let hostport = story.json(&["get", "hp", &port.to_string()]).await?;
            ensure!(hostport["spec"]["phase"] == "Released", "it is {}", hostport["spec"]["phase"]);
            Ok(())
        })
        .await?;
        self.run(&["get", "hp"]).await?;

        let its_port = self
            .until("the waiting claim to be bound", async |story| story.bound_port(&waiting).await)
            .await?;
        let rested = start.elapsed();
        ensure!(its_port == port, "{waiting} has got {its_port}");
        ensure!(rested >= REUSE_DELAY, "{port} rested for {rested:.1?} only");
        self.screen.note(&format!("{rested:.0?} after the claim was deleted:"))?;
        self.run(&["get", "hpc", &waiting]).await?;
        Ok(())
    }

    async fn a_managed_namespace(&mut self) -> Result<()> {
        self.screen.heading("6. In a managed namespace nobody takes a port that is not theirs")?;
        self.apply(&["examples/managed-namespace/namespace.yaml"]).await?;
        self.service_account(Some("hostport-managed")).await?;
        let words = ["apply", "-f", "examples/managed-namespace/pod.yaml"];
        self.screen.command(&words)?;
        let refused = self.kubectl(&words).await;
        let Err(refusal) = refused else { anyhow::bail!("the pod was not refused") };
        self.screen.output(&refusal.to_string())?;
        let sentence = "no claim of it holds port 8443";
        ensure!(refusal.to_string().contains(sentence), "the refusal does not say {sentence:?}");
        Ok(())
    }

    async fn apply(&mut self, files: &[&str]) -> Result<String> {
        let files = files.iter().flat_map(|file| ["-f", file]);
        self.run(&["apply"].into_iter().chain(files).collect::<Vec<_>>()).await
    }

    /// Shows a command and what it prints; a failure is an error.
    async fn run(&mut self, words: &[&str]) -> Result<String> {
        self.screen.command(words)?;
        let output = self.kubectl(words).await.map_err(|error| match error.to_string() {
            text if text.contains("failed calling webhook") && !self.cluster.is_own() => error.context(
                "the cluster's API server cannot reach the operator on this machine: see --webhook-address",
            ),
            _ => error,
        })?;
        self.screen.output(&output)?;
        Ok(output)
    }

    /// Runs kubectl: what it printed, or what it complained about.
    async fn kubectl(&self, words: &[&str]) -> Result<String> {
        let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
        let local = |word: &&str| match word.starts_with("examples/") {
            true => format!("{project}{word}"),
            false => (*word).to_owned(),
        };
        let output = self.cluster.kubectl(words.iter().map(local)).await?;
        let complaint = String::from_utf8_lossy(&output.stderr).replace(project, "");
        ensure!(output.status.success(), "{}", complaint.trim_end());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[words, &["-o", "json"]].concat()).await?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Result<T>) -> Result<T> {
        eventually(SOON, what, || look(self)).await
    }

    /// The number of a claim, which must be Bound and confirmed by its HostPort.
    async fn bound_port(&self, claim: &str) -> Result<u64> {
        let claim = self.json(&["get", "hpc", claim]).await?;
        ensure!(claim["status"]["phase"] == "Bound", "its status is {}", claim["status"]);
        let port = claim["status"]["port"].as_u64().context("it is Bound without a port")?;
        let hostport = self.json(&["get", "hp", &port.to_string()]).await?;
        let holder = &hostport["spec"]["claimRef"]["uid"];
        ensure!(*holder == claim["metadata"]["uid"], "HostPort {port} belongs to {holder}");
        Ok(port)
    }

    /// The claims of class tiny: those that are Bound, and one that waits because no port is left.
    async fn contenders(&self) -> Result<(Vec<String>, Option<String>)> {
        let list = self.json(&["get", "hpc"]).await?;
        let (mut bound, mut waiting) = (Vec::new(), None);
        for claim in list["items"].as_array().into_iter().flatten() {
            let name = claim["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let reason = &claim["status"]["conditions"][0]["reason"];
            match (claim["spec"]["hostPortClassName"] == "tiny", reason.as_str()) {
                (true, Some("Bound")) => bound.push(name),
                (true, Some("PoolExhausted")) => waiting = Some(name),
                _ => {}
            }
        }
        Ok((bound, waiting))
    }

    /// The API server refuses pods before the controller manager has made it.
    async fn service_account(&self, namespace: Option<&str>) -> Result<()> {
        if self.cluster.is_own() && self.cluster.pid(Program::ControllerManager).is_none() {
            return Ok(()); // Nobody makes one, and it is not asked for.
        }
        let mut words = vec!["get", "serviceaccount", "default"];
        words.extend(namespace.into_iter().flat_map(|name| ["--namespace", name]));
        self.until("the default ServiceAccount", async |story| story.kubectl(&words).await).await?;
        Ok(())
    }
}

/// What hostport has to do with a pod.
fn essence(pod: &Value) -> Value {
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let ours: serde_json::Map<_, _> = annotations
        .filter(|(key, _)| key.contains("hostport.io/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let containers: Vec<Value> = containers
        .map(|container| {
            json!({ "name": container["name"], "ports": container["ports"], "env": container["env"] })
        })
        .collect();
    json!({ "metadata": { "annotations": ours }, "spec": { "containers": containers } })
}
