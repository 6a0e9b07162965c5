//! What the pages of a bench must say and must not say, for small benches.

use super::{Bench, Count, Pinning, Refusal, RefusalKind};
use crate::example::{self, invalid};
use crate::format::Format;
use crate::load::{Arrival, Ending};
use crate::verdict::Model;
use crate::view::{View, Width};

fn render_page(bench: &Bench, format: Format) -> String {
    crate::render::render(bench, &(), format, View::plain(Width::new(160))).unwrap()
}

fn text(bench: &Bench) -> String {
    render_page(bench, Format::Text)
}

fn markdown(bench: &Bench) -> String {
    render_page(bench, Format::Markdown)
}

fn csv(bench: &Bench) -> String {
    render_page(bench, Format::Csv)
}

#[track_caller]
fn expect(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
}

/// The first line of a table that begins with the name of a row.
#[track_caller]
fn line<'a>(page: &'a str, row: &str) -> &'a str {
    let begins = |line: &&str| line.trim_matches(['│', '|', ' ']).starts_with(row);
    page.lines().find(begins).unwrap_or_else(|| panic!("no {row} in:\n{page}"))
}

#[test]
fn a_row_is_compared_with_the_baseline_in_words_or_an_interval() {
    let page = text(&example::bench());
    let words = |row| line(&page, row).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words("base").contains("97,563 baseline 42.0 103 baseline no data 4.10 baseline 2.05"));
    assert_eq!(words("slow").matches("no clear difference").count(), 3, "{page}");
    assert!(words("fast").contains("2.00 [2.00, 2.00] 42.0 51.3 0.50 [0.50, 0.50]"), "{page}");
    assert_eq!(page, text(&example::bench()));
}

#[test]
fn every_quantity_stands_beside_the_baseline() {
    let mut bench = example::bench();
    let fast = bench.rows.iter_mut().find(|row| row.name == "fast").expect("it is there");
    fast.system_calls = Count::Of(0.52);
    let page = text(&bench);
    let (_, latencies) = page.split_once("the rest of latency and CPU").expect("a table");
    assert!(line(latencies, "fast").contains("0.50 [0.50, 0.50]"), "{latencies}");
    let (_, holdings) = page.split_once("the same of what a message needs").expect("a table");
    // It has one value per row, so there is no interval.
    let words: Vec<&str> = line(holdings, "fast").split_whitespace().collect();
    assert_eq!(words[2..4], ["0.25", "-"], "{holdings}");
}

#[test]
fn a_page_says_what_its_numbers_rest_on() {
    let mut bench = example::bench();
    let page = text(&bench);
    let ceiling = "ceiling: 400,000 messages/s, at 2.50 µs of the generator's CPU a message";
    expect(&page, &[ceiling, "floor: 2.00 µs of CPU", "server on CPUs 0,1, generator on CPUs 2,3"]);
    expect(&page, &["6 rounds, rows in alternating order", "noisy", "latency is service"]);
    bench.pinning = Pinning::None { reason: "2 processors".into() };
    (bench.ceiling, bench.floor_ns, bench.interrupted) = (None, Vec::new(), true);
    bench.workload.arrival = Arrival::Open { messages_per_second: 20_000.0 };
    // A page may break a sentence anywhere.
    let page = text(&bench).replace("\n  ", " ");
    expect(&page, &["ceiling: not measured", "floor: not measured", "pinning: none: 2 processors"]);
    expect(&page, &["stopped by the user", "latency is response, from the planned send"]);
}

#[test]
fn what_could_not_be_counted_is_named_once_with_its_reason() {
    let mut bench = example::bench();
    bench.rows[0].system_calls = Count::none("perf_event_paranoid is 4");
    for page in [text(&bench), markdown(&bench).replace('\\', "")] {
        expect(&page, &["submissions per message: no ring (all rows)"]);
        expect(&page, &["system calls per message: perf_event_paranoid is 4 (base)"]);
        expect(&page, &["p99.9 needs 10,000 samples (all rows)", "no data"]);
    }
}

#[test]
fn the_pairs_are_one_program_on_two_drivers() {
    let mut bench = example::bench();
    let page = markdown(&bench).replace('\\', "");
    expect(&page, &["| pair | fast | slow | 2.00 [2.00, 2.00] | 0.50 [0.50, 0.50] |"]);
    bench.rows[2].flavor = "another".into();
    assert!(!markdown(&bench).contains("Controlled pairs"));
}

