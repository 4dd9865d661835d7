//! What the API server says of itself.

use anyhow::Result;
use kube::Client;
use prometheus_parse::{Sample, Scrape, Value};

/// Its metrics that are one number, each with that number; of histograms these are `_sum` and `_count`.
pub(crate) async fn read(client: &Client) -> Result<Vec<(Sample, f64)>> {
    let text = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let number = |sample: Sample| match sample.value {
        Value::Counter(number) | Value::Untyped(number) | Value::Gauge(number) => Some((sample, number)),
        Value::Histogram(_) | Value::Summary(_) => None,
    };
    Ok(Scrape::parse(lines)?.samples.into_iter().filter_map(number).collect())
}
