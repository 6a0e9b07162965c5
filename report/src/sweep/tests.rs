//! What follows from small sweeps, and what their pages must say and must not say.

use super::crossover::{GainMetric, Onset, Relation, crossovers};
use super::example::{connections, open, rates, row_mut};
use super::knee::{Overload, knees};
use super::{Dimension, Sweep};
use crate::bench::metric::Metric;
use crate::bench::{Count, Refusal, RefusalKind};
use crate::example::invalid;
use crate::format::Format;
use crate::load::Arrival;
use crate::outside::Outside;
use crate::render::render;
use crate::run::Attestation;
use crate::view::{Ink, View, Width};

#[track_caller]
fn expect(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
}

fn text(sweep: &Sweep, metric: Metric, ink: Ink) -> String {
    render(sweep, &metric, Format::Text, View { width: Width::new(80), ink }).unwrap()
}

fn markdown(sweep: &Sweep) -> String {
    render(sweep, &Metric::Cpu, Format::Markdown, View::plain(Width::MIN)).unwrap()
}

fn csv(sweep: &Sweep) -> String {
    render(sweep, &Metric::Cpu, Format::Csv, View::plain(Width::MIN)).unwrap()
}

#[track_caller]
fn plain(sweep: &Sweep, metric: Metric) -> String {
    let page = text(sweep, metric, Ink::Plain);
    assert!(!page.contains('\u{1b}') && !page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    assert_eq!(page, text(sweep, metric, Ink::Plain));
    page
}

fn words(sweep: &Sweep) -> Vec<Outside> {
    crossovers(sweep).iter().map(|crossover| crossover.words()).collect()
}

#[test]
fn completion_pays_from_the_value_after_which_it_always_does() {
    let sweep = connections();
    let found = crossovers(&sweep);
    assert_eq!(
        (found.len(), found[0].gain, found[1].gain),
        (2, GainMetric::Cpu, GainMetric::Throughput)
    );
    let relations = [
        (1.0, Relation::Worse),
        (8.0, Relation::NoClearDifference),
        (64.0, Relation::Better),
        (512.0, Relation::Better),
    ];
    assert_eq!(
        (&found[0].relations[..], found[0].onset()),
        (&relations[..], Onset::FromValue(64.0))
    );
    let rest = "from 64 connections on";
    assert_eq!(
        words(&sweep),
        [
            format!(
                "compio: completion needs less CPU {rest}; more at 1; no clear difference at 8"
            ),
            format!("compio: completion echoes more {rest}; less at 1; no clear difference at 8"),
        ]
    );
}

#[test]
fn the_order_of_the_points_does_not_matter() {
    let mut sweep = connections();
    sweep.points.reverse();
    let page = plain(&connections(), Metric::Cpu);
    assert_eq!(plain(&sweep, Metric::Cpu), page);
}

#[test]
fn every_other_outcome_has_words_too() {
    let of = |kept: &[usize]| {
        let mut sweep = connections();
        sweep.points = kept.iter().map(|index| sweep.points[*index].clone()).collect();
        words(&sweep)[0].clone()
    };
    assert_eq!(of(&[2, 3]), "compio: completion needs less CPU at every value");
    let none = "compio: completion needs less CPU at no value; more at 1; no clear difference at 8";
    assert_eq!(of(&[0, 1]), none);
    let mut sweep = connections();
    sweep.points.truncate(3);
    sweep.points[0].value = 512.0;
    let only =
        "compio: completion needs less CPU at 64 only; more at 512; no clear difference at 8";
    assert_eq!(words(&sweep)[0], only);
    sweep = connections();
    row_mut(&mut sweep, 0, "compio").samples.truncate(4);
    row_mut(&mut sweep, 3, "compio").refused = Some(Refusal::new(RefusalKind::Wrong, "no"));
    sweep.points[1].bench = sweep.points[2].bench.clone();
    let rest = "too few rounds at 1; not compared at 512";
    let from = format!("compio: completion needs less CPU from 8 connections on; {rest}");
    assert_eq!(words(&sweep)[0], from);
    sweep.points.drain(1..3);
    let unknown = format!("compio: whether completion needs less CPU is not known; {rest}");
    assert_eq!(words(&sweep)[0], unknown);
}

#[test]
fn rows_of_different_programs_are_both_named() {
    let mut sweep = connections();
    for point in &mut sweep.points {
        point.bench.rows.remove(1);
        point.bench.workload.arrival = Arrival::Open { messages_per_second: 1_000.0 };
    }
    let found = words(&sweep);
    assert_eq!(found.len(), 1, "{found:?}");
    expect(
        &found[0].on_terminal(),
        &["compio-io_uring against tokio: completion needs less CPU from 64"],
    );
    // Without a baseline, the completion row is compared with each readiness row.
    let mut sweep = connections();
    for point in &mut sweep.points {
        point.bench.rows[1].flavor = "another".into();
        point.bench.baseline = "none".into();
    }
    let found = words(&sweep);
    assert_eq!(found.len(), 4, "{found:?}");
    expect(&found[1].on_terminal(), &["compio-io_uring against compio: completion needs less CPU"]);
}

#[test]
fn the_knee_is_the_highest_rate_before_the_first_that_is_too_much() {
    let tried = [10_000.0, 20_000.0, 40_000.0, 80_000.0];
    let sweep = rates(&tried, 61_000.0);
    let knee = &knees(&sweep)[0];
    let behind = Overload::LowThroughput { messages_per_second: 61_000.0 };
    assert_eq!(
        (knee.highest_kept, knee.first_overload),
        (Some(40_000.0), Some((80_000.0, behind)))
    );
    let words =
        "tokio: keeps up to 40,000 messages/s; at 80,000 messages/s it echoes 61,000 of them";
    assert_eq!(knee.words(), words);
    let beyond = &knees(&rates(&tried, 1e9))[0].words();
    assert_eq!(beyond, "tokio: the knee is beyond the last rate that was tried, 80,000 messages/s");
    let none = &knees(&rates(&tried, 5_000.0))[0].words();
    expect(
        &none.on_terminal(),
        &["tokio: keeps up at no rate that was tried; at 10,000 messages/s it echoes 5,000"],
    );
    assert!(knees(&connections()).is_empty());
}

#[test]
fn a_queue_and_lost_datagrams_are_a_knee_too() {
    let tried = [10_000.0, 20_000.0, 40_000.0];
    let mut sweep = rates(&tried, 1e9);
    for sample in &mut row_mut(&mut sweep, 1, "tokio").samples {
        sample.measurement = open(20_000.0, 499_999);
    }
    assert_eq!(knees(&sweep)[0].highest_kept, Some(40_000.0));
    for sample in &mut row_mut(&mut sweep, 1, "tokio").samples {
        sample.measurement = open(20_000.0, 500_000);
    }
    expect(
        &knees(&sweep)[0].words().on_terminal(),
        &["10,000 messages/s; at 20,000 messages/s p99 is 5.00 times"],
    );
    for sample in &mut row_mut(&mut sweep, 1, "tokio").samples {
        sample.measurement = open(20_000.0, 100_000);
        sample.measurement.traffic.echoed -= 2;
    }
    expect(&knees(&sweep)[0].words().on_terminal(), &["at 20,000 messages/s 12 were lost"]);
}

#[test]
fn a_rate_that_says_nothing_is_no_knee() {
    let mut sweep = rates(&[10_000.0, 20_000.0, 40_000.0], 1e9);
    for sample in &mut row_mut(&mut sweep, 1, "tokio").samples {
        sample.measurement.validity = invalid("late");
    }
    let words = knees(&sweep)[0].words();
    expect(
        &words.on_terminal(),
        &["beyond the last rate that was tried, 40,000", "; not judged at 20,000"],
    );
    for index in 0..3 {
        row_mut(&mut sweep, index, "tokio").samples.clear();
    }
    assert_eq!(knees(&sweep)[0].words(), "tokio: no rate can be judged");
    plain(&sweep, Metric::P99);
}

#[test]
fn a_page_has_tables_a_plot_and_turning_points() {
    let page = plain(&connections(), Metric::Cpu);
    expect(&page, &["sweep over connections on linux", "connections: 1, 8, 64, 512"]);
    expect(
        &page,
        &["│ compio-io_uring  11.6  6.72  3.26  3.05 │", "ring submissions per message:"],
    );
    expect(&page, &["   A tokio   B compio   C compio-io_uring\n", "        1       2 ", " 500\n"]);
    expect(&page, &["CPU per message, µs\n  ", "no data:\n  submissions per message: no ring"]);
    let at = |part: &str| page.rfind(part).unwrap();
    assert!(
        at("throughput, mess") < at("   A tokio")
            && at("   A tokio") < at("where completion pays:")
    );
    for (_, metric) in Metric::PLOT_CHOICES {
        expect(&plain(&connections(), metric), &[metric.name()]);
    }
    let coloured = text(&connections(), Metric::Cpu, Ink::Colour);
    expect(&coloured, &["\u{1b}[35mC\u{1b}[0m compio-io_uring"]);
}

#[test]
fn many_values_are_split_between_columns() {
    let mut sweep = connections();
    let point = sweep.points[0].clone();
    for value in 2..14 {
        sweep.points.push(super::Point { value: f64::from(value * 100), ..point.clone() });
    }
    let page = plain(&sweep, Metric::Throughput);
    assert_eq!(page.matches("throughput, messages/s:").count(), 3, "{page}");
    let markdown = markdown(&sweep);
    assert_eq!(markdown.matches("## Throughput, messages/s").count(), 1, "{markdown}");
}

#[test]
fn what_is_missing_says_why() {
    let mut sweep = connections();
    row_mut(&mut sweep, 1, "tokio").refused =
        Some(Refusal::new(RefusalKind::Wrong, "it fails |\u{1b}[1m"));
    for sample in &mut row_mut(&mut sweep, 2, "tokio").samples[1..] {
        sample.measurement.validity = invalid("late");
    }
    row_mut(&mut sweep, 3, "tokio").samples.clear();
    row_mut(&mut sweep, 3, "tokio").system_calls = Count::none("paranoid");
    row_mut(&mut sweep, 0, "tokio").attestation = Attestation::NotAttested { reason: "no".into() };
    sweep.interrupted = true;
    let page = plain(&sweep, Metric::SystemCalls);
    expect(&page, &["│ tokio            42,885  refused  invalid  not reached │"]);
    expect(
        &page,
        &["  at 8: tokio: it fails |\u{fffd}[1m", "stopped by the user before all values"],
    );
    expect(&page, &["  at 64: tokio: 5 of its 6 rounds; invalid: late", "  at 1: tokio: no\n"]);
    expect(&markdown(&sweep), &["at 8: tokio: it fails \\|\u{fffd}\\[1m"]);
}

#[test]
fn little_is_rendered_as_well_as_much() {
    let mut sweep = connections();
    sweep.points.truncate(1);
    let page = plain(&sweep, Metric::Cpu);
    assert!(!page.contains("A tokio"), "{page}");
    expect(&page, &["completion needs less CPU at no value; more at 1"]);
    for point in &mut sweep.points {
        point.bench.rows.truncate(1);
        point.bench.floor_ns = vec![0.0; 6];
    }
    expect(&plain(&sweep, Metric::Cpu), &["│ tokio        42,885 │"]);
    sweep.points[0].bench.rows.clear();
    plain(&sweep, Metric::Cpu);
    sweep.points.clear();
    expect(&plain(&sweep, Metric::Cpu), &["no value was reached"]);
    assert_eq!(csv(&sweep), "");
    expect(&markdown(&sweep), &["# sweep over connections"]);
    let mut zero = rates(&[0.0, 0.0], 0.0);
    zero.points[1].value = 1.0;
    for metric in Metric::all() {
        plain(&zero, metric);
    }
}

#[test]
fn a_value_stands_before_each_record() {
    let page = csv(&connections());
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines.len(), 1 + 4 * 3 * 6);
    assert!(lines[0].starts_with("varied,value,row,model,"), "{page}");
    assert!(lines[72].starts_with("connections,512,compio-io_uring,completion,"), "{page}");
}

#[test]
fn a_sweep_survives_its_file() {
    let sweep = rates(&[1_000.0], 1e9);
    let file = serde_json::to_string(&sweep).unwrap();
    expect(&file, &["\"dimension\":\"rate\"", "\"value\":1000.0"]);
    assert_eq!(serde_json::from_str::<Sweep>(&file).unwrap(), sweep);
}

#[test]
fn a_value_has_the_unit_of_its_dimension() {
    let long = [
        Dimension::Connections.describe(1.0),
        Dimension::Rate.describe(20_000.0),
        Dimension::MessageBytes.describe(16_384.0),
        Dimension::Workers.describe(2.5),
    ];
    assert_eq!(long, ["1 connection", "20,000 messages/s", "messages of 16 KiB", "2.50 workers"]);
}
