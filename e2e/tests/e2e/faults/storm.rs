//! Many claims created, deleted and made again by several tenants at once. What is done is a matter of the seed alone,
//! and how fast is a matter of permits.

use std::sync::Arc;

use anyhow::{Context, Result};
use crds::HostPortClaim;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::world::{Rng, World, claim_of};

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

/// Work that goes on as fast as it is permitted.
pub(super) struct Storm {
    pub(super) steps: usize,
    permits: Arc<Semaphore>,
    workers: JoinSet<Result<()>>,
}

impl Storm {
    /// Makes the namespaces and begins, without permits.
    pub(super) async fn start(world: &World, size: &Size, classes: &[&str], rng: &mut Rng) -> Result<Storm> {
        for number in 0..NAMESPACES {
            world.namespace(&namespace(number)).await?;
        }
        let share = |all: usize| all / WORKERS;
        let mut storm = Storm { steps: 0, permits: Arc::new(Semaphore::new(0)), workers: JoinSet::new() };
        for worker in 0..WORKERS {
            let size = Size { made: share(size.made), at_most: share(size.at_most), left: share(size.left) };
            let plan = plan(worker, &size, classes.len(), &mut rng.fork());
            storm.steps += plan.len();
            let classes = classes.iter().map(|&class| class.to_owned()).collect();
            storm.workers.spawn(work(world.client(), plan, classes, storm.permits.clone()));
        }
        Ok(storm)
    }

    /// Lets so many more steps be taken.
    pub(super) fn permit(&self, steps: usize) {
        self.permits.add_permits(steps);
    }

    /// Lets all steps be taken and waits for the last.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.permits.add_permits(self.steps);
        while let Some(ended) = self.workers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn namespace(number: usize) -> String {
    format!("tenant-{number}")
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

async fn work(client: Client, plan: Vec<Step>, classes: Vec<String>, permits: Arc<Semaphore>) -> Result<()> {
    for step in plan {
        permits.acquire().await?.forget();
        let api: Api<HostPortClaim> = Api::namespaced(client.clone(), &namespace(step.namespace));
        let (name, class) = (&step.name, &classes[step.class]);
        if step.make {
            let made = api.create(&PostParams::default(), &claim_of(name, class)?).await;
            made.with_context(|| format!("create claim {name}"))?;
        } else {
            let deleted = api.delete(name, &DeleteParams::default()).await;
            deleted.with_context(|| format!("delete claim {name}"))?;
        }
    }
    Ok(())
}
