//! A load as Markdown: a row a run, their median, and below it what the numbers rest on.

use super::summary::{self, Quantity};
use super::text::{absent, errors, mebibytes, partial, send_lag};
use super::{Arrival, LoadResult, Measurement, Validity};
use crate::host::grouped;
use crate::part::{self, Head, Part, Table};

/// The whole page.
#[must_use]
pub fn render(result: &LoadResult) -> String {
    let workload = &result.workload;
    let loop_sentence = match workload.arrival {
        Arrival::Open { .. } => "Open loop: latency is response, from the planned send.",
        Arrival::Closed => "Closed loop: latency hides stalls, use --rate for latency.",
    };
    part::markdown(&[
        Part::Title(format!("load on {}", workload.target)),
        Part::Lines(vec![
            format!("{}.", workload.describe()),
            loop_sentence.to_owned(),
            format!("Host: {}.", result.host.describe()),
        ]),
        Part::Table(runs(result)),
        Part::List("what the runs rest on", points(result, basis)),
        Part::List("notes", points(result, |measurement| measurement.notes.clone())),
    ])
}

fn runs(result: &LoadResult) -> Table {
    let quantities = summary::quantities(result);
    let mut heads = vec![Head::of("run", "")];
    heads.extend(quantities.iter().map(|quantity| Head(quantity.name(), String::new())));
    let last = ["each way", "sent", "echoed", "errors", "validity"];
    heads.extend(last.map(|head| Head::of(head, "")));
    let cells =
        |quantity: &Quantity, of: &dyn Fn(&Quantity) -> Option<f64>| quantity.value(of(quantity));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (index, measurement) in result.measurements.iter().enumerate() {
        let mut row = vec![(index + 1).to_string()];
        row.extend(quantities.iter().map(|q| cells(q, &|q| q.of(measurement))));
        row.extend(counts(measurement));
        rows.push(row);
    }
    if result.measurements.len() > 1 {
        let mut row = vec!["median".to_owned()];
        row.extend(quantities.iter().map(|q| cells(q, &|q| q.median(&result.measurements))));
        row.extend(last.map(|_| String::new()));
        rows.push(row);
    }
    Table::plain("runs", heads, rows)
}

fn counts(measurement: &Measurement) -> [String; 5] {
    let (validity, rates) = match &measurement.validity {
        Validity::Valid => ("valid", measurement.throughput),
        Validity::Invalid { .. } => ("invalid", None),
    };
    let word = match partial(measurement.ending) {
        Some(_) => format!("{validity}, {}", measurement.ending),
        None => validity.to_owned(),
    };
    [
        rates.map_or_else(|| "-".to_owned(), |rates| mebibytes(rates.bytes_per_second)),
        grouped(measurement.traffic.sent),
        grouped(measurement.traffic.echoed),
        errors(measurement),
        word,
    ]
}

/// Samples, percentiles that are missing, the generator's lateness, and why a run is invalid.
fn basis(measurement: &Measurement) -> Vec<String> {
    let mut points = Vec::new();
    if let Validity::Invalid { reasons } = &measurement.validity {
        points.push(format!("invalid: {}", reasons.join("; ")));
    } else {
        for (name, latency) in
            [("response", &measurement.response), ("service", &measurement.service)]
        {
            let Some(latency) = latency else { continue };
            points.push(format!("{name}: {} samples", grouped(latency.samples)));
            points.extend(absent(latency).map(|reason| format!("{name}: {reason}")));
        }
    }
    points.extend(partial(measurement.ending).map(str::to_owned));
    points.push(send_lag(measurement).join(", "));
    points
}

/// What each run has to say, with its number where there are several.
fn points(result: &LoadResult, of: impl Fn(&Measurement) -> Vec<String>) -> Vec<String> {
    let several = result.measurements.len() > 1;
    let named = |(index, measurement)| {
        let points = of(measurement).into_iter();
        points.map(move |point| if several { format!("run {}: {point}", index + 1) } else { point })
    };
    result.measurements.iter().enumerate().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{closed, invalid, load, open};

    #[test]
    fn a_run_is_a_row_and_several_have_a_median() {
        let runs = vec![closed(1_000.0, 100_000), closed(2_000.0, 300_000)];
        let page = render(&load(Arrival::Closed, runs));
        assert!(page.contains("| 1 | 1,000 | 42.0 µs | 100 µs | - | 2.30 ms |"), "{page}");
        assert!(page.contains("| median | 1,500 | 42.0 µs | 200 µs | - | 2.30 ms |"), "{page}");
        assert!(page.contains("- run 1: service: p99.9 needs 10,000 samples\n"), "{page}");
    }

    #[test]
    fn an_invalid_run_gives_no_number() {
        let measurement = Measurement { validity: invalid("late | later"), ..open() };
        let arrival = Arrival::Open { messages_per_second: 20_000.0 };
        let page = render(&load(arrival, vec![measurement]));
        assert!(page.contains("| 1 | - | - | - | - | - | - | 200,012 |"), "{page}");
        assert!(page.contains("- invalid: late \\| later\n"), "{page}");
        assert!(!page.contains("20,001") && !page.contains("121"), "{page}");
    }
}
