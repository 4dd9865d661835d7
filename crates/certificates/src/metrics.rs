//! When certificates end: what an administrator wants to be woken for long before pods are refused.

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// When certificates end, as seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Expiry(Family<Which, Gauge>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    certificate: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are label values")]
enum Kind {
    ca,
    serving,
}

impl Expiry {
    /// Registers it.
    pub fn register(registry: &mut Registry) -> Self {
        let expiry = Self::default();
        let help = "When the certificate ends, seconds since 1970; it is renewed when two thirds of its life are over";
        registry.register_with_unit("hostport_certificate_not_after", help, Unit::Seconds, expiry.0.clone());
        expiry
    }

    /// The CA that signs.
    pub(crate) fn ca(&self, ends: Timestamp) {
        self.0.get_or_create(&Which { certificate: Kind::ca }).set(ends.as_second());
    }

    /// The certificate that is served, or is to be.
    pub fn serving(&self, ends: Timestamp) {
        self.0.get_or_create(&Which { certificate: Kind::serving }).set(ends.as_second());
    }

    /// This process does not keep them.
    pub(crate) fn forget(&self) {
        self.0.clear();
    }
}
