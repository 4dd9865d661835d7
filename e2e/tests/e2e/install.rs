//! What an installation adds to two processes: replicas that stand by, certificates that renew themselves, an end
//! without refused pods, and a clean departure. Each test has a control plane of its own.

mod balancer;
mod certificates;
mod cleanup;
mod draining;
mod election;
mod replicas;
