//! A trace as the parts of a page: as many rows side by side as fit.

use super::fold::{CallSequence, Caller, Step, fold};
use super::{CAUTION, Call, Ladder, Outcome, Request, Trace};
use crate::outside;
use crate::outside::Outside;
use crate::part::{Entry, Head, Medium, Part, Prose, Style, Table};

pub(super) fn parts(trace: &Trace, medium: Medium) -> Vec<Part> {
    let columns = Part::Table(table(trace, medium));
    let absent = Part::lines(absences(trace));
    match medium {
        Medium::Terminal => {
            let lines = [CAUTION.to_owned(), request_sentence(trace)];
            vec![Part::lines(lines), columns, Part::lines(legend(trace)), absent]
        }
        Medium::Page => {
            let line = format!("{CAUTION}; {}", request_sentence(trace));
            vec![Part::lines([line]), columns, absent]
        }
    }
}

/// What was asked of every row.
fn request_sentence(trace: &Trace) -> String {
    let Trace { connections, message_bytes, .. } = trace;
    match connections {
        1 => format!("each request: {message_bytes} bytes"),
        _ => format!(
            "each request: {message_bytes} bytes on each of {connections} connections, all there \
             at once"
        ),
    }
}

/// How to read the ladders.
fn legend(trace: &Trace) -> Vec<&'static str> {
    let traced: Vec<&Ladder> = traced_rows(trace).collect();
    let mut lines = Vec::new();
    if !traced.is_empty() {
        lines.push("...          is left waiting, and counts for the request that wakes it");
    }
    if traced.iter().any(|row| Layout::new(row).has_repeats) {
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

fn absences(trace: &Trace) -> Vec<Outside> {
    let line = |row: &Ladder| match &row.outcome {
        Outcome::Unavailable { reason } => {
            Some(outside!("{} is unavailable: {}", row.name, reason))
        }
        Outcome::Traced { .. } => None,
    };
    trace.rows.iter().filter_map(line).collect()
}

fn traced_rows(trace: &Trace) -> impl Iterator<Item = &Ladder> {
    trace.rows.iter().filter(|row| matches!(row.outcome, Outcome::Traced { .. }))
}

/// One column per row; empty if there are no rows.
fn table(trace: &Trace, medium: Medium) -> Table {
    let mut heads = vec![Head::new("")];
    heads.extend(traced_rows(trace).map(|row| Head::new(row.title())));
    let columns: Vec<Vec<Entry>> =
        traced_rows(trace).map(|row| column(trace, row, medium)).collect();
    let line = |(index, label): (usize, String)| {
        let cells = columns.iter().map(|cells| cells.get(index).cloned().unwrap_or_default());
        [Entry::from(label)].into_iter().chain(cells).collect()
    };
    let labels = if columns.is_empty() { Vec::new() } else { labels(trace) };
    let rows = labels.into_iter().enumerate().map(line).collect();
    Table::plain("", Style::Columns, heads, rows)
}

/// The cells of the first column.
fn labels(trace: &Trace) -> Vec<String> {
    let mut labels: Vec<String> =
        (1..=requests(trace)).map(|number| format!("req {number}")).collect();
    labels.push("per request:".to_owned());
    if trace.connections > 1 {
        labels.push("per message:".to_owned());
    }
    labels
}

fn requests(trace: &Trace) -> usize {
    trace.rows.iter().map(|row| row.requests().len()).max().unwrap_or(0)
}

/// The cells of a row's column, below its head.
fn column(trace: &Trace, row: &Ladder, medium: Medium) -> Vec<Entry> {
    let layout = Layout::new(row);
    let ladder = |request: &Request| match medium {
        Medium::Terminal => layout.ladder(request),
        Medium::Page => layout.points(request),
    };
    let margin = match medium {
        Medium::Terminal => layout.margin(),
        Medium::Page => "",
    };
    let ladders: Vec<Vec<Outside>> = row.requests().iter().map(ladder).collect();
    let cell = |(index, lines): (usize, &Vec<Outside>)| match ladders[..index]
        .iter()
        .position(|earlier| earlier == lines)
    {
        Some(earlier) => format!("{margin}as req {}", earlier + 1).into(),
        None => Entry { lines: lines.iter().cloned().map(Prose::from).collect(), is_strong: false },
    };
    let mut cells: Vec<Entry> = ladders.iter().enumerate().map(cell).collect();
    cells.resize(requests(trace), Entry::default());
    cells.push(row.cost_per_request().into());
    if trace.connections > 1 {
        cells.push(row.cost_per_message(trace.connections).into());
    }
    cells
}

/// How the lines of a column are laid out; all requests of a row have one layout.
struct Layout {
    has_threads: bool,
    has_repeats: bool,
    name_width: usize,
}

impl Layout {
    fn new(row: &Ladder) -> Self {
        let requests = row.requests();
        let calls = requests.iter().flat_map(|request| [&request.calls, &request.waiting]);
        let names = calls.flatten().map(|call| call.name.open().chars().count());
        let is_folded = |calls: &[Call]| fold(calls).iter().any(|sequence| sequence.times > 1);
        Self {
            has_threads: row.has_threads(),
            has_repeats: requests.iter().any(|r| is_folded(&r.calls) || is_folded(&r.waiting)),
            name_width: names.max().unwrap_or(0),
        }
    }

    fn margin(&self) -> &'static str {
        if self.has_repeats { "      " } else { "" }
    }

    /// One line per call, in columns.
    fn ladder(&self, request: &Request) -> Vec<Outside> {
        let mut lines = self.sequences(&request.calls, "");
        lines.extend(self.sequences(&request.waiting, " ..."));
        lines
    }

    fn sequences(&self, calls: &[Call], end: &str) -> Vec<Outside> {
        let mut lines = Vec::new();
        for CallSequence { times, steps } in fold(calls) {
            for (index, step) in steps.iter().enumerate() {
                let margin = match (times, index) {
                    (1, _) => self.margin().to_owned(),
                    (_, 0) => format!("{times:>3}x  "),
                    (_, _) => "  |   ".to_owned(),
                };
                lines.push(outside!("{}{}{}", margin, self.step(step, self.name_width, "  "), end));
            }
        }
        lines
    }

    /// One line per sequence, without columns.
    fn points(&self, request: &Request) -> Vec<Outside> {
        let line = |CallSequence { times, steps }: CallSequence<'_>, end: &str| {
            let steps: Vec<Outside> = steps.iter().map(|one| self.step(one, 0, " ")).collect();
            let steps = Outside::join(&steps, "; ");
            match times {
                1 => outside!("{}{}", steps, end),
                times => outside!("{}x {}{}", times, steps, end),
            }
        };
        let calls = fold(&request.calls).into_iter().map(|sequence| line(sequence, ""));
        let waiting = fold(&request.waiting).into_iter().map(|sequence| line(sequence, " ..."));
        calls.chain(waiting).collect()
    }

    fn step(&self, step: &Step<'_>, width: usize, gap: &str) -> Outside {
        let thread =
            if self.has_threads { format!("{} ", letter(step.caller)) } else { String::new() };
        let Call { name, gist, .. } = step.call;
        match gist.is_empty() {
            true => outside!("{}{}", thread, name),
            false => outside!("{}{}{}{}", thread, name.pad(width), gap, gist),
        }
    }
}

/// `A` for the first thread that appears; threads beyond `Z` are numbered.
fn letter(caller: Caller) -> String {
    let Caller::Thread(thread) = caller else { return "*".to_owned() };
    match u8::try_from(thread) {
        Ok(number) if number < 26 => char::from(b'A' + number).to_string(),
        Ok(_) | Err(_) => thread.to_string(),
    }
}
