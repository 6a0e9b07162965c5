//! A load's result as CSV (RFC 4180): one row a measurement, heads with units, and an empty field
//! for what is absent.

use super::{Arrival, ErrorKind, Latency, LoadResult, Measurement, Validity, Workload};
use crate::escape;

/// Percentiles that have a column whether or not they were asked for.
const USUAL: [f64; 4] = [50.0, 90.0, 99.0, 99.9];
/// Every kind of error has a column.
const ERRORS: [ErrorKind; 9] = [
    ErrorKind::Connect,
    ErrorKind::Closed,
    ErrorKind::Reset,
    ErrorKind::Socket,
    ErrorKind::Lost,
    ErrorKind::Duplicated,
    ErrorKind::Foreign,
    ErrorKind::Extra,
    ErrorKind::Altered,
];

/// Columns: a head, and the field of each measurement. They do not depend on what was found, but
/// for percentiles beyond the usual ones.
pub(crate) type Fields = Vec<(String, String)>;

/// The whole table, with its heads.
#[must_use]
pub fn render(result: &LoadResult) -> String {
    let percents = percents(&result.measurements);
    let rows = result.measurements.iter().enumerate().map(|(index, measurement)| {
        let mut fields = vec![field("run", index + 1)];
        fields.extend(workload(&result.workload));
        fields.extend(self::measurement(measurement, &percents));
        fields
    });
    table(&rows.collect::<Vec<_>>())
}

/// Rows that have the same heads.
pub(crate) fn table(rows: &[Fields]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut text = escape::csv(&first.iter().map(|(head, _)| head).collect::<Vec<_>>());
    for row in rows {
        let fields: Vec<String> = row.iter().map(|(_, field)| escape::printable(field)).collect();
        text.push_str(&escape::csv(&fields));
    }
    text
}

/// The percentiles that have columns, ascending.
pub(crate) fn percents<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Vec<f64> {
    let latencies = measurements.into_iter().flat_map(|m| [&m.response, &m.service]);
    let asked = latencies.flatten().flat_map(|latency| &latency.percentiles).map(|p| p.percent);
    let mut percents: Vec<f64> = USUAL.into_iter().chain(asked).collect();
    percents.sort_by(f64::total_cmp);
    percents.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    percents
}

pub(crate) fn workload(workload: &Workload) -> Fields {
    let rate = match workload.arrival {
        Arrival::Closed => None,
        Arrival::Open { messages_per_second } => Some(messages_per_second),
    };
    let sizes: Vec<String> = workload.sizes.0.iter().map(u32::to_string).collect();
    vec![
        field("target", &workload.target),
        field("loop", if rate.is_some() { "open" } else { "closed" }),
        optional("rate_messages_per_second", rate),
        field("connections", workload.connections),
        field("idle_connections", workload.idle_connections),
        field("message_bytes", sizes.join(";")),
        field("pipeline", workload.pipeline),
        field("churn", workload.churn),
        field("seed", workload.seed),
    ]
}

pub(crate) fn measurement(measurement: &Measurement, percents: &[f64]) -> Fields {
    let (word, reasons) = match &measurement.validity {
        Validity::Valid => ("valid", String::new()),
        Validity::Invalid { reasons } => ("invalid", reasons.join("; ")),
    };
    // An invalid measurement has no numbers, whatever the file says.
    let counts = measurement.validity.is_valid();
    let rates = measurement.throughput.filter(|_| counts);
    let traffic = measurement.traffic;
    let mut fields = vec![
        field("validity", word),
        field("invalid_reasons", reasons),
        field("ending", measurement.ending),
        field("seconds", measurement.seconds),
        field("messages_sent", traffic.sent),
        field("messages_echoed", traffic.echoed),
        field("bytes_each_way", traffic.bytes),
        field("errors", measurement.error_count()),
    ];
    for kind in ERRORS {
        let count = measurement.errors.get(&kind).copied().unwrap_or_default();
        fields.push(field(format!("errors_{kind}"), count));
    }
    fields.extend([
        optional("messages_per_second", rates.map(|rates| rates.messages_per_second)),
        optional("bytes_per_second", rates.map(|rates| rates.bytes_per_second)),
    ]);
    for (name, latency) in [
        ("response", measurement.response.as_ref().filter(|_| counts)),
        ("service", measurement.service.as_ref().filter(|_| counts)),
        ("connect", measurement.connect.as_ref().filter(|_| counts)),
        ("send_lag", measurement.send_lag.as_ref()),
    ] {
        fields.extend(self::latency(name, latency, percents));
    }
    let generator = &measurement.generator;
    fields.extend([
        field("generator_threads", generator.threads),
        optional("generator_cpu_seconds", generator.cpu_seconds.filter(|_| counts)),
        optional("generator_busiest_share", generator.busiest_share.filter(|_| counts)),
        optional("generator_waits_share", generator.waits_share.filter(|_| counts)),
        optional("generator_jitter_p99_ns", generator.jitter_p99_ns),
    ]);
    fields
}

