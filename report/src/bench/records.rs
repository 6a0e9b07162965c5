//! A bench as records of values: one per round of a row, and one per row without rounds.

use super::metric::Metric;
use super::{Bench, BenchRow, Sample};
use crate::load::records::{measurement_record, percents, workload_record};
use crate::load::{Generator, Measurement};
use crate::record::{Field, Record, optional, optional_text, text, value};

pub(super) fn records(bench: &Bench) -> Vec<Record> {
    records_with(bench, &percents(measurements(bench)))
}

pub(crate) fn measurements(bench: &Bench) -> impl Iterator<Item = &Measurement> {
    bench.rows.iter().flat_map(|row| &row.samples).map(|sample| &sample.measurement)
}

/// The records of a bench, with columns for these percentiles.
pub(crate) fn records_with(bench: &Bench, percents: &[f64]) -> Vec<Record> {
    let mut records = Vec::new();
    for row in &bench.rows {
        for sample in &row.samples {
            let measured = measurement_record(&sample.measurement, percents);
            records.push(record(bench, row, Some(sample), measured));
        }
        if row.samples.is_empty() {
            records.push(record(bench, row, None, blank(percents)));
        }
    }
    records
}

/// The heads of a measurement, with empty fields.
fn blank(percents: &[f64]) -> Record {
    let heads = measurement_record(&Measurement::empty(Generator::default()), percents).into_iter();
    heads.map(|(head, _)| (head, Field::None)).collect()
}

fn record(bench: &Bench, row: &BenchRow, sample: Option<&Sample>, measured: Record) -> Record {
    let mut record = vec![
        text("row", &row.name),
        value("model", row.model),
        text("driver", &row.driver),
        text("flavor", &row.flavor),
        text("package", &row.package),
        optional_text("runtime", row.runtime.as_ref()),
        optional_text("refused", row.refused.as_ref().map(|refused| &refused.reason)),
        optional("round", sample.map(|sample| u64::from(sample.round) + 1)),
    ];
    record
        .extend(workload_record(&bench.workload).into_iter().filter(|(head, _)| head != "target"));
    record.extend(measured);
    let floor = sample.and_then(|sample| bench.floor_ns.get(sample.round as usize));
    record.push(optional("floor_ns_per_message", floor));
    for metric in Metric::all() {
        let Some(head) = metric.csv_head() else { continue };
        let number = match metric.row_value(row) {
            Some(count) => count.number(),
            None => sample.and_then(|sample| metric.round_value(bench, sample)?.number()),
        };
        record.push(optional(head, number));
    }
    record
}
