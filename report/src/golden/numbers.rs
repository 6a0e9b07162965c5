//! Documents with absurd numbers in every numeric field, because a file may come from anybody. If a
//! document can be read, every page can show it, and it has an exit status.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::{Audience, pages, pages_for};
use crate::bench::Bench;
use crate::compare::{OtherHosts, Results, compare};
use crate::document::Document;
use crate::format::Format;
use crate::golden::examples::{
    bench, closed_load, comparison, knee, load, run, strict_gate, sweep, trace,
};
use crate::load::Condition;
use crate::run::Run;

/// How many documents have a random absurd number in each place.
const MIXTURES: u64 = 40;

/// The largest number of each width, the smallest number, zero, a fraction, and nothing.
fn absurd_numbers() -> Vec<Value> {
    vec![
        json!(u64::MAX),
        json!(u32::MAX),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(-1e308),
        json!(0.5),
        Value::Null,
    ]
}

/// The places of all numbers in a document, as JSON pointers.
fn numbers(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Number(_) => vec![path.to_owned()],
        Value::Array(values) => {
            let inner = |(index, value)| numbers(value, &format!("{path}/{index}"));
            values.iter().enumerate().flat_map(inner).collect()
        }
        Value::Object(map) => {
            map.iter().flat_map(|(name, value)| numbers(value, &format!("{path}/{name}"))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Vec::new(),
    }
}

/// The path with `*` in place of every index of a list.
fn field(path: &str) -> String {
    let name = |part: &str| if part.parse::<usize>().is_ok() { "*" } else { part }.to_owned();
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

/// Puts `number` in place of the numbers at `paths`; `None` if the document does not accept it.
fn with_number<D: Document>(plain: &Value, paths: &[&String], number: &Value) -> Option<D> {
    let mut changed = plain.clone();
    for path in paths {
        *changed.pointer_mut(path).expect("a number") = number.clone();
    }
    serde_json::from_value(changed).ok()
}

fn show<D: Document>(document: &D) {
    assert!(!pages("", document, &[Audience::People, Audience::Programs], &[80]).is_empty());
    document.exit(&D::Question::default());
    document.margins();
}

/// Shows the document with each absurd number in each field, once in all places and once in the
/// first place; then in all fields that accept the number; and then with a random number in each
/// place.
#[track_caller]
fn expect_shown<D: Document>(document: &D, show: impl Fn(&D)) {
    let plain = serde_json::to_value(document).expect("a document is JSON");
    let paths = numbers(&plain, "");
    let fields: BTreeSet<String> = paths.iter().map(|path| field(path)).collect();
    assert!(!fields.is_empty());
    let mut panics = Vec::new();
    let mut attempt = |what: &str, number: &Value, document: &D| {
        if catch_unwind(AssertUnwindSafe(|| show(document))).is_err() {
            panics.push(format!("{what}: {number}"));
        }
    };
    let mut choices: Vec<(&String, Vec<Value>)> = Vec::new();
    for number in absurd_numbers() {
        let mut taken = Vec::new();
        for name in &fields {
            let all: Vec<&String> = paths.iter().filter(|path| field(path) == *name).collect();
            for places in [&all[..], &all[..1]] {
                if let Some(document) = with_number(&plain, places, &number) {
                    attempt(name, &number, &document);
                }
            }
            if with_number::<D>(&plain, &all, &number).is_some() {
                for path in &all {
                    match choices.iter_mut().find(|(known, _)| known == path) {
                        Some((_, numbers)) => numbers.push(number.clone()),
                        None => choices.push((path, vec![number.clone()])),
                    }
                }
                taken.extend(all);
            }
        }
        if let Some(document) = with_number(&plain, &taken, &number) {
            attempt("all", &number, &document);
        }
    }
    for seed in 0..MIXTURES {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut mixed = plain.clone();
        for (path, numbers) in &choices {
            if let Some(number) = random.choice(numbers) {
                *mixed.pointer_mut(path).expect("a number") = number.clone();
            }
        }
        if let Ok(document) = serde_json::from_value(mixed) {
            attempt("a mixture", &seed.into(), &document);
        }
    }
    assert!(panics.is_empty(), "these panic:\n{}", panics.join("\n"));
}

#[test]
fn absurd_numbers_of_a_run_are_shown() {
    expect_shown(&run(), show::<Run>);
    expect_shown(&run(), |run: &Run| {
        assert!(!pages_for("", run, &strict_gate(), &[Format::Markdown], &[80]).is_empty());
        run.exit(&strict_gate());
    });
    let before = run();
    expect_shown(&run(), |after| {
        // A run with more planned cells was cut off, and is not compared.
        let side = |run: &Run| {
            let run = Run { planned: run.cells.len(), ..run.clone() };
            Results { runs: vec![run], ..Results::default() }
        };
        show(&compare(&side(&before), &side(after), OtherHosts::TimesToo).expect("common cells"));
    });
}

#[test]
fn absurd_numbers_of_a_load_are_shown() {
    for document in [load(), closed_load()] {
        expect_shown(&document, |load| {
            show(load);
            let conditions = ["p99 > 1ms", "max > 1ms", "errors > 0", "throughput < 1"];
            let parse = |text| Condition::parse(text).expect("a condition");
            let conditions = conditions.map(parse).to_vec();
            load.exit(&conditions);
        });
    }
}

#[test]
fn absurd_numbers_of_a_bench_are_shown() {
    expect_shown(&bench(1), show::<Bench>);
    let before = bench(2);
    expect_shown(&bench(2), |after| {
        let side = |bench: &Bench| Results { benches: vec![bench.clone()], ..Results::default() };
        if let Ok(comparison) = compare(&side(&before), &side(after), OtherHosts::TimesToo) {
            show(&comparison);
        }
    });
}

#[test]
fn absurd_numbers_of_a_sweep_are_shown() {
    expect_shown(&sweep(1), show);
    expect_shown(&knee(), show);
}

#[test]
fn absurd_numbers_of_a_trace_are_shown() {
    expect_shown(&trace(), show);
}

#[test]
fn absurd_numbers_of_a_comparison_are_shown() {
    expect_shown(&comparison(), show);
}
