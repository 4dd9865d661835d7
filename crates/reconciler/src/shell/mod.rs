//! The shell: feeds the core from watches and carries its actions out against an API server. It decides
//! nothing.

mod convert;
mod execute;
mod metrics;
mod notices;
mod patches;
mod slim;
mod watchdog;
mod watches;

use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use kube::Client;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};

pub use self::metrics::Metrics;
use self::{
    execute::Executor,
    watchdog::{REWOUND, watch_for_rewind},
    watches::Watches,
};
use crate::{
    adoption::Adoption,
    core::{Config, Core},
    seen::Now,
};

/// How many of what waits is taken in before the core is asked again.
const BATCH: usize = 1024;
/// How long it sleeps if nothing is to be done.
const IDLE: Duration = Duration::from_secs(3600);

/// Ways to the API server. They differ in how long silence on a connection is borne: a watch may have nothing to say.
#[derive(Clone)]
pub struct Clients {
    /// For watches and their first lists.
    pub watches: Client,
    /// For everything else. Its read timeout is what ends a request that is never answered.
    pub requests: Client,
}

/// Runs the reconciler until `shutdown` resolves or something that it cannot go on without fails.
///
/// `ready` is told once every kind has been listed. Until `lead` resolves it only watches, so that it can begin with
/// what it knows. Dropped, it begins no request any more, and what is under way is given up.
///
/// # Errors
/// The API server's store went back in time, or a task of ours died.
pub async fn run(
    clients: Clients,
    config: Config,
    metrics: Metrics,
    ready: impl FnOnce() + Send,
    lead: impl Future<Output = ()> + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let now = || Now { wall: Timestamp::now().as_millisecond(), mono: start.elapsed() };

    let mut tasks = JoinSet::new();
    let (events, mut seen) = mpsc::channel(4 * BATCH);
    Watches { client: clients.watches, events }.spawn(&mut tasks);
    tasks.spawn(watch_for_rewind(clients.requests.clone()));

    let (outcomes, mut answered) = mpsc::unbounded_channel();
    let executor = Executor::new(clients.requests.clone(), outcomes, metrics.clone());
    let mut core = Core::new(config);
    let (outcomes, mut adopted) = mpsc::unbounded_channel();
    let adopting = Executor::new(clients.requests, outcomes, metrics.clone());
    let mut adoption = Adoption::default();
    let mut ready = Some(ready);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leads = false;
    metrics.forget();
    tokio::pin!(lead, shutdown);
    loop {
        let deadlines = core.next_deadline().into_iter().chain(adoption.next_deadline());
        let deadline = deadlines.min().filter(|_| leads).unwrap_or(start.elapsed() + IDLE);
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = &mut lead, if !leads => {
                leads = true;
                core.lead();
                adoption.lead();
            }
            Some(ended) = tasks.join_next() => {
                ended.context("a task of the controller panicked")?.context("the controller cannot go on")?;
                anyhow::bail!("a watch of the controller ended");
            }
            Some((id, outcome)) = answered.recv() => {
                adoption.learn(&outcome, start.elapsed());
                core.done(id, outcome, now());
                for _ in 0..BATCH {
                    let Ok((id, outcome)) = answered.try_recv() else { break };
                    adoption.learn(&outcome, start.elapsed());
                    core.done(id, outcome, now());
                }
            }
            Some((id, outcome)) = adopted.recv() => adoption.done(id, outcome, start.elapsed()),
            Some(event) = seen.recv() => {
                adoption.observe(&event, start.elapsed());
                core.observe(event);
                for _ in 0..BATCH {
                    let Ok(event) = seen.try_recv() else { break };
                    adoption.observe(&event, start.elapsed());
                    core.observe(event);
                }
            }
            _ = second.tick(), if leads => {
                metrics.limited(core.limited());
                metrics.classes(core.classes());
            }
            () = sleep_until((start + deadline).into()) => {}
        }
        if core.is_ready()
            && let Some(ready) = ready.take()
        {
            ready();
        }
        if !leads {
            core.stand_by();
            adoption.stand_by(start.elapsed());
            continue;
        }
        for (id, action) in core.poll(now()) {
            executor.start(id, action);
        }
        for (id, action) in adoption.poll(start.elapsed()) {
            adopting.start(id, action);
        }
        if core.is_rewound() {
            anyhow::bail!("{REWOUND}");
        }
        metrics.in_flight.set(i64::try_from(core.in_flight()).unwrap_or(i64::MAX));
    }
    tokio::join!(executor.drain(Duration::from_secs(5)), adopting.drain(Duration::from_secs(5)));
    Ok(())
}
