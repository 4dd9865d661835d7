//! How long the API server waited for each webhook, by its own account.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;

use crate::samples;

const WAITED: &str = "apiserver_admission_webhook_admission_duration_seconds";

/// Prints means over all calls of the run, those of the warm-up too.
pub(crate) async fn print(client: &Client) -> Result<()> {
    let mut waits = BTreeMap::<String, (f64, f64)>::new();
    for (sample, value) in samples::read(client).await? {
        let label = |label: &str| sample.labels.get(label).unwrap_or_default();
        let (seconds, calls) = waits.entry(format!("{} ({})", label("name"), label("type"))).or_default();
        match sample.metric.strip_prefix(WAITED) {
            Some("_sum") => *seconds += value,
            Some("_count") => *calls += value,
            _ => {}
        }
    }
    println!("the API server's wait for a webhook, mean:");
    for (webhook, (seconds, calls)) in waits.iter().filter(|(_, (_, calls))| *calls > 0.0) {
        println!("  {:6.2} ms of {calls:5}  {webhook}", seconds * 1000.0 / calls);
    }
    Ok(())
}
