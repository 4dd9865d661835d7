//! The corpus of the fuzzer, without the fuzzer.

use std::{fs, path::Path};

#[path = "../fuzz/answer.rs"]
mod answer;

#[test]
fn all_of_the_corpus_gets_an_answer() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answer");
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();

    assert!(files.len() >= 20, "only {} files", files.len());
    let patched = files.iter().filter(|file| answer::answered(&fs::read(file).unwrap())).count();
    assert!(patched >= 5, "only {patched} are patched: the fuzzer would see little");
}
