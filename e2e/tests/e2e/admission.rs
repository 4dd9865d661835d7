//! Pods at admission: what they get, what they are refused, and who is never asked.

mod alone;
mod dryrun;
mod managed;
mod ports;
mod reviews;
mod waiting;
