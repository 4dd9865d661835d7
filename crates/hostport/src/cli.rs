//! The command line: what can be set, and what it is called in the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    },
    /// Put granted ports into pods, and refuse pods with ports that are not theirs.
    ///
    /// Makes a serving certificate at start and applies the webhook configurations with its CA. Run one
    /// replica: a second would replace the CA of the first.
    Admission {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        admission: AdmissionOptions,
    },
    /// Both in one process, for development: applies the definitions and webhooks to the current cluster first.
    Dev {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        controller: ControllerOptions,
        #[command(flatten)]
        admission: AdmissionOptions,
    },
    /// Print claims for the static hostPorts that pods carry already; nothing in the cluster is changed.
    ///
    /// A claim for each number and namespace that no claim accounts for yet, named after workload and port. Comments
    /// say which pods carry the number, who else has it, and which annotation ties the workload to the claim.
    #[command(after_help = ADOPT_EXAMPLE)]
    Adopt(AdoptOptions),
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
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CommonOptions {
    /// Where to serve /healthz, /readyz and /metrics; port 0 takes a free one, the log says which.
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
}

const ADOPT_EXAMPLE: &str = "Example:
  hostport adopt -n arena --class games > claims.yaml   # read the comments
  kubectl apply -f claims.yaml
  kubectl get hpc -n arena                              # each Bound to its number";

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
    /// Where to serve the webhooks (HTTPS); port 0 takes a free one.
    #[arg(long, env = "HOSTPORT_WEBHOOK_LISTEN", default_value = "127.0.0.1:9443", value_name = "ADDR")]
    pub(crate) webhook_listen: SocketAddr,

    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The Service by which the API server reaches the webhooks. Without it the address of --webhook-listen is
    /// used, which suits a control plane on this machine.
    #[arg(long, env = "HOSTPORT_WEBHOOK_SERVICE", value_name = "NAMESPACE/NAME")]
    pub(crate) webhook_service: Option<ServiceName>,

    /// Namespace in which hostport itself runs; the webhooks leave it alone.
    #[arg(long, env = "HOSTPORT_NAMESPACE", default_value = "hostport-system", value_name = "NAMESPACE")]
    pub(crate) namespace: String,
}

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) namespace: String,
    pub(crate) name: String,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
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
