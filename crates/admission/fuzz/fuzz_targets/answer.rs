//! `cargo +nightly fuzz run answer` in `crates/admission`: whatever is posted to the webhooks gets an answer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../answer.rs"]
mod answer;

fuzz_target!(|body: &[u8]| {
    answer::answered(body);
});
