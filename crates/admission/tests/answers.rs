//! Whatever is posted to the webhooks gets an answer: the corpus of the fuzzer, without the fuzzer, and random bodies.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;
use serde_json::Value;

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

/// A controller asks for a pod with a claim, so nobody waits.
fn review() -> Value {
    serde_json::from_slice(include_bytes!("../fuzz/corpus/answer/by-controller")).unwrap()
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["web", "TCP", "UDP", "TCPUDP", "shop", "9000"]).prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "metadata",
        "annotations",
        "spec",
        "containers",
        "initContainers",
        "ports",
        "name",
        "hostPort",
        "containerPort",
        "env",
        "hostNetwork",
        "claim.hostport.io/web",
        "ref.hostport.io/x",
        "protocol",
    ]);
    leaf.prop_recursive(5, 48, 4, move |inner| {
        let fields = prop::collection::vec((keys.clone(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// Every place in the value.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let children: BTreeMap<String, &Value> = match value {
        Value::Object(fields) => fields.iter().map(|(key, one)| (key.replace('/', "~1"), one)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, one)| (index.to_string(), one)).collect()
        }
        _ => BTreeMap::new(),
    };
    for (key, child) in children {
        pointers(child, &format!("{at}/{key}"), found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_get_an_answer(body in prop::collection::vec(any::<u8>(), 0..300)) {
        answer::answered(&body);
    }

    #[test]
    fn random_json_gets_an_answer(value in json_values()) {
        answer::answered(value.to_string().as_bytes());
    }

    #[test]
    fn a_random_object_gets_an_answer(object in json_values()) {
        let mut review = review();
        review["request"]["object"] = object;
        answer::answered(review.to_string().as_bytes());
    }

    #[test]
    fn a_review_with_anything_in_any_place_gets_an_answer(at in any::<prop::sample::Index>(), value in json_values()) {
        let mut review = review();
        let mut places = Vec::new();
        pointers(&review, "", &mut places);
        *review.pointer_mut(at.get::<String>(&places)).unwrap() = value;
        answer::answered(review.to_string().as_bytes());
    }
}
