//! Which of several controllers acts: the one that holds the Lease. Safety does not depend on it, see I1; it saves the
//! work of two. What is decided is decided in `candidate`, here it is only done.
//!
//! No crate fits kube 5 and what is asked for: kube-lease-manager compares renewTime, written by another machine, with
//! the own clock, sleeps until that time and so does not notice a Lease that is given back, and writes without a
//! resourceVersion; the others are made for older versions of kube.

mod candidate;

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Error,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::{sleep_until, timeout};

use self::candidate::{Candidate, Step};

/// The Lease's name.
pub(crate) const LEASE: &str = "hostport-controller";
const FIELD_MANAGER: &str = "hostport";
/// A watch ends within this time, seconds, and is begun anew, so that a dead connection is noticed.
const WATCH_LIMIT: u32 = 24;

/// The Lease as watches and reads show it, `None` if there is none.
type News = watcher::Result<Option<Lease>>;

/// One that leads or wants to.
pub(crate) struct Election {
    leases: Api<Lease>,
    news: std::pin::Pin<Box<dyn Stream<Item = News> + Send>>,
    candidate: Candidate,
    tell: Box<dyn Fn(bool) + Send + Sync>,
    told: bool,
    start: Instant,
}

impl Election {
    /// A candidate for the Lease of this namespace. It tells when it begins to lead, and when it has to stop.
    pub(crate) fn new(
        client: Client,
        watching: Client,
        namespace: &str,
        duration: Duration,
        tell: impl Fn(bool) + Send + Sync + 'static,
    ) -> Self {
        let candidate = Candidate::new(identity(), duration);
        let news = lease_news(Api::namespaced(watching, namespace)).boxed();
        let leases = Api::namespaced(client, namespace);
        Self { leases, news, candidate, tell: Box::new(tell), told: false, start: Instant::now() }
    }

    /// Leads whenever it may, until `stop` resolves; then the Lease is left to the next.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let step = self.candidate.step(self.now());
            let done = async {
                match step {
                    Step::Wait(until) => self.wait(until).await,
                    Step::Read => self.read().await,
                    Step::Write => self.write().await,
                    Step::Lose => self.candidate.lose(),
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = done => self.tell(),
            }
        }
        self.leave().await;
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Tells others, and people, if it has changed.
    fn tell(&mut self) {
        let leads = self.candidate.leads();
        if std::mem::replace(&mut self.told, leads) == leads {
            return;
        }
        (self.tell)(leads);
        if leads {
            tracing::info!(lease = LEASE, "leading: this process binds and releases");
        } else {
            let holder = self.candidate.holder().unwrap_or_default();
            tracing::warn!(lease = LEASE, holder, "the Lease is lost: this process stops and stands by");
        }
    }

    async fn wait(&mut self, until: Duration) {
        tokio::select! {
            news = self.news.next() => match news {
                Some(Ok(lease)) => self.candidate.saw(lease, self.now()),
                Some(Err(error)) => tracing::debug!(%error, "the watch of the Lease failed, it is begun anew"),
                // Without news it goes on by the clock.
                None => sleep_until((self.start + until).into()).await,
            },
            () = sleep_until((self.start + until).into()) => {}
        }
    }

    async fn read(&mut self) {
        match timeout(self.candidate.patience(self.now()), self.leases.get_opt(LEASE)).await {
            Ok(Ok(lease)) => self.candidate.saw(lease, self.now()),
            Ok(Err(error)) => self.failed(&error),
            Err(_) => self.candidate.failed(self.now()),
        }
    }

    async fn write(&mut self) {
        let begun = self.now();
        let lease = self.candidate.taken(LEASE, Timestamp::now());
        match timeout(self.candidate.patience(self.now()), self.store(&lease)).await {
            Ok(Ok(stored)) => self.candidate.wrote(stored, begun, self.now()),
            Ok(Err(Error::Api(status)))
                if matches!(status.code, 404 | 409) && lease_is_stale(&status, &lease) =>
            {
                self.candidate.met_another();
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => self.candidate.failed(self.now()),
        }
    }

    async fn store(&mut self, lease: &Lease) -> Result<Lease, Error> {
        match lease.metadata.resource_version {
            Some(_) => self.leases.replace(LEASE, &params(), lease).await,
            None => self.leases.create(&params(), lease).await,
        }
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(lease = LEASE, %error, "the Lease cannot be read or written; trying again");
        self.candidate.failed(self.now());
    }

    /// Twice, for a renewal may be under way.
    async fn leave(&mut self) {
        for _ in 0..2 {
            let Some(lease) = self.candidate.left() else { return };
            match timeout(self.candidate.patience(self.now()), self.store(&lease)).await {
                Ok(Ok(_)) => return tracing::info!(lease = LEASE, "the Lease is given back"),
                Ok(Err(error)) => tracing::debug!(%error, "the Lease is not given back yet"),
                Err(_) => {}
            }
            self.candidate.met_another();
            self.read().await;
        }
        tracing::warn!(
            lease = LEASE,
            "the Lease could not be given back; another process leads when it runs out"
        );
    }
}

/// A conflict; or the Lease that was to be replaced is gone. To create one in a namespace that is not there is neither.
fn lease_is_stale(status: &kube::core::Status, lease: &Lease) -> bool {
    status.code == 409 || lease.metadata.resource_version.is_some()
}

fn lease_news(leases: Api<Lease>) -> impl Stream<Item = News> {
    let config = watcher::Config::default().fields(&format!("metadata.name={LEASE}")).timeout(WATCH_LIMIT);
    watcher(leases, config).default_backoff().filter_map(async |change| match change {
        Ok(watcher::Event::Apply(lease) | watcher::Event::InitApply(lease)) => Some(Ok(Some(lease))),
        Ok(watcher::Event::Delete(_)) => Some(Ok(None)),
        // That it is not in a listing is found out by who writes it.
        Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
        Err(error) => Some(Err(error)),
    })
}

/// Of this process alone: of two with one identity each would take the other's renewals for its own.
fn identity() -> String {
    let host = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos() as u64);
    format!("{}_{}-{nanos:x}", host.as_deref().unwrap_or("hostport"), std::process::id())
}

/// Takes the Lease, if there is one, from whoever holds it: no controller leads for this time, unless it is given back.
pub(crate) async fn take_away(client: &Client, namespace: &str, duration: Duration) -> Result<(), Error> {
    let leases = Api::<Lease>::namespaced(client.clone(), namespace);
    loop {
        let Some(lease) = leases.get_opt(LEASE).await? else { return Ok(()) };
        let mut taker = Candidate::new(format!("cleanup_{}", identity()), duration);
        taker.saw(Some(lease), Duration::ZERO);
        match leases.replace(LEASE, &params(), &taker.taken(LEASE, Timestamp::now())).await {
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
