//! The doctor's page for a job's summary.

use report::Outside;
use report::escape::{markdown, markdown_line};
use report::host::{Host, State};

use super::judge::judge;
use super::{RowDriver, affected, identity, runnable};

/// The same as the text, as tables.
pub(crate) fn render(host: &Host, rows: &[RowDriver]) -> String {
    let mut lines = vec!["## Host".to_owned(), String::new()];
    lines.extend(identity(host).iter().map(|line| format!("- {}", markdown_line(line))));
    if !rows.is_empty() {
        let runnable = runnable(host, rows);
        lines.push(format!("- {runnable} of {} rows can run here", rows.len()));
    }
    table(&mut lines, ["driver", "available", "found", "fix", "affects"]);
    for driver in &host.drivers {
        let (available, found, fix) = state(&driver.state);
        let affects = affected(driver, rows).join(", ");
        row(&mut lines, [&driver.name.on_terminal(), available, &found, &fix, &affects]);
    }
    table(&mut lines, ["limit", "here", "judgement", "fix"]);
    for judgement in judge(host) {
        let fix = judgement.fix.as_deref().unwrap_or_default();
        row(&mut lines, [judgement.name, &judgement.found, &judgement.verdict, fix]);
    }
    table(&mut lines, ["counter", "available", "found", "fix"]);
    for counter in &host.counters {
        let (available, found, fix) = state(&counter.state);
        row(&mut lines, [&counter.name.on_terminal(), available, &found, &fix]);
    }
    lines.join("\n") + "\n"
}

fn state(state: &State) -> (&str, String, String) {
    match state {
        State::Available { details } => ("yes", details.on_terminal(), String::new()),
        State::Unavailable { reason, fix } => {
            let fix = fix.as_ref().map(Outside::on_terminal).unwrap_or_default();
            ("no", reason.on_terminal(), fix)
        }
    }
}

fn table<const N: usize>(lines: &mut Vec<String>, titles: [&str; N]) {
    lines.push(String::new());
    row(lines, titles);
    row(lines, ["---"; N]);
}

fn row<const N: usize>(lines: &mut Vec<String>, cells: [&str; N]) {
    lines.push(format!("| {} |", cells.map(markdown).join(" | ")));
}
