//! A sweep as records of values: the records of its benches, each after the value it belongs to.

use super::Sweep;
use crate::bench::records::{measurements, records_with};
use crate::load::records::percents;
use crate::record::{Record, value};

pub(super) fn records(sweep: &Sweep) -> Vec<Record> {
    let points = sweep.sorted_points();
    let percents = percents(points.iter().flat_map(|point| measurements(&point.bench)));
    let mut records = Vec::new();
    for point in points {
        for bench in records_with(&point.bench, &percents) {
            let mut record = vec![value("varied", sweep.dimension), value("value", point.value)];
            record.extend(bench);
            records.push(record);
        }
    }
    records
}
