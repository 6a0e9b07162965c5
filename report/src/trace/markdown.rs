//! Ladders as Markdown, for slides: a table with a column for each row.

use std::fmt::Write as _;

use super::fold::{Step, fold};
use super::text::{asked, is_traced, labels, letter, same_as};
use super::{CAUTION, Call, Ladder, Outcome, Request, Trace};
use crate::escape::markdown as escape;

/// The whole page.
#[must_use]
pub fn render(trace: &Trace) -> String {
    let mut page = format!("{CAUTION}; {}\n", asked(trace));
    let rows: Vec<&Ladder> = trace.rows.iter().filter(|row| is_traced(row)).collect();
    if !rows.is_empty() {
        let heads: String = rows.iter().map(|row| format!(" {} |", escape(&row.title()))).collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(page, "\n| |{heads}\n| --- |{}", " --- |".repeat(rows.len()));
    }
    for (index, label) in labels(trace).iter().enumerate().filter(|_| !rows.is_empty()) {
        let cells: String =
            rows.iter().map(|row| format!(" {} |", cell(trace, row, index))).collect();
        let _ = writeln!(page, "| {label} |{cells}");
    }
    for row in &trace.rows {
        if let Outcome::Unavailable { reason } = &row.outcome {
            let _ = writeln!(page, "\n{} is unavailable: {}", escape(&row.name), escape(reason));
        }
    }
    page
}

fn cell(trace: &Trace, row: &Ladder, index: usize) -> String {
    let ladders: Vec<String> = row.requests().iter().map(|one| ladder(row, one)).collect();
    match ladders.get(index) {
        None if index == ladders.len() => escape(&row.per_request()),
        None => row.per_message(trace.connections),
        Some(ladder) => match same_as(&ladders, index) {
            Some(earlier) => format!("as req {}", earlier + 1),
            None => ladder.clone(),
        },
    }
}

fn ladder(row: &Ladder, request: &Request) -> String {
    let mut lines = blocks(row, &request.calls, "");
    lines.extend(blocks(row, &request.waiting, " ..."));
    lines.join("<br>")
}

fn blocks(row: &Ladder, calls: &[Call], end: &str) -> Vec<String> {
    let line = |times: usize, steps: &[Step]| {
        let steps: Vec<String> = steps.iter().map(|one| step(row, one)).collect();
        let steps = steps.join("; ");
        if times == 1 { format!("{steps}{end}") } else { format!("{times}x {steps}{end}") }
    };
    fold(calls).iter().map(|block| line(block.times, &block.steps)).collect()
}

fn step(row: &Ladder, step: &Step) -> String {
    let thread = if row.has_threads() { format!("{} ", letter(step.who)) } else { String::new() };
    escape(format!("{thread}{} {}", step.call.name, step.call.gist).trim_end())
}
