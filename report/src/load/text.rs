//! A load for a terminal: what was asked, then for each run counts, rates, times and whether the
//! generator kept up. An invalid run shows counts and reasons, and no rate or time of the server.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::summary::{self, Quantity};
use super::{Arrival, Ending, Latency, LoadResult, Measurement, Validity};
use crate::escape::printable;
use crate::host::grouped;
use crate::quantity::{bytes, counted, number, percent, seconds, time};

/// The whole page. Writing to a `String`, as everything here does, cannot fail.
#[must_use]
pub fn render(result: &LoadResult) -> String {
    let workload = &result.workload;
    let mut page = match workload.arrival {
        Arrival::Open { .. } => format!("{}, latency from the planned send\n", workload.arrival),
        Arrival::Closed => "closed loop: latency hides stalls, use --rate for latency\n".to_owned(),
    };
    let target = printable(&workload.target.to_string());
    let _ = writeln!(page, "{target}: {}", workload.details());
    let runs = result.measurements.len();
    for (index, measurement) in result.measurements.iter().enumerate() {
        page.push('\n');
        if runs > 1 {
            let _ = writeln!(page, "run {} of {runs}", index + 1);
        }
        page.push_str(&block(measurement));
    }
    if runs > 1 {
        page.push_str(&runs_and_median(result));
    }
    page
}

/// What a single run says.
fn block(measurement: &Measurement) -> String {
    let mut text = String::new();
    if let Some(sentence) = partial(measurement.ending) {
        line(&mut text, "partial", sentence);
    }
    let traffic = measurement.traffic;
    let counts = format!(
        "{} sent, {} echoed, {}",
        grouped(traffic.sent),
        grouped(traffic.echoed),
        errors(measurement)
    );
    line(&mut text, "messages", &counts);
    match &measurement.validity {
        Validity::Valid => numbers(&mut text, measurement),
        Validity::Invalid { reasons } => {
            let lag = send_lag(measurement).join(", ");
            line(&mut text, "generator", &format!("{lag}: invalid: {}", reasons.join("; ")));
            line(&mut text, "no numbers", "an invalid run gives neither a rate nor a latency");
        }
    }
    for note in &measurement.notes {
        line(&mut text, "note", note);
    }
    text
}

/// What a measurement that counts measured.
fn numbers(text: &mut String, measurement: &Measurement) {
    if let Some(rates) = measurement.throughput {
        let messages = number(rates.messages_per_second);
        let each_way = mebibytes(rates.bytes_per_second);
        line(text, "rate", &format!("{messages} messages/s   {each_way} each way"));
    }
    let mut missing = BTreeSet::new();
    for (name, latency, from) in [
        ("response", &measurement.response, "from the planned send"),
        ("service", &measurement.service, "from the real send"),
        ("send lag", &measurement.send_lag, "from due to sent: the generator's own lateness"),
        ("connect", &measurement.connect, "from connect to connected"),
    ] {
        let Some(latency) = latency else { continue };
        let samples = counted(latency.samples, "sample");
        line(text, name, &format!("{}   ({samples}, {from})", times(latency)));
        missing.extend(absent(latency));
    }
    if !missing.is_empty() {
        let reasons: Vec<String> = missing.into_iter().collect();
        line(text, "-", &format!("too few samples: {}", reasons.join(", ")));
    }
    line(text, "generator", &generator(measurement));
}

/// Its percentiles and the longest; `-` for one that has too few samples behind it.
fn times(latency: &Latency) -> String {
    let shown = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| time(ns as f64));
    let mut parts: Vec<String> =
        latency.percentiles.iter().map(|p| format!("{} {}", p.name(), shown(p.ns))).collect();
    parts.push(format!("max {}", shown(Some(latency.max_ns))));
    parts.join("   ")
}

/// Why percentiles are missing, each a sentence without a full stop.
pub(super) fn absent(latency: &Latency) -> impl Iterator<Item = String> {
    let missing = latency.percentiles.iter().filter(|p| p.ns.is_none());
    missing.map(|p| latency.absence(p.percent))
}

/// CPU, share and lateness of the generator, and what follows.
fn generator(measurement: &Measurement) -> String {
    let generator = &measurement.generator;
    let mut parts = Vec::new();
    if let (Some(cpu), echoed @ 1..) = (generator.cpu_seconds, measurement.traffic.echoed) {
        parts.push(format!("{} of CPU a message", time(cpu * 1e9 / echoed as f64)));
    }
    if let Some(share) = generator.busiest_share {
        parts.push(format!("busiest thread {} of a core", percent(share)));
    }
    if let Some(share) = generator.waits_share {
        parts.push(format!("waited {} of the times it looked", percent(share)));
    }
    parts.extend(send_lag(measurement));
    format!("{}: valid", parts.join(", "))
}

/// The generator's lateness, which an invalid run shows as well.
pub(super) fn send_lag(measurement: &Measurement) -> Vec<String> {
    let lag = measurement.send_lag.as_ref().map(|lag| match lag.at(99.0) {
        Some(ns) => format!("send lag p99 {}", time(ns as f64)),
        None => format!("send lag max {}", time(lag.max_ns as f64)),
    });
    let jitter = measurement.generator.jitter_p99_ns;
    let jitter = jitter.map(|ns| format!("this host's own jitter p99 {}", time(ns as f64)));
    let parts: Vec<String> = lag.into_iter().chain(jitter).collect();
    if parts.is_empty() {
        vec![counted(measurement.generator.threads.into(), "thread")]
    } else {
        parts
    }
}

