//! Pod admission: AdmissionReview → what is known and was read live → pure mutate and validate functions → JSON patch.
//! No port is chosen here, and nothing is written but the claims that a pod's annotations ask for; a denial is a
//! sentence that ends in what to do.

mod annotations;
mod block;
mod classes;
mod companion;
mod edit;
mod grants;
mod identity;
mod known;
mod lookup;
mod making;
mod metrics;
mod mutate;
mod pod;
mod reads;
mod refusal;
mod review;
mod run;
mod secret;
mod serve;
mod server;
mod standing;
mod tls;
mod validate;
mod wait;
mod webhooks;
mod wishes;
mod workloads;

#[cfg(test)]
mod testing;

pub use metrics::Metrics;
pub use secret::Certificates;
pub use serve::serve;
pub use server::{Admission, router};
pub use standing::believed;
pub use tls::{Serving, self_signed};
pub use webhooks::{Target, configurations, install, is_installed, yaml};
