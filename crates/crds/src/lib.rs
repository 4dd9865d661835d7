//! The API `hostport.io/v1alpha1`: types, validation rules and defaults, and the generated
//! CustomResourceDefinitions. Nothing here talks to a cluster or decides anything.

#![allow(rustdoc::invalid_html_tags, reason = "the same words are shown by kubectl explain")]
#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their types")]

mod claim;
mod class;
mod hostport;
pub mod names;
mod port;
mod reason;
mod schema;

pub use claim::{ClaimPhase, HostPortClaim, HostPortClaimSpec, HostPortClaimStatus};
pub use class::{
    Exclusion, HostPortClass, HostPortClassSpec, HostPortClassStatus, Pool, ReclaimPolicy, Scope, Strategy,
};
pub use hostport::{Block, ClaimRef, HostPort, HostPortPhase, HostPortSpec};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition, LabelSelector, LabelSelectorRequirement,
};
pub use port::{Port, ReuseDelay, ReuseDelayError};
pub use reason::Reason;
pub use schema::{all, yaml};
