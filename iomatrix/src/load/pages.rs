//! The pages of a load: the document, and the whole distributions, which the document does not
//! keep.

use std::time::Duration;

use loadgen::Recording;
use report::load::{Condition, LoadResult};
use report::part::{Medium, Part};
use report::{Format, Outside, Pages, Record, outside};
use serde::Serialize;

/// A load with everything that the command which has run it can show.
pub(super) struct LoadPages {
    /// What is written to a result file.
    pub(super) result: LoadResult,
    /// The recordings behind the measurements.
    pub(super) recordings: Vec<Recording>,
}

impl Pages for LoadPages {
    /// The formats of the document, and the log of HdrHistogram.
    const FORMATS: &'static [Format] =
        &[Format::Text, Format::Markdown, Format::Json, Format::Jsonl, Format::Csv, Format::Hdr];
    type Question = Vec<Condition>;

    fn parts(&self, conditions: &Vec<Condition>, medium: Medium) -> Vec<Part> {
        self.result.parts(conditions, medium)
    }

    fn data(&self) -> impl Serialize {
        self.result.data()
    }

    fn records(&self) -> Vec<Record> {
        self.result.records()
    }

    fn lines(&self) -> Vec<impl Serialize> {
        self.result.lines()
    }

    /// The distributions of all runs, added up.
    fn distributions(&self) -> Result<String, Outside> {
        let Some((first, rest)) = self.recordings.split_first() else { return Ok(String::new()) };
        let mut histograms = first.histograms.clone();
        for recording in rest {
            histograms.add(&recording.histograms).map_err(|error| outside!("{:#}", error))?;
        }
        let seconds = self.result.measurements.iter().map(|measurement| measurement.seconds).sum();
        let mut log = Vec::new();
        loadgen::export_hdr(&histograms, Duration::from_secs_f64(seconds), &mut log)
            .map_err(|error| outside!("{:#}", error))?;
        String::from_utf8(log).map_err(|error| outside!("{}", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_offered_beside_the_formats_of_the_document() {
        assert_eq!(LoadPages::FORMATS, [LoadResult::FORMATS, &[Format::Hdr]].concat());
    }
}
