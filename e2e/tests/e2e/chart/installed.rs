//! A cluster of its own in which Helm has installed the chart: its policies and rights would be in the way of the other
//! scenarios. No nodes, so its Deployments' pods do not run: the processes run beside it, by the
//! Deployments' command lines and as their ServiceAccounts.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crds::{HostPort, HostPortClaim};
use e2e::devcluster::{DevCluster, Options};
use e2e::operator::Operator;
use e2e::{chart, eventually, helm::Helm};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::rights::may_what_its_roles_say;
use crate::support::SOON;

pub struct Installed {
    pub cluster: DevCluster,
    /// Two controllers and two admissions.
    operators: Vec<Operator>,
}

/// The cluster, for whoever comes first.
pub async fn installed() -> Result<&'static Installed> {
    static INSTALLED: OnceCell<Installed> = OnceCell::const_new();
    INSTALLED.get_or_try_init(Installed::new).await
}

/// A new cluster with the chart in it.
pub async fn with_chart() -> Result<DevCluster> {
    let cluster = DevCluster::start(Options::default()).await?;
    let kubeconfig = cluster.kubeconfig().to_owned();
    let dir = chart::dir().display().to_string();
    let args = ["install", "hostport", &dir, "--namespace", chart::NAMESPACE, "--create-namespace"];
    let args = args.map(str::to_owned);
    tokio::task::spawn_blocking(move || {
        Helm::find_or_build()?.run(Some(&kubeconfig), &args.each_ref().map(String::as_str))
    })
    .await??;
    Ok(cluster)
}

/// Writes a kubeconfig with a token of the ServiceAccount, once the API server knows its roles: a right of a moment
/// ago may be refused, and what was refused is held against us.
pub async fn log_in(cluster: &DevCluster, account: &str) -> Result<()> {
    let args = ["create", "token", account, "--duration=3h", "-n", chart::NAMESPACE];
    let token = cluster.run_kubectl(&args, "").await?;
    let mut kubeconfig: Value = serde_yaml_ng::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    fs::write(cluster.kubeconfig_of(account), kubeconfig.to_string())?;
    eventually(SOON, "the roles to be known", || may_what_its_roles_say(cluster, account)).await
}

/// `kubectl apply` as admin.
pub async fn apply(cluster: &DevCluster, objects: &[Value]) -> Result<()> {
    let yaml: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
    cluster.run_kubectl(&["apply", "-f", "-"], &yaml).await.map(drop)
}

impl Installed {
    async fn new() -> Result<Installed> {
        let cluster = with_chart().await?;
        let mut installed = Installed { cluster, operators: Vec::new() };
        for account in chart::ACCOUNTS {
            log_in(&installed.cluster, account).await?;
        }
        for part in ["controller", "controller", "admission"] {
            installed.start(part).await?;
        }
        installed.lead_calls_to(installed.operators[2].log()).await?;
        Ok(installed)
    }

    /// Runs what a Deployment of the chart runs, as its ServiceAccount; only where it listens is another place.
    async fn start(&mut self, part: &str) -> Result<()> {
        let account = format!("hostport-{part}");
        let args = ["get", "deployment", &account, "-n", chart::NAMESPACE, "-o", "json"];
        let deployment: Value = serde_json::from_slice(&self.cluster.kubectl(args).await?.stdout)?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let words = container["args"]
            .as_array()
            .context("the Deployment has no args")?
            .iter()
            .filter_map(Value::as_str);
        let mut args: Vec<&str> = words.filter(|word| !word.contains("listen=")).collect();
        if part == "admission" {
            args.extend(["--webhook-listen", "127.0.0.1:0"]);
        }
        let kubeconfig = self.cluster.kubeconfig_of(&account).display().to_string();
        let mut env = vec![("KUBECONFIG", kubeconfig.as_str())];
        if part == "controller" {
            // Renewed while tests run: what that needs is used, too, and no pod is refused for it.
            env.extend([("HOSTPORT_CA_LIFETIME", "180s"), ("HOSTPORT_CERTIFICATE_LIFETIME", "90s")]);
        }
        self.operators.push(Operator::start(&self.cluster, &args, &env).await?);
        Ok(())
    }

