//! The doctor's page for a terminal.

use report::host::{Host, State};

use super::judge::{Judgement, judge};
use super::{RowDriver, affected, identity, runnable};

const WIDTH: usize = 100;
const NAME_WIDTH: usize = 12;

/// The host, its drivers with the rows they affect, its limits and its counters.
pub(crate) fn render(host: &Host, rows: &[RowDriver]) -> String {
    let mut lines = identity(host);
    lines.push(String::new());
    lines.push(match rows.len() {
        0 => "drivers".to_owned(),
        all => format!("drivers ({} of {all} rows can run here)", runnable(host, rows)),
    });
    for driver in &host.drivers {
        lines.extend(state(&driver.name, &driver.state));
        let affected = affected(driver, rows);
        if !affected.is_empty() {
            lines.extend(paragraph("", &format!("affects: {}", affected.join(", "))));
        }
    }
    lines.extend([String::new(), "limits".to_owned()]);
    lines.extend(judge(host).iter().flat_map(judgement));
    lines.extend([String::new(), "counters".to_owned()]);
    for counter in &host.counters {
        lines.extend(state(&counter.name, &counter.state));
    }
    lines.join("\n") + "\n"
}

fn state(name: &str, state: &State) -> Vec<String> {
    match state {
        State::Available { details } => paragraph(name, &format!("available: {details}")),
        State::Unavailable { reason, fix: None } => {
            paragraph(name, &format!("not available: {reason}"))
        }
        State::Unavailable { reason, fix: Some(remedy) } => {
            let mut lines = paragraph(name, &format!("NOT available: {reason}"));
            lines.push(fix(remedy));
            lines
        }
    }
}

fn judgement(judgement: &Judgement) -> Vec<String> {
    let text = format!("{}: {}", judgement.found, judgement.verdict);
    let mut lines = paragraph(judgement.name, &text);
    lines.extend(judgement.fix.as_deref().map(fix));
    lines
}

/// On one line however long, so that a command in it can be copied.
fn fix(remedy: &str) -> String {
    format!("  {:NAME_WIDTH$} fix: {remedy}", "")
}

/// `name` in the margin and `text` beside it, broken at blanks.
fn paragraph(name: &str, text: &str) -> Vec<String> {
    let mut lines = vec![format!("  {name:NAME_WIDTH$}")];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| {
            let used = line.chars().count();
            used > NAME_WIDTH + 2 && used + 1 + word.chars().count() > WIDTH
        });
        if full {
            lines.push(format!("  {:NAME_WIDTH$}", ""));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}
