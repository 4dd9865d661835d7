//! How the claims of a pod stand. A watch knows what a claim says that it holds; that the numbers are its own is
//! believed only of HostPorts that were read live, by a reading that began within the last second.
//!
//! The mutation of a pod proposes what the watch knows and begins to read, unless that was just done for another pod of
//! the claim; its validation, which comes after all other webhooks, awaits that reading, or makes its own if it is older
//! than [`FRESH`]. So the reads cost a pod little time, the many pods of one claim share them, and no pod is stored on
//! what a cache believes. What the watch does not know is read before the answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crds::Port;
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use kube::Client;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    known::{Known, Saying},
    reads::{ReadError, Reads},
    standing::{self, Holder, Identity, Standing, Standings, confirmed},
};

/// How old a reading may be that a validation believes. A number is freed only after 40 s without its claim and a
/// LIST of pods; a create is stored 34 s after its start at the latest. This is part of the other 6 s.
const FRESH: Duration = Duration::from_secs(1);
/// How old one may be that another pod's mutation leaves for the validation: that comes later.
const SHARED: Duration = Duration::from_millis(500);
/// Reads at the same time for one pod.
const AT_ONCE: usize = 16;
/// Past so many readings those that are too old are forgotten.
const MANY: usize = 1024;

/// What is known and read of claims. Clones share everything.
#[derive(Clone)]
pub(crate) struct Lookup(Arc<Inner>);

struct Inner {
    reads: Reads,
    known: Known,
    readings: Mutex<HashMap<(String, String), Reading>>,
}

/// A reading that a mutation began. `None`: it did not succeed.
#[derive(Clone)]
struct Reading {
    of: Saying,
    began: Instant,
    standing: Shared<BoxFuture<'static, Option<Standing>>>,
}

impl Lookup {
    pub(crate) fn new(client: Client) -> Self {
        Self(Arc::new(Inner {
            reads: Reads::new(client),
            known: Known::default(),
            readings: Mutex::default(),
        }))
    }

    /// Reads without a memory.
    pub(crate) fn reads(&self) -> &Reads {
        &self.0.reads
    }

    /// What a watch knows of claims.
    pub(crate) fn known(&self) -> &Known {
        &self.0.known
    }

    /// What a mutation is to believe of these claims, until the validation.
    pub(crate) async fn proposed(
        &self,
        namespace: &str,
        names: impl IntoIterator<Item = &str>,
    ) -> Result<Standings, ReadError> {
        let reads: Vec<_> = names.into_iter().map(|name| self.propose(namespace, name)).collect();
        together(reads).await
    }

    /// How the claims of a pod stand, read live: `told` has the numbers that its mutation told it.
    pub(crate) async fn believed(
        &self,
        namespace: &str,
        told: &BTreeMap<&str, Option<Port>>,
    ) -> Result<Standings, ReadError> {
        let reads: Vec<_> =
            told.iter().map(|(name, number)| self.believe(namespace, name, *number)).collect();
        together(reads).await
    }

    /// Who holds the numbers, as far as it is this namespace's. Ends with the first that no claim of it holds.
    pub(crate) async fn holders(
        &self,
        namespace: &str,
        numbers: Vec<Port>,
    ) -> Result<BTreeMap<Port, Holder>, ReadError> {
        let read = |number: Port| async move { Ok((number, self.holder(namespace, number).await?)) };
        let reads: Vec<_> = numbers.into_iter().map(read).collect();
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        let mut holders = BTreeMap::new();
        while let Some((number, holder)) = reads.try_next().await? {
            let last = holder != Holder::Claim;
            holders.insert(number, holder);
            if last {
                break;
            }
        }
        Ok(holders)
    }

    async fn propose(&self, namespace: &str, name: &str) -> Result<(String, Standing), ReadError> {
        let standing = match self.0.known.saying(namespace, name) {
            Some(saying) => {
                let run = saying.run;
                self.begin_reading(namespace, name, saying);
                Standing::Held(run)
            }
            None => self.0.read(namespace, name).await?,
        };
        Ok((name.to_owned(), standing))
    }

