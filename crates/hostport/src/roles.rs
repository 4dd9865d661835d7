//! What the process can be: controller, admission, or both. Each part is a task; the first to end ends the
//! process with its reason.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, bail};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    cli::{
        AdmissionOptions, CERTIFICATE_SECRET, CertificateOptions, CommonOptions, ControllerOptions,
        ServiceName, Target,
    },
    definitions,
    election::Election,
    health::{self, Readiness},
    leadership::Leadership,
    listening::listen,
    logging,
    serving::Certificate,
};

/// A call that is not answered for so long never will be: the connection is dead. To wait because the API server has
/// said so (429) does not count.
const ANSWER: Duration = Duration::from_secs(15);
/// The same for watches, which end after 24 s. Nothing else ends a watch whose begin is never answered: the client's
/// default is no limit.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the end waits for those who ask how it goes.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

pub(crate) async fn controller(
    common: CommonOptions,
    options: ControllerOptions,
    target: Target,
) -> anyhow::Result<()> {
    let mut process = Process::start(common, target, 1).await?;
    process.add_controller(options)?;
    process.run().await
}

pub(crate) async fn admission(
    common: CommonOptions,
    options: AdmissionOptions,
    target: Target,
) -> anyhow::Result<()> {
    let mut process = Process::start(common, target, 1).await?;
    process.add_admission(&options)?;
    process.run().await
}

pub(crate) async fn dev(
    common: CommonOptions,
    controller: ControllerOptions,
    admission: AdmissionOptions,
    target: Target,
) -> anyhow::Result<()> {
    let mut process = Process::start(common, target, 2).await?;
    // Before the definitions already; who only serves admission looks before the webhooks.
    definitions::not_installed(&process.client).await?;
    definitions::apply(&process.client).await?;
    process.add_controller(controller)?;
    // Nobody else serves: who stops it wants it to end.
    process.add_admission(&AdmissionOptions { drain_seconds: 0, ..admission })?;
    process.run().await
}

struct Process {
    common: CommonOptions,
    target: Target,
    client: Client,
    watching: Client,
    registry: Registry,
    readiness: Readiness,
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: watch::Sender<bool>,
}

