//! What admission counts. No label carries the name of an object: series stay few.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The metrics of admission; clones count into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    reviews: Family<Review, Counter>,
    duration: Family<Hook, Histogram>,
    pub(crate) waits: Gauge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Review {
    webhook: Webhook,
    result: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hook {
    webhook: Webhook,
}

/// Which of the webhooks was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are label values")]
pub(crate) enum Webhook {
    mutate,
    validate,
    warn,
}

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are label values")]
pub(crate) enum Outcome {
    allowed,
    denied,
    /// Not answered from the pod: not a review, or a read failed.
    error,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram =
            || Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0]);
        Self {
            reviews: Family::default(),
            duration: Family::new_with_constructor(histogram),
            waits: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hostport_admission_reviews",
            "Pods that the API server asked about",
            self.reviews.clone(),
        );
        registry.register_with_unit(
            "hostport_admission_review_duration",
            "Time from a review's arrival to its answer, waiting for a claim included",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "hostport_admission_waits",
            "Pods that wait at this moment for a claim to be bound",
            self.waits.clone(),
        );
    }

    pub(crate) fn reviewed(&self, webhook: Webhook, result: Outcome, took: Duration) {
        self.reviews.get_or_create(&Review { webhook, result }).inc();
        self.duration.get_or_create(&Hook { webhook }).observe(took.as_secs_f64());
    }
}