/// `3 errors (2 reset, 1 lost)`.
pub(super) fn errors(measurement: &Measurement) -> String {
    let counted = counted(measurement.error_count(), "error");
    let kinds = measurement.errors.iter().filter(|(_, count)| **count > 0);
    let kinds: Vec<String> =
        kinds.map(|(kind, count)| format!("{} {kind}", grouped(*count))).collect();
    if kinds.is_empty() { counted } else { format!("{counted} ({})", kinds.join(", ")) }
}

/// That a run did not last as long as it was asked to.
pub(super) fn partial(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::Complete => None,
        Ending::Interrupted => Some("interrupted by the user: what is here is a part"),
        Ending::Abandoned => Some("abandoned before its end"),
    }
}

pub(super) fn mebibytes(bytes_per_second: f64) -> String {
    const FEW: f64 = 100.0 * 1024.0;
    match bytes_per_second {
        few if few < FEW => format!("{}/s", bytes(few)),
        many => format!("{} MiB/s", number(many / 1_048_576.0)),
    }
}

/// The runs in a line each, and their median.
fn runs_and_median(result: &LoadResult) -> String {
    let mut text = String::from("\n");
    let quantities = summary::quantities(result);
    for (index, measurement) in result.measurements.iter().enumerate() {
        let shown = match measurement.validity {
            Validity::Valid => values(&quantities, |quantity| quantity.of(measurement)),
            Validity::Invalid { .. } => "invalid, no numbers".to_owned(),
        };
        let partial = partial(measurement.ending).map_or("", |_| ", partial");
        let length = seconds((measurement.seconds * 10.0).round() / 10.0);
        let name = format!("run {}", index + 1);
        line(&mut text, &name, &format!("{shown}   {} in {length}{partial}", errors(measurement)));
    }
    let counting = result.measurements.iter().filter(|m| m.flaw().is_none()).count();
    let median = match counting {
        0 => "none: no run counts".to_owned(),
        _ => values(&quantities, |quantity| quantity.median(&result.measurements)),
    };
    let of = format!("of the {counting} runs that count, of {}", result.measurements.len());
    line(&mut text, "median", &format!("{median}   ({of})"));
    text
}

fn values(quantities: &[Quantity], value: impl Fn(&Quantity) -> Option<f64>) -> String {
    let shown = quantities.iter().map(|quantity| quantity.shown(value(quantity)));
    shown.collect::<Vec<_>>().join("   ")
}

fn line(text: &mut String, name: &str, rest: &str) {
    let _ = writeln!(text, "  {name:<10} {}", printable(rest));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{closed, invalid, load, open};
    use crate::load::ErrorKind;

    const OPEN: Arrival = Arrival::Open { messages_per_second: 20_000.0 };

    #[test]
    fn an_open_loop_shows_response_service_and_lag() {
        let page = render(&load(OPEN, vec![open()]));
        for part in [
            "open loop at 20,000 messages/s, latency from the planned send\n",
            "tcp:127.0.0.1:8080: 64 connections over tcp, messages of 1 KiB, seed 7319",
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
        assert_eq!(page, render(&load(OPEN, vec![open()])));
    }

    #[test]
    fn a_closed_loop_says_what_it_hides() {
        let page = render(&load(Arrival::Closed, vec![closed(1e5, 90_000)]));
        assert!(page.starts_with("closed loop: latency hides stalls, use --rate for latency\n"));
        assert!(!page.contains("response") && page.contains("service"), "{page}");
    }

    #[test]
    fn an_invalid_run_gives_no_number() {
        let mut measurement = open();
        measurement.validity = invalid("the generator was late");
        measurement.errors.insert(ErrorKind::Reset, 2);
        measurement.notes.push("connection 3 was reset".to_owned());
        let page = render(&load(OPEN, vec![measurement]));
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
            let page = render(&load(OPEN, vec![Measurement { ending, ..open() }]));
            assert!(page.contains(&format!("  partial    {word}")), "{page}");
        }
    }

    #[test]
    fn several_runs_have_a_line_each_and_a_median_of_those_that_count() {
        let mut bad = closed(9e5, 90_000);
        bad.validity = invalid("late");
        let runs = vec![closed(1_000.0, 100_000), bad, closed(2_000.0, 300_000)];
        let page = render(&load(Arrival::Closed, runs));
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
        measurement.notes.push("\u{1b}[2Jgone\nrate 1".to_owned());
        let mut result = load(OPEN, vec![measurement]);
        result.workload.target.address = "/tmp/\u{7}|x".to_owned();
        let page = render(&result);
        assert!(!page.contains(['\u{1b}', '\u{7}']) && !page.contains("\nrate 1"), "{page}");
        let page = crate::load::markdown::render(&result);
        assert!(!page.contains(['\u{1b}', '\u{7}', '\u{0}']) && page.contains("\\|x"), "{page}");
    }
}
