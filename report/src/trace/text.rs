//! Ladders for a terminal: as many rows side by side as its width takes, the others below.

use std::fmt::Write as _;

use comfy_table::{Cell as TableCell, ContentArrangement, Table, presets};

use super::fold::{Block, Step, Who, fold};
use super::{CAUTION, Call, Ladder, Outcome, Request, Trace};
use crate::escape::printable;

/// Between two columns.
const GAP: u16 = 2;
/// Less would break every column.
const LEAST_WIDTH: usize = 60;

/// The whole page. `width` is that of the terminal, in columns.
#[must_use]
pub fn render(trace: &Trace, width: u16) -> String {
    let mut page = format!("{CAUTION}\n{}\n\n", asked(trace));
    let columns: Vec<Vec<String>> =
        trace.rows.iter().filter(|row| is_traced(row)).map(|row| column(trace, row)).collect();
    for group in side_by_side(&columns, &labels(trace), usize::from(width)) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(page, "{}\n", table(trace, group));
    }
    for line in legend(trace) {
        let _ = writeln!(page, "{line}");
    }
    for row in &trace.rows {
        if let Outcome::Unavailable { reason } = &row.outcome {
            let _ = writeln!(page, "{} is unavailable: {}", row.name, printable(reason));
        }
    }
    page
}

/// What was asked of every row.
pub(super) fn asked(trace: &Trace) -> String {
    let Trace { connections, message_bytes, .. } = trace;
    match connections {
        1 => format!("each request: {message_bytes} bytes"),
        _ => format!(
            "each request: {message_bytes} bytes on each of {connections} connections, all there \
             at once"
        ),
    }
}

/// How to read what is there.
pub(super) fn legend(trace: &Trace) -> Vec<&'static str> {
    let traced: Vec<&Ladder> = trace.rows.iter().filter(|row| is_traced(row)).collect();
    let mut lines = Vec::new();
    if !traced.is_empty() {
        lines.push("...          is left waiting, and counts for the request that wakes it");
    }
    if traced.iter().any(|row| Layout::of(row).has_blocks) {
        lines.push("16x, |       so many times in sequence");
    }
    if traced.iter().any(|row| row.has_threads()) {
        lines.push("A, B, *      threads of the server; * stands for several");
    }
    if traced.iter().any(|row| row.has_rings()) {
        lines.push("operations   what the kernel took from the rings, by their counters");
    }
    lines
}

pub(super) fn is_traced(row: &Ladder) -> bool {
    matches!(row.outcome, Outcome::Traced { .. })
}

/// The cells of the first column, below its head.
pub(super) fn labels(trace: &Trace) -> Vec<String> {
    let most = trace.rows.iter().map(|row| row.requests().len()).max().unwrap_or(0);
    let mut labels: Vec<String> = (1..=most).map(|number| format!("req {number}")).collect();
    labels.push("per request:".to_owned());
    if trace.connections > 1 {
        labels.push("per message:".to_owned());
    }
    labels
}

/// The cells of a row's column, its head first.
fn column(trace: &Trace, row: &Ladder) -> Vec<String> {
    let mut cells = vec![printable(&row.title())];
    let layout = Layout::of(row);
    let ladders: Vec<String> = row.requests().iter().map(|one| layout.ladder(one)).collect();
    for (index, ladder) in ladders.iter().enumerate() {
        cells.push(match same_as(&ladders, index) {
            Some(earlier) => format!("{}as req {}", layout.margin(), earlier + 1),
            None => ladder.clone(),
        });
    }
    cells.push(row.per_request());
    if trace.connections > 1 {
        cells.push(row.per_message(trace.connections));
    }
    cells
}

/// The first ladder that is the same as this one, if that is another.
pub(super) fn same_as(ladders: &[String], index: usize) -> Option<usize> {
    let this = ladders.get(index)?;
    ladders[..index].iter().position(|earlier| earlier == this)
}

/// How the lines of a column are laid out, the same for all of its requests.
struct Layout {
    has_threads: bool,
    has_blocks: bool,
    name_width: usize,
}

impl Layout {
    fn of(row: &Ladder) -> Self {
        let requests = row.requests();
        let calls = requests.iter().flat_map(|request| [&request.calls, &request.waiting]);
        let names = calls.flatten().map(|call| call.name.chars().count());
        let is_folded = |calls: &[Call]| fold(calls).iter().any(|block| block.times > 1);
        Self {
            has_threads: row.has_threads(),
            has_blocks: requests.iter().any(|r| is_folded(&r.calls) || is_folded(&r.waiting)),
            name_width: names.max().unwrap_or(0),
        }
    }

    fn margin(&self) -> &'static str {
        if self.has_blocks { "      " } else { "" }
    }

    fn ladder(&self, request: &Request) -> String {
        let mut lines = self.blocks(&request.calls, "");
        lines.extend(self.blocks(&request.waiting, " ..."));
        lines.join("\n")
    }

    fn blocks(&self, calls: &[Call], end: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for Block { times, steps } in fold(calls) {
            for (index, step) in steps.iter().enumerate() {
                let margin = match (times, index) {
                    (1, _) => self.margin().to_owned(),
                    (_, 0) => format!("{times:>3}x  "),
                    (_, _) => "  |   ".to_owned(),
                };
                lines.push(format!("{margin}{}{end}", self.step(step)));
            }
        }
        lines
    }

    fn step(&self, step: &Step) -> String {
        let thread =
            if self.has_threads { format!("{} ", letter(step.who)) } else { String::new() };
        let (name, width) = (printable(&step.call.name), self.name_width);
        format!("{thread}{name:<width$}  {}", printable(&step.call.gist)).trim_end().to_owned()
    }
}

/// `A` for the first thread that appears; beyond `Z` they are numbered.
pub(super) fn letter(who: Who) -> String {
    let Who::Thread(thread) = who else { return "*".to_owned() };
    match u8::try_from(thread) {
        Ok(number) if number < 26 => char::from(b'A' + number).to_string(),
        Ok(_) | Err(_) => thread.to_string(),
    }
}

/// The columns in groups that are as wide as the terminal takes, one at least.
fn side_by_side<'a>(
    columns: &'a [Vec<String>],
    labels: &[String],
    width: usize,
) -> Vec<&'a [Vec<String>]> {
    let gap = usize::from(GAP);
    let widest = |cells: &[String]| {
        let lines = cells.iter().flat_map(|cell| cell.lines());
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let room = width.max(LEAST_WIDTH).saturating_sub(widest(labels));
    let mut groups = Vec::new();
    let mut start = 0;
    let mut used = 0;
    for (index, cells) in columns.iter().enumerate() {
        let wanted = gap + widest(cells);
        if used > 0 && used + wanted > room {
            groups.push(&columns[start..index]);
            (start, used) = (index, 0);
        }
        used += wanted;
    }
    if start < columns.len() {
        groups.push(&columns[start..]);
    }
    groups
}

fn table(trace: &Trace, columns: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let head = columns.iter().filter_map(|cells| cells.first());
    table.set_header([String::new()].iter().chain(head).map(TableCell::new));
    for (index, label) in labels(trace).iter().enumerate() {
        let cells = columns.iter().filter_map(|cells| cells.get(index + 1));
        table.add_row([label].into_iter().chain(cells).map(TableCell::new));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt()
}