    async fn believe(
        &self,
        namespace: &str,
        name: &str,
        told: Option<Port>,
    ) -> Result<(String, Standing), ReadError> {
        let of_the_mutation = async {
            let reading = self.fresh_reading(namespace, name)?.standing.await?;
            // What it was told by another one, or before the claim was made again, is read anew for a sentence.
            let as_told =
                matches!(reading, Standing::Held(run) if told.is_some_and(|told| run.contains(told)));
            as_told.then_some(reading)
        };
        let standing = match (of_the_mutation.await, self.0.known.saying(namespace, name)) {
            (Some(standing), _) => standing,
            (None, Some(saying)) => self.0.confirm(namespace, name, saying).await?,
            (None, None) => self.0.read(namespace, name).await?,
        };
        Ok((name.to_owned(), standing))
    }

    /// Unless the same was begun just now, and has not failed.
    fn begin_reading(&self, namespace: &str, name: &str, saying: Saying) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut readings = self.0.readings.lock();
        if readings.get(&key).is_some_and(|reading| reading.serves_too(&saying)) {
            return;
        }
        if readings.len() >= MANY {
            readings.retain(|_, reading| reading.began.elapsed() <= FRESH);
        }
        let (inner, of, began) = (self.0.clone(), saying.clone(), Instant::now());
        let (namespace, name) = key.clone();
        let reading = async move { inner.confirm(&namespace, &name, saying).await.ok() };
        let standing = reading.boxed().shared();
        tokio::spawn(standing.clone());
        readings.insert(key, Reading { of, began, standing });
    }

    fn fresh_reading(&self, namespace: &str, name: &str) -> Option<Reading> {
        let readings = self.0.readings.lock();
        let reading = readings.get(&(namespace.to_owned(), name.to_owned()))?;
        (reading.began.elapsed() <= FRESH).then(|| reading.clone())
    }

    async fn holder(&self, namespace: &str, number: Port) -> Result<Holder, ReadError> {
        let Some(port) = self.0.reads.port(&number.to_string()).await? else { return Ok(Holder::Nobody) };
        let Some(name) = standing::claim_of(&port, namespace) else { return Ok(Holder::Nobody) };
        let claim = self.0.reads.claim(namespace, name).await?;
        Ok(claim.map_or(Holder::Nobody, |claim| standing::holder(&port, &claim)))
    }
}

impl Reading {
    /// Whether it may be left for the validation of another pod whose claim says this.
    fn serves_too(&self, saying: &Saying) -> bool {
        let agrees = || self.standing.peek().is_none_or(|read| *read == Some(Standing::Held(saying.run)));
        self.of == *saying && self.began.elapsed() <= SHARED && agrees()
    }
}

impl Inner {
    /// What the claim says that it holds, if its HostPorts say so too; else how it stands.
    async fn confirm(&self, namespace: &str, name: &str, saying: Saying) -> Result<Standing, ReadError> {
        let ports = self.reads.ports(saying.run).await?;
        match confirmed(Identity { namespace, name, uid: &saying.uid }, saying.run, &ports) {
            true => Ok(Standing::Held(saying.run)),
            false => self.read(namespace, name).await,
        }
    }

    /// The claim, then its HostPorts: disbelief needs one that was read after the claim, which may just have been bound.
    async fn read(&self, namespace: &str, name: &str) -> Result<Standing, ReadError> {
        let Some(claim) = self.reads.claim(namespace, name).await? else {
            return Ok(self.reads.absent(namespace, name).await);
        };
        let ports = match standing::said(&claim) {
            Some(run) => self.reads.ports(run).await?,
            None => Vec::new(),
        };
        Ok(standing::believe(&claim, &ports))
    }
}

async fn together(
    reads: Vec<impl Future<Output = Result<(String, Standing), ReadError>>>,
) -> Result<Standings, ReadError> {
    stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
}
