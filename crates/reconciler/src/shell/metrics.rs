//! What the controller measures. No object names as labels, but those of classes and of namespaces that have a limit.

use allocator::Counts;
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    class: String,
}

/// What each class has.
#[derive(Clone, Debug, Default)]
struct Classes {
    capacity: Family<Named, Gauge>,
    allocated: Family<Named, Gauge>,
    released: Family<Named, Gauge>,
    free: Family<Named, Gauge>,
    waiting: Family<Named, Gauge>,
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
    classes: Classes,
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
            classes: Classes::default(),
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
        let classes = &metrics.classes;
        for (name, help, gauge) in [
            ("class_capacity", "Ports that a class may hand out", &classes.capacity),
            ("class_allocated", "Ports of a class that claims hold", &classes.allocated),
            ("class_released", "Ports of a class that rest, or are retained", &classes.released),
            (
                "class_free",
                "Ports that a class can grant now; not told of slots without a limit",
                &classes.free,
            ),
            ("class_waiting", "Claims that wait for a port of a class", &classes.waiting),
        ] {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }

    /// What each class has, and how many claims wait for it.
    pub(super) fn classes<'a>(&self, all: impl Iterator<Item = (&'a str, Counts, usize)>) {
        let Classes { capacity, allocated, released, free, waiting } = &self.classes;
        [capacity, allocated, released, free, waiting].into_iter().for_each(Family::clear);
        for (class, counts, line) in all {
            let class = Named { class: class.to_owned() };
            let set = |family: &Family<Named, Gauge>, value: usize| {
                family.get_or_create(&class).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(allocated, counts.allocated);
            set(released, counts.released);
            set(waiting, line);
            if !counts.unlimited {
                set(capacity, counts.capacity);
                set(free, counts.free);
            }
        }
    }

    /// Nothing is known of classes and namespaces by a process that does not lead.
    pub(super) fn forget(&self) {
        self.classes(std::iter::empty());
        self.limited(std::iter::empty());
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
