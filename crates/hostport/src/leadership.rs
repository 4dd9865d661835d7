//! Whether this process leads: told by the election, heard by all that may act only then.

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use reconciler::{
    core::Config,
    shell::{Clients, Metrics, run},
};
use tokio::sync::watch;

use crate::health::Readiness;

/// Whether this process leads. Clones tell and hear the same.
#[derive(Clone)]
pub(crate) struct Leadership {
    leads: watch::Sender<bool>,
    gauge: Gauge,
    readiness: Readiness,
}

impl Leadership {
    pub(crate) fn register(registry: &mut Registry, leads: bool, readiness: Readiness) -> Self {
        let gauge = Gauge::default();
        registry.register(
            "hostport_leader",
            "1 if this process binds and releases, 0 if it stands by",
            gauge.clone(),
        );
        let leadership = Self { leads: watch::Sender::new(leads), gauge, readiness };
        leadership.tell(leads);
        leadership
    }

    pub(crate) fn tell(&self, leads: bool) {
        self.gauge.set(leads.into());
        self.readiness.stands_by(!leads);
        self.leads.send_replace(leads);
    }

    /// Until this process leads.
    pub(crate) fn gained(&self) -> impl Future<Output = ()> + Send + use<> {
        self.becomes(true)
    }

    /// Until this process has led and does not any more.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let (gained, lost) = (self.becomes(true), self.becomes(false));
        async move {
            gained.await;
            lost.await;
        }
    }

    fn becomes(&self, wanted: bool) -> impl Future<Output = ()> + Send + use<> {
        let mut leads = self.leads.subscribe();
        async move {
            if leads.wait_for(|leads| *leads == wanted).await.is_err() {
                std::future::pending::<()>().await; // Nobody tells any more: the process ends.
            }
        }
    }

    /// Does this whenever this process leads, for as long as it leads.
    pub(crate) async fn while_leading<F>(&self, work: impl Fn() -> F)
    where
        F: Future<Output = ()>,
    {
        loop {
            self.gained().await;
            tokio::select! {
                () = work() => {}
                () = self.lost() => {}
            }
        }
    }

    /// Binds and releases while this process leads. When it has lost the lead all is dropped, what is known too, and it
    /// stands by as a process that has just begun (I8).
    pub(crate) async fn act(
        &self,
        clients: Clients,
        config: Config,
        metrics: Metrics,
        ready: impl FnOnce() + Send,
        stopped: impl Future<Output = ()> + Send,
    ) -> anyhow::Result<()> {
        let mut ready = Some(ready);
        tokio::pin!(stopped);
        loop {
            let lost = self.lost();
            let (clients, config, metrics) = (clients.clone(), config.clone(), metrics.clone());
            let ready = || ready.take().into_iter().for_each(|ready| ready());
            tokio::select! {
                ended = run(clients, config, metrics, ready, self.gained(), &mut stopped) => return ended,
                () = lost => {}
            }
        }
    }
}
