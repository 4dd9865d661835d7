//! Writes as the API server has counted them, by what was written.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;

use crate::samples;

/// How many of each: `POST pods`, `PATCH pods/status`.
#[derive(Clone, Debug)]
pub(crate) struct Writes(BTreeMap<String, f64>);

impl Writes {
    pub(crate) async fn read(client: &Client) -> Result<Writes> {
        let mut writes = BTreeMap::new();
        for (sample, count) in samples::read(client).await? {
            let label = |label: &str| sample.labels.get(label).unwrap_or_default();
            let is_write =
                matches!(label("verb"), "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE" | "DELETECOLLECTION");
            // Nodes tell that they live whatever we do.
            if sample.metric != "apiserver_request_total" || !is_write || label("resource") == "leases" {
                continue;
            }
            let slash = if label("subresource").is_empty() { "" } else { "/" };
            let what = format!("{} {}{slash}{}", label("verb"), label("resource"), label("subresource"));
            *writes.entry(what).or_default() += count;
        }
        Ok(Writes(writes))
    }

    pub(crate) fn since(&self, earlier: &Writes) -> Writes {
        let before = |what: &String| earlier.0.get(what).copied().unwrap_or_default();
        Writes(self.0.iter().map(|(what, count)| (what.clone(), count - before(what))).collect())
    }

    pub(crate) fn all(&self) -> f64 {
        self.0.values().sum()
    }

    /// Of our kinds.
    pub(crate) fn ours(&self) -> f64 {
        let ours = self.0.iter().filter(|(what, _)| what.contains(" hostport"));
        ours.fold(0.0, |sum, (_, count)| sum + count)
    }
}

/// What made up the writes of a pod, the most frequent first.
pub(crate) fn print(writes: &Writes, pods: usize) {
    let mut all: Vec<(&String, f64)> = writes.0.iter().map(|(what, count)| (what, *count)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    println!("\nwrites per pod of the last round, without leases:");
    for (what, count) in all.into_iter().filter(|(_, count)| *count >= pods as f64 / 100.0) {
        println!("  {:6.2}  {what}", count / pods as f64);
    }
}
