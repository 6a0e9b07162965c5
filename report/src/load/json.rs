//! A load's result as JSON: the whole document, or a line for each measurement.

use serde::Serialize;

use super::{LoadResult, Measurement, Workload};

/// A line of JSON lines: one measurement, with what was measured.
#[derive(Serialize)]
struct Line<'a> {
    /// Its number, from 1.
    run: usize,
    workload: &'a Workload,
    #[serde(flatten)]
    measurement: &'a Measurement,
}

/// The document as it stands in a result file.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn document(result: &LoadResult) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(result)? + "\n")
}

/// One line for each measurement, each complete in itself (`jsonl`).
///
/// # Errors
/// When one cannot be written as JSON.
pub fn lines(result: &LoadResult) -> serde_json::Result<String> {
    let workload = &result.workload;
    let line = |(index, measurement)| {
        let line = Line { run: index + 1, workload, measurement };
        Ok(serde_json::to_string(&line)? + "\n")
    };
    result.measurements.iter().enumerate().map(line).collect()
}

#[cfg(all(test, feature = "statistics"))]
mod tests {
    use super::*;
    use crate::example::{closed, load};
    use crate::load::Arrival;

    #[test]
    fn a_document_reads_back_and_names_its_rate() {
        let result = load(Arrival::Closed, vec![closed(1_000.0, 9), closed(2_000.0, 9)]);
        let text = document(&result).unwrap();
        assert_eq!(serde_json::from_str::<LoadResult>(&text).unwrap(), result);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rate = value.pointer("/measurements/1/throughput/messages_per_second");
        assert_eq!(rate.and_then(serde_json::Value::as_f64), Some(2_000.0));
    }

    #[test]
    fn each_line_is_complete_in_itself() {
        let result = load(Arrival::Closed, vec![closed(1_000.0, 9), closed(2_000.0, 9)]);
        let text = lines(&result).unwrap();
        assert_eq!(text.lines().count(), 2);
        for (line, rate) in text.lines().zip([1_000.0, 2_000.0]) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["throughput"]["messages_per_second"], rate);
            assert_eq!(value["workload"]["connections"], 64);
        }
    }
}
