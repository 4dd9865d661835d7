//! Many claims created, deleted and made again by several tenants at once. What is done is a matter of the seed alone,
//! and how fast is a matter of permits. A worker whose request is not answered, or with an error that may pass, makes it
//! again: also while the control plane is down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crds::HostPortClaim;
use e2e::eventually;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::world::{Rng, SOON, World, claim_of};

/// How many requests are under way at once.
const WORKERS: usize = 8;
const NAMESPACES: usize = 5;

/// How many claims.
pub(super) struct Size {
    /// Made in all.
    pub(super) made: usize,
    /// Never more than this at a time.
    pub(super) at_most: usize,
    /// Left in the end.
    pub(super) left: usize,
}

/// A step of a worker, on claims that are its alone.
struct Step {
    make: bool,
    namespace: usize,
    name: String,
    class: usize,
}

impl Step {
    async fn take(&self, api: &Api<HostPortClaim>, claim: &HostPortClaim) -> Result<(), kube::Error> {
        match self.make {
            true => api.create(&PostParams::default(), claim).await.map(drop),
            false => api.delete(&self.name, &DeleteParams::default()).await.map(drop),
        }
    }

    /// The request that was made before has done it already.
    fn is_done(&self, error: &kube::Error) -> bool {
        let done = if self.make { 409 } else { 404 };
        matches!(error, kube::Error::Api(status) if status.code == done)
    }
}

/// Work that goes on as fast as it is permitted.
pub(super) struct Storm {
    pub(super) steps: usize,
    /// Namespace and name of the claims that will be there in the end.
    pub(super) left: BTreeSet<(String, String)>,
    permits: Arc<Semaphore>,
    taken: Arc<AtomicUsize>,
    workers: JoinSet<Result<()>>,
}

impl Storm {
    /// Makes the namespaces and begins, without permits.
    pub(super) async fn start(world: &World, size: &Size, classes: &[&str], rng: &mut Rng) -> Result<Storm> {
        Storm::among(world, "tenant", size, classes, rng).await
    }

    /// The same among other tenants.
    pub(super) async fn among(
        world: &World,
        tenants: &str,
        size: &Size,
        classes: &[&str],
        rng: &mut Rng,
    ) -> Result<Storm> {
        let namespaces: Vec<String> = (0..NAMESPACES).map(|number| format!("{tenants}-{number}")).collect();
        for namespace in &namespaces {
            world.namespace(namespace).await?;
        }
        let share = |all: usize| all / WORKERS;
        let (client, permits) = (world.plain_client().await?, Arc::new(Semaphore::new(0)));
        let (left, workers, taken) = (BTreeSet::new(), JoinSet::new(), Arc::default());
        let mut storm = Storm { steps: 0, left, permits, taken, workers };
        for worker in 0..WORKERS {
            let size = Size { made: share(size.made), at_most: share(size.at_most), left: share(size.left) };
            let plan = plan(worker, &size, classes.len(), &mut rng.fork());
            storm.steps += plan.len();
            for step in &plan {
                let claim = (namespaces[step.namespace].clone(), step.name.clone());
                if step.make {
                    storm.left.insert(claim)
                } else {
                    storm.left.remove(&claim)
                };
            }
            let classes = classes.iter().map(|&class| class.to_owned()).collect();
            let namespaces = namespaces.clone();
            let (permits, taken) = (storm.permits.clone(), storm.taken.clone());
            storm.workers.spawn(work(client.clone(), plan, namespaces, classes, permits, taken));
        }
        Ok(storm)
    }

    /// Lets so many more steps be taken.
    pub(super) fn permit(&self, steps: usize) {
        self.permits.add_permits(steps);
    }

    /// Waits until so many steps have been taken.
    pub(super) async fn has_taken(&self, steps: usize) -> Result<()> {
        eventually(SOON, "the storm to go on", || async {
            let taken = self.taken.load(Ordering::Relaxed);
            ensure!(taken >= steps, "{taken} of {steps} steps are taken");
            Ok(())
        })
        .await
    }

    /// Lets all steps be taken and waits for the last; the claims that are left.
    pub(super) async fn finish(mut self) -> Result<BTreeSet<(String, String)>> {
        self.permits.add_permits(self.steps);
        while let Some(ended) = self.workers.join_next().await {
            ended??;
        }
        Ok(self.left)
    }
}

/// Mostly claims at first, then as many deletions; a fifth of the claims are of a name that was used before.
fn plan(worker: usize, size: &Size, classes: usize, rng: &mut Rng) -> Vec<Step> {
    let (mut steps, mut made, mut full) = (Vec::new(), 0, false);
    let mut living: Vec<(usize, String, usize)> = Vec::new();
    let mut dead: Vec<(usize, String, usize)> = Vec::new();
    while made < size.made || living.len() > size.left {
        full |= living.len() >= size.at_most;
        let room = made < size.made && living.len() < size.at_most;
        let make = room && (living.is_empty() || rng.below(100) < if full { 50 } else { 93 });
        let (namespace, name, class) = match make {
            true if !dead.is_empty() && rng.below(5) == 0 => dead.swap_remove(rng.below(dead.len())),
            true => (rng.below(NAMESPACES), format!("c-{worker}-{made}"), rng.below(classes)),
            false => living.swap_remove(rng.below(living.len())),
        };
        made += usize::from(make);
        let after = if make { &mut living } else { &mut dead };
        after.push((namespace, name.clone(), class));
        steps.push(Step { make, namespace, name, class });
    }
    steps
}

async fn work(
    client: Client,
    plan: Vec<Step>,
    namespaces: Vec<String>,
    classes: Vec<String>,
    permits: Arc<Semaphore>,
    taken: Arc<AtomicUsize>,
) -> Result<()> {
    for step in plan {
        permits.acquire().await?.forget();
        let api: Api<HostPortClaim> = Api::namespaced(client.clone(), &namespaces[step.namespace]);
        let claim = claim_of(&step.name, &classes[step.class])?;
        let doing = || format!("{} claim {}", if step.make { "create" } else { "delete" }, step.name);
        let until = Instant::now() + SOON;
        let mut again = false;
        while let Err(error) = step.take(&api, &claim).await {
            if again && step.is_done(&error) {
                break;
            }
            let may_pass =
                !matches!(&error, kube::Error::Api(status) if status.code < 500 && status.code != 429);
            if !may_pass || Instant::now() > until {
                return Err(error).with_context(doing);
            }
            again = true;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        taken.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
