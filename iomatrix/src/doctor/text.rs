//! The doctor's page for a terminal.

use report::host::{Host, State};

use crate::paragraph::paragraph;

use super::judge::{Diagnosis, judge};
use super::{RowDriver, affected, identity, runnable};

/// Columns of the margin, in which names stand.
const MARGIN: usize = 15;

/// The host, its drivers with the rows they affect, its limits and its counters.
pub(crate) fn render(host: &Host, rows: &[RowDriver], width: usize) -> String {
    let mut lines = identity(host);
    lines.push(String::new());
    lines.push(match rows.len() {
        0 => "drivers".to_owned(),
        all => format!("drivers ({} of {all} rows can run here)", runnable(host, rows)),
    });
    for driver in &host.drivers {
        lines.extend(state(&driver.name.on_terminal(), &driver.state, width));
        let affected = affected(driver, rows);
        if !affected.is_empty() {
            lines.extend(paragraph(
                "",
                &format!("affects: {}", affected.join(", ")),
                MARGIN,
                width,
            ));
        }
    }
    lines.extend([String::new(), "limits".to_owned()]);
    lines.extend(judge(host).iter().flat_map(|one| judgement(one, width)));
    lines.extend([String::new(), "counters".to_owned()]);
    for counter in &host.counters {
        lines.extend(state(&counter.name.on_terminal(), &counter.state, width));
    }
    lines.join("\n") + "\n"
}

fn state(name: &str, state: &State, width: usize) -> Vec<String> {
    let paragraph = |text: &str| paragraph(name, text, MARGIN, width);
    match state {
        State::Available { details } => paragraph(&format!("available: {}", details.on_terminal())),
        State::Unavailable { reason, fix: None } => {
            paragraph(&format!("not available: {}", reason.on_terminal()))
        }
        State::Unavailable { reason, fix: Some(remedy) } => {
            let mut lines = paragraph(&format!("NOT available: {}", reason.on_terminal()));
            lines.push(fix(&remedy.on_terminal()));
            lines
        }
    }
}

fn judgement(judgement: &Diagnosis, width: usize) -> Vec<String> {
    let text = format!("{}: {}", judgement.found, judgement.verdict);
    let mut lines = paragraph(judgement.name, &text, MARGIN, width);
    lines.extend(judgement.fix.as_deref().map(fix));
    lines
}

/// On one line however long, so that a command in it can be copied.
fn fix(remedy: &str) -> String {
    format!("{:MARGIN$}fix: {remedy}", "")
}
