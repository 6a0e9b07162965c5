//! A run as records of values: one per cell.

use super::{Cell, Run};
use crate::record::{Record, optional, optional_text, text, value};

pub(super) fn records(run: &Run) -> Vec<Record> {
    let record = |cell: &Cell| {
        let row = run.rows.iter().find(|row| row.name == cell.row);
        let failure = cell.failure.as_ref();
        let margin = cell.margin.as_ref();
        vec![
            text("label", &run.label),
            text("row", &cell.row),
            optional("model", row.map(|row| row.model)),
            optional_text("driver", row.map(|row| &row.driver)),
            text("suite", &cell.suite),
            text("case", &cell.case),
            value("level", cell.level),
            value("question", cell.question),
            value("verdict", cell.verdict),
            value("waived", cell.is_waived()),
            optional("failure", failure.map(|failure| failure.kind)),
            optional_text("expected", failure.map(|failure| &failure.expected)),
            optional_text("actual", failure.map(|failure| &failure.actual)),
            optional_text("reason", cell.reason.as_ref()),
            value("unasked", cell.is_unasked),
            optional_text("follows_from", cell.follows_from.as_ref()),
            optional_text("observation", cell.observation.as_ref()),
            optional_text("margin_of", margin.map(|margin| &margin.what)),
            optional("margin_observed", margin.map(|margin| margin.observed)),
            optional("margin_limit", margin.map(|margin| margin.limit)),
            value("seconds", cell.seconds),
            optional("cpu_seconds", cell.cpu_seconds),
            value("seed", cell.seed),
        ]
    };
    run.cells.iter().map(record).collect()
}
