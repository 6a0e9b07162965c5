//! A load as records of values: one per measurement.

use super::{Arrival, ErrorKind, Latency, LoadResult, Measurement, Validity, Workload};
use crate::outside::Outside;
use crate::record::{Record, optional, text, value};

/// Percentiles that always have a column.
const USUAL_PERCENTS: [f64; 4] = [50.0, 90.0, 99.0, 99.9];
/// Every kind of error has a column.
const ERROR_KINDS: [ErrorKind; 9] = [
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

/// One record per measurement. Their heads depend only on the percentiles that were asked for.
pub(super) fn records(result: &LoadResult) -> Vec<Record> {
    let percents = percents(&result.measurements);
    let record = |(index, measurement): (usize, &Measurement)| {
        let mut record = vec![value("run", index + 1)];
        record.extend(workload_record(&result.workload));
        record.extend(measurement_record(measurement, &percents));
        record
    };
    result.measurements.iter().enumerate().map(record).collect()
}

/// The percentiles that have columns, ascending.
pub(crate) fn percents<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Vec<f64> {
    let latencies = measurements.into_iter().flat_map(|m| [&m.response, &m.service]);
    let asked = latencies.flatten().flat_map(|latency| &latency.percentiles).map(|p| p.percent);
    let mut percents: Vec<f64> = USUAL_PERCENTS.into_iter().chain(asked).collect();
    percents.sort_by(f64::total_cmp);
    percents.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    percents
}

pub(crate) fn workload_record(workload: &Workload) -> Record {
    let rate = match workload.arrival {
        Arrival::Closed => None,
        Arrival::Open { messages_per_second } => Some(messages_per_second),
    };
    let sizes: Vec<String> = workload.sizes.0.iter().map(u32::to_string).collect();
    vec![
        text("target", &workload.target.words()),
        value("loop", if rate.is_some() { "open" } else { "closed" }),
        optional("rate_messages_per_second", rate),
        value("connections", workload.connections),
        value("idle_connections", workload.idle_connections),
        value("message_bytes", sizes.join(";")),
        value("pipeline", workload.pipeline),
        value("churn", workload.churn),
        value("seed", workload.seed),
    ]
}

pub(crate) fn measurement_record(measurement: &Measurement, percents: &[f64]) -> Record {
    let (word, reasons) = match &measurement.validity {
        Validity::Valid => ("valid", Outside::default()),
        Validity::Invalid { reasons } => ("invalid", Outside::join(reasons, "; ")),
    };
    // An invalid measurement has no numbers, even if the file has some.
    let counts = measurement.validity.is_valid();
    let rates = measurement.throughput.filter(|_| counts);
    let traffic = measurement.traffic;
    let mut fields = vec![
        value("validity", word),
        text("invalid_reasons", &reasons),
        value("ending", measurement.ending),
        value("seconds", measurement.seconds),
        value("messages_sent", traffic.sent),
        value("messages_echoed", traffic.echoed),
        value("bytes_each_way", traffic.bytes),
        value("errors", measurement.error_count()),
    ];
    for kind in ERROR_KINDS {
        let count = measurement.errors.get(&kind).copied().unwrap_or_default();
        fields.push(value(format!("errors_{kind}"), count));
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
        fields.extend(latency_record(name, latency, percents));
    }
    let generator = &measurement.generator;
    fields.extend([
        value("generator_threads", generator.threads),
        optional("generator_cpu_seconds", generator.cpu_seconds.filter(|_| counts)),
        optional("generator_busiest_share", generator.busiest_share.filter(|_| counts)),
        optional("generator_waits_share", generator.waits_share.filter(|_| counts)),
        optional("generator_jitter_p99_ns", generator.jitter_p99_ns),
    ]);
    fields
}

fn latency_record(name: &str, latency: Option<&Latency>, percents: &[f64]) -> Record {
    let mut fields = vec![
        optional(&format!("{name}_samples"), latency.map(|l| l.samples)),
        optional(&format!("{name}_min_ns"), latency.map(|l| l.min_ns)),
        optional(&format!("{name}_mean_ns"), latency.map(|l| l.mean_ns)),
    ];
    for percent in percents {
        let head = format!("{name}_p{}_ns", percent.to_string().replace('.', "_"));
        fields.push(optional(&head, latency.and_then(|l| l.percentile_ns(*percent))));
    }
    fields.push(optional(&format!("{name}_max_ns"), latency.map(|l| l.max_ns)));
    fields
}
