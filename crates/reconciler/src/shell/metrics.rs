//! What the controller measures of itself. No object names as labels.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    pub(super) request: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) request: &'static str,
}

/// Counters and histograms of the reconciler.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) requests: Family<Request, Counter>,
    pub(super) seconds: Family<Kind, Histogram>,
    pub(super) in_flight: Gauge,
    pub(super) grants: Counter,
    pub(super) frees: Counter,
}

impl Metrics {
    /// Registers them under the prefix `hostport`.
    pub fn register(registry: &mut Registry) -> Self {
        let buckets = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            in_flight: Gauge::default(),
            grants: Counter::default(),
            frees: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("hostport");
        registry.register(
            "requests",
            "Requests to the API server, by what came of them",
            metrics.requests.clone(),
        );
        registry.register("request_seconds", "How long they took, retries included", metrics.seconds.clone());
        registry.register(
            "requests_in_flight",
            "Requests that wait for an answer",
            metrics.in_flight.clone(),
        );
        registry.register("grants", "Ports granted to claims", metrics.grants.clone());
        registry.register("frees", "Ports given back to their pools", metrics.frees.clone());
        metrics
    }
}
