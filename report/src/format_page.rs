//! Tests that docs/FORMAT.md names every field of the documents and every column of their CSV.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bench::{self, Bench, RefusalKind};
use crate::compare::{self, Comparison, Turn};
use crate::document::{Document, Kind};
use crate::example;
use crate::golden::examples;
use crate::host::{self, Seccomp};
use crate::load::{Amount, Arrival, BuildProfile, Ending, ErrorKind, LoadResult, Validity};
use crate::pages::Pages as _;
use crate::run::{Attestation, FailureKind, Run, WaiverState};
use crate::sweep::{self, Dimension, Sweep};
use crate::trace::{self, Operations, Trace};
use crate::verdict::{Grade, Level, Model, Verdict};

const PAGE: &str = include_str!("../../docs/FORMAT.md");

fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            fields(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names in the code spans of the page, including those inside JSON.
fn page_names() -> BTreeSet<&'static str> {
    let code = PAGE.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(|c: char| !(c.is_alphanumeric() || "_-".contains(c)))).collect()
}

/// The words of a closed set, which serde lists when it rejects an unknown word. `of` makes a value
/// from one word.
#[track_caller]
fn words<T: DeserializeOwned>(of: impl Fn(&str) -> Value) -> Vec<String> {
    let Err(error) = serde_json::from_value::<T>(of("no such word")) else {
        panic!("every word is one of them");
    };
    let message = error.to_string();
    let (_, words) = message.split_once("expected").expect("serde says what it expects");
    words.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_is_explained() {
    let mut load = examples::load();
    load.workload.amount = Amount::Messages(1);
    let mut found = BTreeSet::new();
    for document in [
        serde_json::to_value(examples::run()),
        serde_json::to_value(load),
        serde_json::to_value(examples::bench(1)),
        serde_json::to_value(examples::sweep(1)),
        serde_json::to_value(examples::trace()),
        serde_json::to_value(examples::comparison()),
    ] {
        fields(&document.unwrap(), &mut found);
    }
    let named = page_names();
    let missing: Vec<&String> =
        found.iter().filter(|field| !named.contains(field.as_str())).collect();
    assert!(found.len() > 140, "{found:?}");
    assert!(missing.is_empty(), "docs/FORMAT.md does not name {missing:?}");
}

#[test]
fn every_word_of_a_closed_set_is_explained() {
    let plain = |word: &str| Value::from(word);
    let state = |word: &str| json!({ "state": word });
    let words = [
        words::<Verdict>(plain),
        words::<Level>(plain),
        words::<Grade>(plain),
        words::<Model>(plain),
        words::<FailureKind>(plain),
        words::<WaiverState>(plain),
        words::<Attestation>(state),
        words::<Ending>(plain),
        words::<ErrorKind>(plain),
        words::<BuildProfile>(plain),
        words::<Validity>(state),
        words::<Arrival>(|word| json!({ "loop": word })),
        words::<Amount>(|word| json!({ word: 1 })),
        words::<RefusalKind>(plain),
        words::<bench::Pinning>(state),
        words::<Dimension>(plain),
        words::<trace::Outcome>(state),
        words::<Operations>(state),
        words::<Turn>(plain),
        words::<compare::TimeComparison>(state),
        words::<compare::Judgement>(plain),
        words::<bench::metric::Metric>(plain),
        words::<Seccomp>(plain),
        words::<host::Availability>(state),
    ]
    .concat();
    assert!(words.len() > 90, "{words:?}");
    let missing: Vec<&String> =
        words.iter().filter(|word| !page_names().contains(word.as_str())).collect();
    assert!(missing.is_empty(), "docs/FORMAT.md does not name {missing:?}");
}

#[test]
fn versions_and_numbers_are_those_of_the_code() {
    let versions = [
        Run::VERSION,
        LoadResult::VERSION,
        Bench::VERSION,
        Sweep::VERSION,
        Trace::VERSION,
        Comparison::VERSION,
    ];
    assert_eq!(versions, [1; Kind::ALL.len()]);
    assert!(PAGE.contains("`version` is 1."));
    assert!(PAGE.contains(bench::FILE_NAME) && PAGE.contains(sweep::FILE_NAME));
    assert!(PAGE.contains(&host::group_digits(crate::statistics::RESAMPLES as u64)));
    let load = example::load(Arrival::Closed, vec![example::open()]);
    let heads: Vec<String> = load.records()[0].iter().map(|(head, _)| head.clone()).collect();
    for head in ["messages_per_second", "service_samples", "service_p99_ns", "service_p99_9_ns"] {
        assert!(heads.iter().any(|known| known == head) && PAGE.contains(head), "{head}");
    }
}