    /// The Service has no pods here, and the API server no DNS: it is told that the Service is this machine, and at which
    /// port. Name and certificate stay those of the Service.
    async fn lead_calls_to(&self, admission: &Path) -> Result<()> {
        let log = fs::read_to_string(admission)?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let serving = lines.filter(|line| line.to_string().contains("serving webhooks")).find_map(|line| {
            let address = line.pointer("/fields/addr").or_else(|| line.get("addr"))?.as_str()?.to_owned();
            address.parse::<SocketAddr>().ok()
        });
        let port = serving.context("admission does not say where it serves")?.port();
        let admin = self.cluster.client().await?;
        let services: Api<Service> = Api::namespaced(admin, chart::NAMESPACE);
        let here = json!({"spec": {"type": "ExternalName", "externalName": "localhost", "clusterIP": null, "clusterIPs": null}});
        services.patch("hostport-admission", &PatchParams::default(), &Patch::Merge(here)).await?;
        for (kind, name, webhooks) in [
            ("mutatingwebhookconfiguration", "pods.hostport.io", 1),
            ("validatingwebhookconfiguration", "check.pods.hostport.io", 3),
        ] {
            let port = |index| json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig/service/port"), "value": port});
            let patch = Value::from((0..webhooks).map(port).collect::<Vec<Value>>()).to_string();
            self.cluster.run_kubectl(&["patch", kind, name, "--type=json", "-p", &patch], "").await?;
        }
        Ok(())
    }

    /// What all processes tell Prometheus, one after the other.
    pub async fn metrics(&self) -> Result<String> {
        let mut all = String::new();
        for operator in &self.operators {
            all += &operator.get("/metrics").await?.1;
        }
        Ok(all)
    }

    /// A client of somebody else, with what Kubernetes gives to everybody who is logged in.
    pub async fn client_as(&self, user: &str) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.cluster.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
        Ok(Client::try_from(config)?)
    }

    /// `kubectl apply` as admin.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        apply(&self.cluster, objects).await
    }

    /// A namespace with these labels, in which user "alice" may edit.
    pub async fn tenant(&self, name: &str, labels: Value) -> Result<Tenant> {
        self.apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "alice", "namespace": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
            }),
        ])
        .await?;
        let tenant = Tenant { namespace: name.to_owned(), client: self.client_as("alice").await? };
        // Until the namespace has its ServiceAccount, and the roles are aggregated.
        let admin = self.cluster.client().await?;
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(admin, name);
        eventually(SOON, "the namespace to be ready for its tenant", || async {
            accounts.get("default").await?;
            tenant.api::<HostPortClaim>().list(&Default::default()).await?;
            Ok(())
        })
        .await?;
        Ok(tenant)
    }

    /// A class of these numbers, which rest a second.
    pub async fn class(&self, name: &str, start: u16, end: u16, reclaim: &str) -> Result<()> {
        let pools = json!([{"start": start, "end": end}]);
        let spec = json!({"pools": pools, "reuseDelay": "1s", "reclaimPolicy": reclaim});
        let class = json!({"apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClass", "metadata": {"name": name}, "spec": spec});
        self.apply(&[class]).await
    }

    /// Binds a ClusterRole to a user.
    pub async fn grant(&self, user: &str, role: &str) -> Result<()> {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{user}-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        self.apply(&[binding]).await
    }

    /// The HostPort, once it says this.
    pub async fn host_port(&self, port: u16, phase: &str) -> Result<HostPort> {
        let api: Api<HostPort> = Api::all(self.cluster.client().await?);
        eventually(SOON, &format!("HostPort {port} to be {phase}"), || async {
            let found = api.get(&port.to_string()).await?;
            ensure!(found.spec.phase.as_str() == phase, "it is {}", found.spec.phase.as_str());
            Ok(found)
        })
        .await
    }
}

/// Who has a namespace.
pub struct Tenant {
    pub namespace: String,
    pub client: Client,
}

impl Tenant {
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a claim and waits for its number.
    pub async fn claim(&self, name: &str, class: &str) -> Result<u16> {
        let claim = json!({
            "apiVersion": "hostport.io/v1alpha1", "kind": "HostPortClaim",
            "metadata": {"name": name}, "spec": {"hostPortClassName": class},
        });
        let api = self.api::<HostPortClaim>();
        api.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
        eventually(Duration::from_secs(60), &format!("claim {name} to be Bound"), || async {
            let port = api.get(name).await?.status.and_then(|status| status.port);
            port.map(crds::Port::get).context("it has no number")
        })
        .await
    }
}

/// What the API server said against it.
pub fn refusal<T>(answer: kube::Result<T>) -> Result<String> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        Err(error) => Err(error).context("not a refusal"),
        Ok(_) => anyhow::bail!("it was allowed"),
    }
}
