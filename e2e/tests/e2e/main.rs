//! End-to-end scenarios against a real control plane: one binary, one shared cluster, a namespace a test.

mod admission;
mod api;
mod binding;
mod chart;
mod examples;
mod faults;
mod fleets;
mod gitops;
mod install;
mod life;
mod node_scope;
mod nodes;
mod support;
