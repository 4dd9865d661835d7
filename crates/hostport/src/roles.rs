//! What the process can be: controller, admission, or both. Each part is a task; the first to end ends the
//! process with its reason.

use std::{net::TcpListener, time::Duration};

use anyhow::Context;
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use crate::{
    cli::{AdmissionOptions, CommonOptions, ControllerOptions},
    definitions,
    health::{self, Readiness},
    logging,
};

/// A call that is not answered for so long never will be: the connection is dead. To wait because the API server has
/// said so (429) does not count.
const ANSWER: Duration = Duration::from_secs(15);
/// The same for watches, which end after 24 s. Nothing else ends a watch whose begin is never answered: the client's
/// default is no limit.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) async fn controller(common: CommonOptions, options: &ControllerOptions) -> anyhow::Result<()> {
    let mut process = Process::start(common, 1).await?;
    process.add_controller(options);
    process.run().await
}

pub(crate) async fn admission(common: CommonOptions, options: &AdmissionOptions) -> anyhow::Result<()> {
    let mut process = Process::start(common, 1).await?;
    process.add_admission(options)?;
    process.run().await
}

pub(crate) async fn dev(
    common: CommonOptions,
    controller: &ControllerOptions,
    admission: &AdmissionOptions,
) -> anyhow::Result<()> {
    let mut process = Process::start(common, 2).await?;
    definitions::apply(&process.client).await?;
    process.add_controller(controller);
    process.add_admission(admission)?;
    process.run().await
}

struct Process {
    common: CommonOptions,
    client: Client,
    watching: Client,
    registry: Registry,
    readiness: Readiness,
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: watch::Sender<bool>,
}

impl Process {
    async fn start(common: CommonOptions, parts: usize) -> anyhow::Result<Self> {
        logging::start(&common)?;
        let mut config =
            Config::infer().await.context("find the cluster: set KUBECONFIG, or run in a pod")?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.write_timeout = Some(ANSWER);
        config.read_timeout = Some(SILENCE);
        // Counted from the request, not from when the connection was used last.
        config.reset_reader_on_write = true;
        let watching = Client::try_from(config.clone()).context("connect to the cluster")?;
        config.read_timeout = Some(ANSWER);
        let client = Client::try_from(config).context("connect to the cluster")?;
        let (stop, _) = watch::channel(false);
        let readiness = Readiness::awaiting(parts);
        Ok(Self {
            common,
            client,
            watching,
            registry: Registry::default(),
            readiness,
            parts: JoinSet::new(),
            stop,
        })
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move { drop(stop.wait_for(|stop| *stop).await) }
    }

    fn add_controller(&mut self, options: &ControllerOptions) {
        let metrics = reconciler::shell::Metrics::register(&mut self.registry);
        let config = reconciler::core::Config {
            binds_in_flight: options.binds_in_flight.into(),
            seed: u64::from(std::process::id()) << 32 | u64::from(jitter()),
        };
        let clients =
            reconciler::shell::Clients { watches: self.watching.clone(), requests: self.client.clone() };
        let (stopped, readiness) = (self.stopped(), self.readiness.clone());
        self.parts.spawn(async move {
            let run = async {
                definitions::established(&clients.watches).await?;
                reconciler::shell::run(clients, config, metrics, || readiness.one_is_ready(), stopped).await
            };
            ("controller", run.await)
        });
    }

    fn add_admission(&mut self, options: &AdmissionOptions) -> anyhow::Result<()> {
        let listener = TcpListener::bind(options.webhook_listen)
            .with_context(|| format!("--webhook-listen {}", options.webhook_listen))?;
        let addr = listener.local_addr()?;
        let (target, names) = match &options.target.webhook_service {
            Some(service) => {
                let host = format!("{}.{}.svc", service.name, service.namespace);
                let (namespace, name) = (service.namespace.clone(), service.name.clone());
                (::admission::Target::Service { namespace, name, port: 443 }, host)
            }
            None => (::admission::Target::Url(format!("https://{addr}")), addr.ip().to_string()),
        };
        let serving = ::admission::self_signed(&[names])?;
        let metrics = ::admission::Metrics::default();
        metrics.register(&mut self.registry);
        tracing::info!(%addr, "serving webhooks");

        let (client, watching) = (self.client.clone(), self.watching.clone());
        let (stopped, readiness) = (self.stopped(), self.readiness.clone());
        let own_namespace = options.target.namespace.clone();
        self.parts.spawn(async move {
            let admission = ::admission::Admission::new(client.clone(), metrics);
            let claims = admission.clone();
            let install = async {
                definitions::established(&watching).await?;
                let install = || ::admission::install(&client, &target, serving.ca_pem(), &own_namespace);
                definitions::patiently(install).await?;
                readiness.one_is_ready();
                claims.watch(watching.clone()).await;
                anyhow::bail!("the watch of claims ended")
            };
            let served = tokio::select! {
                served = ::admission::serve(admission, listener, &serving, stopped) => served,
                failed = install => failed,
            };
            ("admission", served)
        });
        Ok(())
    }

    /// Until a part ends, or SIGTERM or SIGINT; then the others finish what they have begun.
    async fn run(mut self) -> anyhow::Result<()> {
        let registry = std::mem::take(&mut self.registry);
        let health = health::serve(self.common.listen, self.readiness.clone(), registry, self.stopped());
        self.parts.spawn(async move { ("health", health.await) });
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let first = tokio::select! {
            first = self.parts.join_next() => first,
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        tracing::info!("stopping");
        self.stop.send_replace(true);
        let mut result = Ok(());
        let mut next = first;
        loop {
            if let Some(ended) = next {
                let (part, ended) = ended.context("a part of the process panicked")?;
                if let Err(error) = ended {
                    tracing::error!(part, error = format!("{error:#}"), "ended");
                    result = Err(error.context(format!("the {part} ended")));
                }
            }
            next = self.parts.join_next().await;
            if next.is_none() {
                return result;
            }
        }
    }
}

/// Two processes of one number, in two containers, must not pick alike.
fn jitter() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.subsec_nanos())
}
