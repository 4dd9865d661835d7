//! The command line: what can be set, and what it is called in the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};

/// PersistentVolumes for network ports: tenants claim a port, the operator binds it, pods use it by annotation.
///
/// Reads the cluster from KUBECONFIG, ~/.kube/config or, in a pod, its service account. Every option can be
/// given as the environment variable that its help names.
#[derive(Debug, Parser)]
#[command(name = "hostport", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bind claims to ports and give ports back.
    Controller {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        controller: ControllerOptions,
        #[command(flatten)]
        target: Target,
    },
    /// Put granted ports into pods, and refuse pods with ports that are not theirs.
    ///
    /// With --certificate-secret any number of replicas may run. Without it, it makes a serving certificate at start and
    /// applies the webhook configurations with its CA: run one replica, a second would replace the CA of the first.
    Admission {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        admission: AdmissionOptions,
        #[command(flatten)]
        target: Target,
    },
    /// Both in one process, for development: applies the definitions and webhooks to the current cluster first.
    Dev {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        controller: ControllerOptions,
        #[command(flatten)]
        admission: AdmissionOptions,
        #[command(flatten)]
        target: Target,
    },
    /// Print claims for the static hostPorts that pods carry already; nothing in the cluster is changed.
    ///
    /// A claim for each number and namespace that no claim accounts for yet, named after workload and port. Comments
    /// say which pods carry the number, who else has it, and which annotation ties the workload to the claim.
    #[command(after_help = ADOPT_EXAMPLE)]
    Adopt(AdoptOptions),
    /// Take our finalizer off all claims, so that they and their namespaces can be deleted without a controller.
    ///
    /// The last step before hostport leaves a cluster: nobody would take it off any more. The Helm chart does it by itself
    /// when it is uninstalled. Claims, ports and pods stay as they are; a controller that is installed later goes on with
    /// them. Controllers that run with --leader-elect stand by meanwhile and for a minute more: their Lease is taken.
    /// It may be repeated at any time.
    #[command(after_help = CLEANUP_EXAMPLE)]
    Cleanup(CleanupOptions),
    /// Print the CustomResourceDefinitions.
    Crds {
        /// Write them into this folder instead, a file each.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Print the webhook configurations, without the CA.
    Webhooks {
        #[command(flatten)]
        target: Target,
    },
    /// Ask health addresses until each answers 200, as `helm test` does; say what they answer.
    Probe {
        /// As http://hostport-admission:8080/readyz; plain HTTP, with a port.
        #[arg(required = true, value_name = "URL")]
        urls: Vec<String>,
        /// How many seconds it may take, for all of them.
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        timeout: u64,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CommonOptions {
    /// Where to serve /healthz, /readyz and /metrics; `[::]` is every address, port 0 takes a free one, the log says which.
    #[arg(long, env = "HOSTPORT_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,

    /// How to write the log.
    #[arg(long, env = "HOSTPORT_LOG_FORMAT", default_value = "json")]
    pub(crate) log_format: LogFormat,

    /// What to log: a level, or a filter like "info,reconciler=debug". The target "audit" has a line for each
    /// port that is granted, released or freed.
    #[arg(long, env = "HOSTPORT_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// An object a line.
    Json,
    /// For people.
    Text,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ControllerOptions {
    /// How many grants may be under way at once.
    #[arg(long, env = "HOSTPORT_BINDS_IN_FLIGHT", default_value_t = 64, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) binds_in_flight: u16,

    /// Act only while holding the Lease "hostport-controller", so that several replicas can stand by. Two that act at
    /// once are safe, but do the work twice.
    #[arg(long, env = "HOSTPORT_LEADER_ELECT", value_parser = FalseyValueParser::new())]
    pub(crate) leader_elect: bool,

    /// How long after a leader has died another takes over. A leader that cannot reach the API server for nearly as
    /// long stops.
    #[arg(long, env = "HOSTPORT_LEASE_DURATION", default_value = "3s", value_name = "DURATION", value_parser = duration)]
    pub(crate) lease_duration: Duration,

    #[command(flatten)]
    pub(crate) certificates: CertificateOptions,
}

/// The Secret, without which nobody can keep or serve what is in it.
pub(crate) const CERTIFICATE_SECRET: &str = "hostport-webhook-cert";

#[derive(Clone, Debug, Args)]
pub(crate) struct CertificateOptions {
    /// Keep CA and serving certificate of the webhooks in the Secret of --certificate-secret, renew them, and tell the API
    /// server whom to trust (caBundle of the webhook configurations). Needs --webhook-service. Leave it off where
    /// cert-manager writes the Secret.
    #[arg(long, env = "HOSTPORT_MANAGE_CERTIFICATES", value_parser = FalseyValueParser::new())]
    pub(crate) manage_certificates: bool,

    /// How long a CA lives. It is replaced when two thirds of that are over.
    #[arg(long, env = "HOSTPORT_CA_LIFETIME", default_value = "8760h", value_name = "DURATION", value_parser = duration)]
    pub(crate) ca_lifetime: Duration,

    /// How long a serving certificate lives, at most as long as its CA. It is replaced when two thirds of that are over.
    #[arg(long, env = "HOSTPORT_CERTIFICATE_LIFETIME", default_value = "2160h", value_name = "DURATION",
        value_parser = duration)]
    pub(crate) certificate_lifetime: Duration,

    /// A further host name or address that the certificate is for, where the API server reaches the webhooks by a URL
    /// and not by the Service.
    #[arg(
        long = "certificate-host",
        env = "HOSTPORT_CERTIFICATE_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub(crate) certificate_hosts: Vec<String>,
}

const ADOPT_EXAMPLE: &str = "Example:
  hostport adopt -n arena --class games > claims.yaml   # read the comments
  kubectl apply -f claims.yaml
  kubectl get hpc -n arena                              # each Bound to its number";

const CLEANUP_EXAMPLE: &str = "Example, where hostport was installed without the chart:
  hostport cleanup
  kubectl delete -k config/default";

#[derive(Clone, Debug, Args)]
pub(crate) struct CleanupOptions {
    /// Namespace in which hostport runs: where its Lease is.
    #[arg(long, env = "HOSTPORT_NAMESPACE", default_value = "hostport-system", value_name = "NAMESPACE")]
    pub(crate) namespace: String,

    /// How long it may take. What is left then is said.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AdoptOptions {
    /// Namespace whose pods are looked at [default: that of the kubeconfig's context].
    #[arg(long, short, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,

    /// Look at the pods of all namespaces.
    #[arg(long, short = 'A')]
    pub(crate) all_namespaces: bool,

    /// HostPortClass that the claims are to name; without it they use the default class.
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AdmissionOptions {
    /// Where to serve the webhooks (HTTPS); `[::]` is every address, port 0 takes a free one.
    #[arg(long, env = "HOSTPORT_WEBHOOK_LISTEN", default_value = "127.0.0.1:9443", value_name = "ADDR")]
    pub(crate) webhook_listen: SocketAddr,

    /// After SIGTERM: not ready, but serving for so many seconds more, so that nobody is refused who has not heard of it.
    #[arg(long, env = "HOSTPORT_DRAIN_SECONDS", default_value_t = 5, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) drain_seconds: u64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The Service by which the API server reaches the webhooks. Without it `hostport admission` and `hostport dev` put
    /// their own address in its place, which suits a control plane on this machine, and `hostport webhooks` says
    /// hostport-admission in the namespace of hostport.
    #[arg(long, env = "HOSTPORT_WEBHOOK_SERVICE", value_name = "NAMESPACE/NAME")]
    pub(crate) webhook_service: Option<ServiceName>,

    /// Namespace in which hostport itself runs: where its Lease and its Secret are. The webhooks leave it alone.
    #[arg(long, env = "HOSTPORT_NAMESPACE", default_value = "hostport-system", value_name = "NAMESPACE")]
    pub(crate) namespace: String,

    /// The Secret with the webhooks' certificate (keys tls.crt, tls.key, ca.crt), in the namespace of --namespace. For
    /// admission: serve what it has, and leave the webhook configurations to others; without it admission makes a
    /// certificate for itself [default for --manage-certificates: hostport-webhook-cert].
    #[arg(long, env = "HOSTPORT_CERTIFICATE_SECRET", value_name = "NAME")]
    pub(crate) certificate_secret: Option<String>,
}

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ServiceName {
    /// As the API server calls it.
    pub(crate) fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl std::str::FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected NAMESPACE/NAME, as hostport-system/hostport-admission".to_owned()),
        }
    }
}

/// As in manifests: `30s`, `1h30m`. Whole seconds matter, a Lease has no others.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<kube::core::Duration>().ok().filter(|it| !it.is_negative()).map(Duration::from);
    match parsed {
        Some(duration) if duration >= Duration::from_secs(1) => Ok(duration),
        _ => Err("expected a duration of a second or more, as 30s or 720h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit_and_a_second_at_least() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "3", "-3s", "0s", "500ms", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_service_has_a_namespace_and_a_name() {
        let service: ServiceName = "hostport-system/hostport-admission".parse().unwrap();

        assert_eq!(
            (service.namespace.as_str(), service.name.as_str()),
            ("hostport-system", "hostport-admission")
        );
        for wrong in ["hostport", "/x", "x/", "a/b/c"] {
            assert!(wrong.parse::<ServiceName>().is_err(), "{wrong} was accepted");
        }
    }
}