fn latency(name: &str, latency: Option<&Latency>, percents: &[f64]) -> Fields {
    let mut fields = vec![
        optional(&format!("{name}_samples"), latency.map(|l| l.samples)),
        optional(&format!("{name}_min_ns"), latency.map(|l| l.min_ns)),
        optional(&format!("{name}_mean_ns"), latency.map(|l| l.mean_ns)),
    ];
    for percent in percents {
        let head = format!("{name}_p{}_ns", percent.to_string().replace('.', "_"));
        fields.push(optional(&head, latency.and_then(|l| l.at(*percent))));
    }
    fields.push(optional(&format!("{name}_max_ns"), latency.map(|l| l.max_ns)));
    fields
}

pub(crate) fn field(head: impl Into<String>, value: impl ToString) -> (String, String) {
    (head.into(), value.to_string())
}

pub(crate) fn optional(head: &str, value: Option<impl ToString>) -> (String, String) {
    field(head, value.map(|value| value.to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{closed, invalid, load, open};

    /// The fields of a record in which nothing is quoted, by their heads.
    #[track_caller]
    fn of<'a>(csv: &'a str, row: usize, head: &str) -> &'a str {
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
        let csv = render(&load(arrival, vec![open(), bad]));
        assert_eq!(of(&csv, 0, "messages_per_second"), "20001.2");
        assert_eq!(of(&csv, 0, "rate_messages_per_second"), "20000");
        assert_eq!(of(&csv, 0, "service_p99_ns"), "109000");
        assert_eq!(of(&csv, 0, "response_p99_9_ns"), "");
        assert_eq!(of(&csv, 0, "response_p90_ns"), "");
        assert_eq!(of(&csv, 0, "errors_reset"), "0");
        assert_eq!(of(&csv, 1, "run"), "2");
        assert_eq!(of(&csv, 1, "validity"), "invalid");
        for head in ["messages_per_second", "service_p99_ns", "response_max_ns"] {
            assert_eq!(of(&csv, 1, head), "", "{head}");
        }
        assert_eq!(of(&csv, 1, "send_lag_p99_ns"), "9000");
    }

    #[test]
    fn heads_do_not_depend_on_what_was_found() {
        let one = render(&load(Arrival::Closed, vec![closed(1.0, 1)]));
        let bad = Measurement { validity: invalid("late"), service: None, ..closed(1.0, 1) };
        let other = render(&load(Arrival::Closed, vec![bad]));
        assert_eq!(one.split("\r\n").next(), other.split("\r\n").next());
    }

    #[test]
    fn commas_and_quotes_stay_in_their_field() {
        let mut result = load(Arrival::Closed, vec![closed(1.0, 1)]);
        result.workload.target.address = "/tmp/a,\"b\"".to_owned();
        result.measurements[0].validity = invalid("one\ntwo");
        let csv = render(&result);
        assert!(csv.contains(",\"tcp:/tmp/a,\"\"b\"\"\","), "{csv}");
        assert_eq!(csv.lines().count(), 2, "{csv}");
    }
}