#[test]
fn the_floor_is_that_of_the_same_round() {
    let mut bench = example::bench();
    let cost = |round: f64| 4_000.0 * (1.0 + 0.01 * round);
    bench.floor_ns = (0..6).map(|round| cost(f64::from(round)) / 3.0).collect();
    let page = text(&bench);
    assert!(line(&page, "base").contains("3.00 │"), "{page}");
}

#[test]
fn an_invalid_round_gives_no_number_and_most_of_them_none_at_all() {
    let mut bench = example::bench();
    for sample in &mut bench.rows[1].samples[..3] {
        sample.measurement.validity = invalid("the generator was late");
    }
    let page = text(&bench);
    expect(&page, &["fast, round 1: invalid: the generator was late"]);
    expect(line(&page, "fast"), &["too few rounds"]);
    bench.rows[1].samples[3].measurement.ending = Ending::Abandoned;
    let page = text(&bench);
    expect(&page, &["fast: 4 of its 6 rounds do not count", "fast, round 4: abandoned"]);
    let cells: Vec<&str> = line(&page, "fast").split_whitespace().collect();
    assert_eq!(cells[1..], ["fast", "invalid", "-", "-", "-", "-", "-", "-", "-", "-", "│"]);
}

#[test]
fn a_refused_row_says_why() {
    let mut bench = example::bench();
    bench.rows[0].refused =
        Some(Refusal::new(RefusalKind::Wrong, "it fails tcp-echo/one-byte |\u{1b}[1m"));
    let page = text(&bench);
    expect(&page, &["base: it fails tcp-echo/one-byte |\u{fffd}[1m"]);
    expect(line(&page, "base"), &["refused"]);
    // There is no baseline left to compare with.
    assert!(!line(&page, "slow").contains("no clear difference"), "{page}");
    expect(&markdown(&bench), &["tcp-echo/one-byte \\|\u{fffd}\\[1m"]);
}

#[test]
fn real_names_and_large_numbers_fit_a_wide_page() {
    let mut bench = example::bench();
    bench.baseline = "tokio-local-per-core".into();
    bench.rows[0].name = "tokio-local-per-core".into();
    bench.rows[1].name = "compio-managed-io_uring".into();
    for row in &mut bench.rows {
        for (sample, factor) in row.samples.iter_mut().zip([1.0, 1.31, 0.9, 1.27, 0.95, 1.3]) {
            let rates = sample.measurement.throughput.as_mut().unwrap();
            rates.messages_per_second *= 10.0 * factor;
        }
    }
    let page = text(&bench);
    assert!(line(&page, "compio-managed-io_uring").contains("2.00 [2.00, 2.00]"), "{page}");
    assert!(page.lines().filter(|l| l.starts_with('│')).all(|l| l.chars().count() <= 160));
}

#[test]
fn rows_are_in_groups_by_model_in_the_registry_s_order() {
    let page = text(&example::bench());
    let at = |text: &str| page.find(text).unwrap();
    let order = ["│ readiness", "│   base", "│   slow", "│ completion", "│   fast"].map(at);
    assert!(order.is_sorted(), "{page}");
}

#[test]
fn a_round_is_a_record_and_a_row_without_rounds_too() {
    let mut bench: Bench = example::bench();
    let mut refused = example::row("none", "backend-none", Model::Blocking, 1.0);
    (refused.samples, refused.refused) =
        (Vec::new(), Some(Refusal::new(RefusalKind::Wrong, "no, \"really\"")));
    bench.rows.push(refused);
    bench.rows[0].samples[1].measurement.validity = invalid("late");
    let page = csv(&bench);
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines.len(), 1 + 3 * 6 + 1);
    let head = |name| lines[0].split(',').position(|head| head == name).unwrap();
    let field = |line: usize, name| lines[line].split(',').nth(head(name)).unwrap();
    assert_eq!(field(1, "cpu_ns_per_message"), "4000");
    assert_eq!((field(1, "round"), field(1, "submissions_per_message")), ("1", ""));
    assert_eq!((field(2, "cpu_ns_per_message"), field(2, "messages_per_second")), ("", ""));
    assert!(lines[19].starts_with("none,blocking,epoll,plain,backend-none,none 1.0,\"no, \"\"rea"));
    bench.rows.truncate(1);
    assert_eq!(csv(&bench).lines().next(), Some(lines[0]));
}
