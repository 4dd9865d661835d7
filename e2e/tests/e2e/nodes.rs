//! Workloads whose pods run, on nodes that are played (`e2e::devcluster::FakeNodes`): how claims, pods and nodes come and
//! go together.

mod appear;
mod own;
mod rolling;
mod slots;
mod spot;
