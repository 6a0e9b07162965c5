//! A bench as CSV (RFC 4180): one row a round of a row, and one for each row without rounds. Heads
//! carry units; what is absent is an empty field.

use std::collections::BTreeMap;

use super::{Bench, BenchRow, Count, Sample, ServerUse};
use crate::load::csv::{Fields, field, measurement, optional, percents, table, workload};
use crate::load::{Ending, Generator, Measurement, Traffic, Validity};

/// The whole table, with its heads.
#[must_use]
pub fn render(bench: &Bench) -> String {
    table(&rows(bench, &percents(measurements(bench))))
}

/// Every measurement of a bench.
pub(crate) fn measurements(bench: &Bench) -> impl Iterator<Item = &Measurement> {
    bench.rows.iter().flat_map(|row| &row.samples).map(|sample| &sample.measurement)
}

/// The records, with columns for these percentiles.
pub(crate) fn rows(bench: &Bench, percents: &[f64]) -> Vec<Fields> {
    let mut rows = Vec::new();
    for row in &bench.rows {
        for sample in &row.samples {
            rows.push(fields(bench, row, Some(sample), measurement(&sample.measurement, percents)));
        }
        if row.samples.is_empty() {
            rows.push(fields(bench, row, None, blank(percents)));
        }
    }
    rows
}

/// The heads of a measurement, with nothing below them.
fn blank(percents: &[f64]) -> Fields {
    let none = Measurement {
        validity: Validity::Valid,
        ending: Ending::Complete,
        opening_seconds: Some(0.01),
        seconds: 0.0,
        traffic: Traffic::default(),
        throughput: None,
        response: None,
        service: None,
        send_lag: None,
        connect: None,
        errors: BTreeMap::new(),
        notes: Vec::new(),
        generator: Generator::default(),
    };
    measurement(&none, percents).into_iter().map(|(head, _)| (head, String::new())).collect()
}

fn fields(bench: &Bench, row: &BenchRow, sample: Option<&Sample>, measured: Fields) -> Fields {
    let mut fields = vec![
        field("row", &row.name),
        field("model", row.model),
        field("driver", &row.driver),
        field("flavor", &row.flavor),
        field("package", &row.package),
        optional("runtime", row.runtime.as_deref()),
        optional("refused", row.refused.as_ref().map(|refused| &refused.reason)),
        optional("round", sample.map(|sample| sample.round + 1)),
    ];
    fields.extend(workload(&bench.workload).into_iter().filter(|(head, _)| head != "target"));
    fields.extend(measured);
    let counts = sample.filter(|sample| sample.measurement.flaw().is_none());
    let server = counts.and_then(|sample| sample.server.as_ref());
    let used = |pick: fn(&ServerUse) -> &Count| server.and_then(|server| pick(server).number());
    let floor = sample.and_then(|sample| bench.floor_ns.get(sample.round as usize));
    fields.extend([
        optional("cpu_ns_per_message", used(|server| &server.cpu_ns)),
        optional("user_ns_per_message", used(|server| &server.user_ns)),
        optional("system_ns_per_message", used(|server| &server.system_ns)),
        optional("floor_ns_per_message", floor),
        optional("submissions_per_message", used(|server| &server.submissions)),
        optional("context_switches_per_message", used(|server| &server.context_switches)),
        optional("resident_bytes", used(|server| &server.resident_bytes)),
        optional("server_threads", used(|server| &server.threads)),
        optional("system_calls_per_message", row.system_calls.number()),
        optional("idle_connection_bytes", row.idle_connection_bytes.number()),
    ]);
    fields
}
