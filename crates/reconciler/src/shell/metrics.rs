//! What the controller measures of itself. No object names as labels, but for namespaces that have a limit.

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tenant {
    class: String,
    namespace: String,
}

/// Counters and histograms of the reconciler.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) requests: Family<Request, Counter>,
    pub(super) seconds: Family<Kind, Histogram>,
    pub(super) in_flight: Gauge,
    pub(super) grants: Counter,
    pub(super) frees: Counter,
    used: Family<Tenant, Gauge>,
    limits: Family<Tenant, Gauge>,
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
            used: Family::default(),
            limits: Family::default(),
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
        registry.register(
            "namespace_ports",
            "Ports of a class that a namespace with a limit has",
            metrics.used.clone(),
        );
        registry.register(
            "namespace_ports_limit",
            "How many it may have: maxPerNamespace, or the lowest of its ResourceQuotas",
            metrics.limits.clone(),
        );
        metrics
    }

    /// What `kubectl describe quota` cannot show: class, namespace, how many ports it has and may have.
    pub(super) fn limited<'a>(&self, all: impl Iterator<Item = (&'a str, &'a str, usize, usize)>) {
        self.used.clear();
        self.limits.clear();
        for (class, namespace, used, limit) in all {
            let tenant = Tenant { class: class.to_owned(), namespace: namespace.to_owned() };
            self.used.get_or_create(&tenant).set(i64::try_from(used).unwrap_or(i64::MAX));
            self.limits.get_or_create(&tenant).set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
    }
}
