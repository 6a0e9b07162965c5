//! The test that docs/FORMAT.md names every field of the documents, and every column of their CSV.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bench;
use crate::example;
use crate::host::{Ceiling, Counter, Driver, Hint, IoUring, Limit, Limits, Runner, Seccomp, State};
use crate::load::{self, Amount, Arrival, ErrorKind};
use crate::sweep::{self, Dimension, Point, Sweep};

const PAGE: &str = include_str!("../../docs/FORMAT.md");

/// A host of which everything is known.
pub(crate) fn host() -> crate::Host {
    let hint = || Some(Hint { name: "kvm".to_owned(), evidence: "dmi".to_owned() });
    let limit = Some(Limit { soft: Ceiling::At(1), hard: Ceiling::Unlimited });
    let state = State::Unavailable { reason: "EPERM".to_owned(), fix: None };
    crate::Host {
        virtualisation: hint(),
        container: hint(),
        seccomp: Some(Seccomp::Filter),
        runner: Some(Runner { image: None, image_version: None, name: None }),
        limits: Limits { open_files: limit, memlock: limit, memlock_exempt: true },
        drivers: vec![Driver { name: "epoll".to_owned(), state: state.clone() }],
        counters: vec![Counter { name: "ring".to_owned(), state }],
        io_uring: Some(IoUring { features: Vec::new(), opcodes: Vec::new() }),
        ..example::host()
    }
}

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

/// Names in code, and those of JSON within it.
fn named() -> BTreeSet<&'static str> {
    let code = PAGE.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(|c: char| !(c.is_alphanumeric() || "_-".contains(c)))).collect()
}

#[test]
fn every_field_is_explained() {
    let mut measurement = example::open();
    measurement.validity = example::invalid("late");
    measurement.errors.insert(ErrorKind::Lost, 1);
    let open = Arrival::Open { messages_per_second: 1.0 };
    let mut load = example::load(open, vec![measurement, example::open()]);
    load.host = host();
    load.workload.amount = Amount::Messages(1);
    let mut bench = example::bench();
    bench.host = host();
    let point = Point { value: 1.0, bench: bench.clone() };
    let sweep = Sweep {
        version: sweep::FORMAT_VERSION,
        dimension: Dimension::MessageBytes,
        points: vec![point],
        interrupted: false,
    };
    let mut found = BTreeSet::new();
    fields(&serde_json::to_value(&sweep).unwrap(), &mut found);
    fields(&serde_json::to_value(&load).unwrap(), &mut found);
    fields(&serde_json::to_value(&bench).unwrap(), &mut found);
    let named = named();
    let missing: Vec<&String> =
        found.iter().filter(|field| !named.contains(field.as_str())).collect();
    assert!(found.len() > 80, "{found:?}");
    assert!(missing.is_empty(), "docs/FORMAT.md does not name {missing:?}");
}

#[test]
fn versions_and_numbers_are_those_of_the_code() {
    let versions = [load::FORMAT_VERSION, bench::FORMAT_VERSION, sweep::FORMAT_VERSION];
    assert_eq!(versions, [1; 3]);
    assert!(PAGE.contains("`version` is 1."));
    assert!(PAGE.contains(bench::FILE_NAME) && PAGE.contains(sweep::FILE_NAME));
    let dimensions =
        [Dimension::Connections, Dimension::Rate, Dimension::MessageBytes, Dimension::Workers];
    for word in dimensions.map(|dimension| serde_json::to_value(dimension).unwrap()) {
        assert!(named().contains(word.as_str().unwrap()), "{word}");
    }
    assert!(PAGE.contains(&crate::host::grouped(crate::statistics::RESAMPLES as u64)));
    let csv = load::csv::render(&example::load(Arrival::Closed, vec![example::open()]));
    let heads: Vec<&str> = csv.split("\r\n").next().unwrap().split(',').collect();
    for head in ["messages_per_second", "service_samples", "service_p99_ns", "service_p99_9_ns"] {
        assert!(heads.contains(&head) && PAGE.contains(head), "{head}");
    }
}
