//! A sweep as CSV (RFC 4180): the records of its benches, with the value before each.

use super::Sweep;
use crate::bench::csv::{measurements, rows};
use crate::load::csv::{field, percents, table};

/// The whole table, with its heads.
#[must_use]
pub fn render(sweep: &Sweep) -> String {
    let points = sweep.ascending();
    let percents = percents(points.iter().flat_map(|point| measurements(&point.bench)));
    let mut records = Vec::new();
    for point in points {
        for fields in rows(&point.bench, &percents) {
            let mut record = vec![field("varied", sweep.dimension), field("value", point.value)];
            record.extend(fields);
            records.push(record);
        }
    }
    table(&records)
}
