//! What the pages of a load must say and must not say.

use super::*;
use crate::example::{closed, invalid, load, open};
use crate::format::Format;
use crate::view::{View, Width};

fn render_page(result: &LoadResult, format: Format) -> String {
    let view = View::plain(Width::new(160));
    crate::render::render(result, &Vec::new(), format, view).unwrap()
}

fn text(result: &LoadResult) -> String {
    render_page(result, Format::Text)
}

fn markdown(result: &LoadResult) -> String {
    render_page(result, Format::Markdown)
}

fn csv(result: &LoadResult) -> String {
    render_page(result, Format::Csv)
}

const OPEN: Arrival = Arrival::Open { messages_per_second: 20_000.0 };

#[test]
fn an_open_loop_shows_response_service_and_lag() {
    let page = text(&load(OPEN, vec![open()]));
    for part in [
        "open loop at 20,000 messages/s, latency from the planned send\n",
        "tcp:127.0.0.1:8080: 64 connections over tcp, messages of 1 KiB, warm-up",
        "  messages   200,012 sent, 200,012 echoed, 0 errors\n",
        "  rate       20,001 messages/s   19.5 MiB/s each way\n",
        "  response   p50 42.0 µs   p99 121 µs   p99.9 -   max 2.30 ms   (2,000 samples",
        "  service    p50 42.0 µs   p99 109 µs",
        "  send lag   p50 42.0 µs   p99 9.00 µs",
        "  -          too few samples: p99.9 needs 10,000 samples\n",
        "17.0 µs of CPU a message, busiest thread 34 % of a core, send lag p99 9.00 µs",
    ] {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
    assert!(page.ends_with(": valid\n"), "{page}");
    assert_eq!(page, text(&load(OPEN, vec![open()])));
}

#[test]
fn a_closed_loop_says_what_it_hides() {
    let page = text(&load(Arrival::Closed, vec![closed(1e5, 90_000)]));
    assert!(page.starts_with("closed loop: latency hides stalls, use --rate for latency\n"));
    assert!(!page.contains("response") && page.contains("service"), "{page}");
}

#[test]
fn an_invalid_run_gives_no_number() {
    let mut measurement = open();
    measurement.validity = invalid("the generator was late");
    measurement.errors.insert(ErrorKind::Reset, 2);
    measurement.notes.push("connection 3 was reset".into());
    let page = text(&load(OPEN, vec![measurement]));
    for number in ["20,001", "MiB/s", "p50", "121 µs", "109 µs", "300 µs", "17.0 µs"] {
        assert!(!page.contains(number), "{number} in:\n{page}");
    }
    for part in [
        "200,012 sent, 200,012 echoed, 2 errors (2 reset)",
        "send lag p99 9.00 µs",
        "invalid: the generator was late",
        "connection 3 was reset",
    ] {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
}

#[test]
fn a_run_that_was_stopped_says_so() {
    for (ending, word) in
        [(Ending::Interrupted, "interrupted by"), (Ending::Abandoned, "abandoned before")]
    {
        let page = text(&load(OPEN, vec![Measurement { ending, ..open() }]));
        assert!(page.contains(&format!("  partial    {word}")), "{page}");
    }
}

#[test]
fn several_runs_have_a_line_each_and_a_median_of_those_that_count() {
    let mut bad = closed(9e5, 90_000);
    bad.validity = invalid("late");
    let runs = vec![closed(1_000.0, 100_000), bad, closed(2_000.0, 300_000)];
    let page = text(&load(Arrival::Closed, runs));
    for part in [
        "\nrun 2 of 3\n",
        "  run 1      1,000 messages/s   p50 42.0 µs   p99 100 µs",
        "  run 2      invalid, no numbers   0 errors in 10 s\n",
        "  median     1,500 messages/s   p50 42.0 µs   p99 200 µs",
        "(of the 2 runs that count, of 3)\n",
    ] {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
    assert!(!page.contains("900,000"), "{page}");
}

#[test]
fn what_a_server_said_commands_no_terminal() {
    let mut measurement = open();
    measurement.notes.push("\u{1b}[2Jgone\nrate 1".into());
    let mut result = load(OPEN, vec![measurement]);
    result.workload.target.address = "/tmp/\u{7}|x".into();
    let page = text(&result);
    assert!(!page.contains(['\u{1b}', '\u{7}']) && !page.contains("\nrate 1"), "{page}");
    let page = markdown(&result);
    assert!(!page.contains(['\u{1b}', '\u{7}', '\u{0}']) && page.contains("\\|x"), "{page}");
}

#[test]
fn a_run_is_a_row_and_several_have_a_median() {
    let runs = vec![closed(1_000.0, 100_000), closed(2_000.0, 300_000)];
    let page = markdown(&load(Arrival::Closed, runs));
    assert!(page.contains("| 1 | 1,000 | 42.0 µs | 100 µs | - | 2.30 ms |"), "{page}");
    assert!(page.contains("| median | 1,500 | 42.0 µs | 200 µs | - | 2.30 ms |"), "{page}");
    assert!(page.contains("- run 1: service: p99.9 needs 10,000 samples\n"), "{page}");
}

#[test]
fn an_invalid_run_gives_no_number_in_a_table() {
    let measurement = Measurement { validity: invalid("late | later"), ..open() };
    let arrival = Arrival::Open { messages_per_second: 20_000.0 };
    let page = markdown(&load(arrival, vec![measurement]));
    assert!(page.contains("| 1 | - | - | - | - | - | - | 200,012 |"), "{page}");
    assert!(page.contains("- invalid: late \\| later\n"), "{page}");
    assert!(!page.contains("20,001") && !page.contains("121"), "{page}");
}

/// The field under a head, in a row of CSV without quoted fields.
#[track_caller]
fn field<'a>(csv: &'a str, row: usize, head: &str) -> &'a str {
    let mut lines = csv.split("\r\n");
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let fields: Vec<&str> = lines.nth(row).unwrap().split(',').collect();
    assert_eq!(heads.len(), fields.len());
    fields[heads.iter().position(|known| *known == head).expect(head)]
}

#[test]
fn a_measurement_is_a_row() {
    let bad = Measurement { validity: invalid("late"), ..open() };
    let arrival = Arrival::Open { messages_per_second: 20_000.0 };
    let csv = csv(&load(arrival, vec![open(), bad]));
    assert_eq!(field(&csv, 0, "messages_per_second"), "20001.2");
    assert_eq!(field(&csv, 0, "rate_messages_per_second"), "20000");
    assert_eq!(field(&csv, 0, "service_p99_ns"), "109000");
    assert_eq!(field(&csv, 0, "response_p99_9_ns"), "");
    assert_eq!(field(&csv, 0, "response_p90_ns"), "");
    assert_eq!(field(&csv, 0, "errors_reset"), "0");
    assert_eq!(field(&csv, 1, "run"), "2");
    assert_eq!(field(&csv, 1, "validity"), "invalid");
    for head in ["messages_per_second", "service_p99_ns", "response_max_ns"] {
        assert_eq!(field(&csv, 1, head), "", "{head}");
    }
    assert_eq!(field(&csv, 1, "send_lag_p99_ns"), "9000");
}

#[test]
fn heads_do_not_depend_on_what_was_found() {
    let one = csv(&load(Arrival::Closed, vec![closed(1.0, 1)]));
    let bad = Measurement { validity: invalid("late"), service: None, ..closed(1.0, 1) };
    let other = csv(&load(Arrival::Closed, vec![bad]));
    assert_eq!(one.split("\r\n").next(), other.split("\r\n").next());
}

#[test]
fn commas_and_quotes_stay_in_their_field() {
    let mut result = load(Arrival::Closed, vec![closed(1.0, 1)]);
    result.workload.target.address = "/tmp/a,\"b\"".into();
    result.measurements[0].validity = invalid("one\ntwo");
    let csv = csv(&result);
    assert!(csv.contains(",\"tcp:/tmp/a,\"\"b\"\"\","), "{csv}");
    assert_eq!(csv.lines().count(), 2, "{csv}");
}

#[test]
fn a_document_reads_back_and_names_its_rate() {
    let result = load(Arrival::Closed, vec![closed(1_000.0, 9), closed(2_000.0, 9)]);
    let text = render_page(&result, Format::Json);
    assert_eq!(serde_json::from_str::<LoadResult>(&text).unwrap(), result);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rate = value.pointer("/measurements/1/throughput/messages_per_second");
    assert_eq!(rate.and_then(serde_json::Value::as_f64), Some(2_000.0));
}

#[test]
fn each_line_is_complete_in_itself() {
    let result = load(Arrival::Closed, vec![closed(1_000.0, 9), closed(2_000.0, 9)]);
    let text = render_page(&result, Format::Jsonl);
    assert_eq!(text.lines().count(), 2);
    for (line, rate) in text.lines().zip([1_000.0, 2_000.0]) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["throughput"]["messages_per_second"], rate);
        assert_eq!(value["workload"]["connections"], 64);
    }
}