impl Process {
    async fn start(common: CommonOptions, target: Target, parts: usize) -> anyhow::Result<Self> {
        logging::start(&common)?;
        let mut config = crate::cluster::config().await?;
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
            target,
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

    fn add_controller(&mut self, options: ControllerOptions) -> anyhow::Result<()> {
        let metrics = reconciler::shell::Metrics::register(&mut self.registry);
        let config = reconciler::core::Config {
            binds_in_flight: options.binds_in_flight.into(),
            seed: u64::from(std::process::id()) << 32 | u64::from(jitter()),
        };
        let clients =
            reconciler::shell::Clients { watches: self.watching.clone(), requests: self.client.clone() };
        let (leadership, begin, over) = self.add_election(&options);
        if options.certificates.manage_certificates {
            self.add_certificates(&options.certificates, &leadership)?;
        }
        let (stopped, given_up, readiness) = (self.stopped(), self.stopped(), self.readiness.clone());
        self.parts.spawn(async move {
            let ready = || {
                readiness.one_is_ready();
                let _ = begin.send(());
            };
            let run = async {
                tokio::select! {
                    established = definitions::established(&clients.watches) => established?,
                    () = given_up => return Ok(()),
                }
                leadership.act(clients, config, metrics, ready, stopped).await
            };
            let ended = run.await;
            drop(over);
            ("controller", ended)
        });
        Ok(())
    }

    /// An election in which this process takes part as soon as it can act, and until it does not act any more: to send by
    /// the first end begins it, to drop the second ends it. Without election this process leads.
    fn add_election(
        &mut self,
        options: &ControllerOptions,
    ) -> (Leadership, oneshot::Sender<()>, oneshot::Sender<()>) {
        let leads = Leadership::register(&mut self.registry, !options.leader_elect, self.readiness.clone());
        let ((begin, begun), (over, is_over)) = (oneshot::channel(), oneshot::channel::<()>());
        if options.leader_elect {
            let (teller, duration, namespace) =
                (leads.clone(), options.lease_duration, &self.target.namespace);
            let tell = move |leading| teller.tell(leading);
            let election =
                Election::new(self.client.clone(), self.watching.clone(), namespace, duration, tell);
            self.parts.spawn(async move {
                if begun.await.is_ok() {
                    election.run(async { drop(is_over.await) }).await;
                }
                ("election", Ok(()))
            });
        }
        (leads, begin, over)
    }

    /// The leader keeps the webhooks' certificates.
    fn add_certificates(
        &mut self,
        options: &CertificateOptions,
        leadership: &Leadership,
    ) -> anyhow::Result<()> {
        let service = self.target.webhook_service.iter().map(ServiceName::host);
        let hosts: BTreeSet<_> = service.chain(options.certificate_hosts.iter().cloned()).collect();
        if hosts.is_empty() {
            bail!(
                "--manage-certificates needs to know whom the certificate is for: add --webhook-service NAMESPACE/NAME"
            );
        }
        let secret = self.target.certificate_secret.clone();
        let settings = certificates::Settings {
            namespace: self.target.namespace.clone(),
            secret: secret.unwrap_or_else(|| CERTIFICATE_SECRET.to_owned()),
            hosts,
            lifetimes: certificates::Lifetimes {
                ca: options.ca_lifetime,
                certificate: options.certificate_lifetime,
            },
        };
        let expiry = certificates::Expiry::register(&mut self.registry);
        let (client, watching) = (self.client.clone(), self.watching.clone());
        let (leadership, stopped) = (leadership.clone(), self.stopped());
        let keep =
            move || certificates::Keeper::new(&client, &watching, settings.clone(), expiry.clone()).keep();
        self.parts.spawn(async move {
            tokio::select! {
                () = leadership.while_leading(keep) => {}
                () = stopped => {}
            }
            ("certificates", Ok(()))
        });
        Ok(())
    }

    fn add_admission(&mut self, options: &AdmissionOptions) -> anyhow::Result<()> {
        let listener = listen(options.webhook_listen)
            .with_context(|| format!("--webhook-listen {}", options.webhook_listen))?;
        let addr = listener.local_addr()?;
        let mut certificate = match &self.target.certificate_secret {
            None => Certificate::own(&self.target, addr)?,
            Some(secret) => {
                let expiry = certificates::Expiry::register(&mut self.registry);
                let (watching, namespace) = (self.watching.clone(), &self.target.namespace);
                Certificate::Stored(::admission::Certificates::new(watching, namespace, secret, expiry))
            }
        };
        let metrics = ::admission::Metrics::default();
        metrics.register(&mut self.registry);
        tracing::info!(%addr, "serving webhooks");

        let admission = ::admission::Admission::new(self.client.clone(), metrics);
        let (client, watching, readiness) =
            (self.client.clone(), self.watching.clone(), self.readiness.clone());
        let (stopped, given_up) = (self.stopped(), self.stopped());
        let drain = Duration::from_secs(options.drain_seconds);
        let begin = async move {
            definitions::established(&watching).await?;
            let serving = certificate.first(&client).await?;
            readiness.one_is_ready();
            anyhow::Ok((certificate, serving, watching))
        };
        let serve = async move {
            let (mut certificate, serving, watching) = tokio::select! {
                begun = begin => begun?,
                () = given_up => return Ok(()),
            };
            let claims = admission.clone();
            tokio::select! {
                served = ::admission::serve(admission, listener, &serving, stopped, drain) => served,
                failed = certificate.replace(&serving) => failed,
                () = claims.watch(watching) => bail!("the watch of claims ended"),
            }
        };
        self.parts.spawn(async move { ("admission", serve.await) });
        Ok(())
    }

    /// Until a part ends, or SIGTERM or SIGINT; then the others finish what they have begun. Health is told to the last.
    async fn run(mut self) -> anyhow::Result<()> {
        let registry = std::mem::take(&mut self.registry);
        let (over, is_over) = oneshot::channel::<()>();
        let health = health::serve(self.common.listen, self.readiness.clone(), registry, async {
            drop(is_over.await);
        });
        let mut health = tokio::spawn(health);
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut result = Ok(());
        let mut next = tokio::select! {
            first = self.parts.join_next() => first,
            ended = &mut health => {
                return ended.context("the health server panicked")?.context("the health server ended");
            }
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        tracing::info!("stopping");
        self.readiness.stops();
        self.stop.send_replace(true);
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
                break;
            }
        }
        drop(over);
        let _ = timeout(LAST_ANSWERS, health).await;
        result
    }
}

/// Two processes of one number, in two containers, must not pick alike.
fn jitter() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.subsec_nanos())
}
