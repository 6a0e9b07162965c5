//! `iomatrix explain`: the page of a case, and all of them as `docs/CASES.md`. The texts are
//! `conformance::page`'s; here they are found by id and laid out.

mod markdown;
mod nearest;
mod text;

use std::iter::once;

use clap::ValueEnum;
use conformance::case::{Body, Case, Need, Suite};
use conformance::mutants::{Mutant, Table};
use conformance::page::Page;
use conformance::suites;
use harness::pattern::matches;
use harness::schedule::Company;
use report::{Exit, Transport};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Cases, as suite/case; `*` stands for any text. All of them if absent.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a terminal.
    Text,
    /// For docs/CASES.md.
    Markdown,
}

/// A case with all that a page says of it.
struct Entry {
    suite: &'static Suite,
    case: &'static Case,
    page: &'static Page,
    /// The faults that the case is known to catch.
    mutants: Vec<Mutant>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let selected = match select(&arguments.ids) {
        Ok(selected) => selected,
        Err(message) => {
            eprintln!("iomatrix: {message}");
            return Ok(Exit::Usage);
        }
    };
    let entries = entries(&selected).map_err(anyhow::Error::msg)?;
    match arguments.output {
        Output::Text => print!("{}", text::render(&entries, terminal_width())),
        Output::Markdown => print!("{}", markdown::render(&entries)),
    }
    Ok(Exit::Green)
}

/// The cases of these ids, in catalogue order; without an id, all.
///
/// # Errors
/// For an id that no case has: a sentence with what may have been meant.
fn select(ids: &[String]) -> Result<Vec<(&'static Suite, &'static Case)>, String> {
    for id in ids {
        if !cases().any(|(suite, case)| matches(id, &id_of(suite, case))) {
            return Err(nearest::sentence(id));
        }
    }
    let is_selected = |id: &str| ids.is_empty() || ids.iter().any(|pattern| matches(pattern, id));
    Ok(cases().filter(|(suite, case)| is_selected(&id_of(suite, case))).collect())
}

/// Every case, in catalogue order.
fn cases() -> impl Iterator<Item = (&'static Suite, &'static Case)> {
    suites::ALL.iter().flat_map(|suite| suite.cases.iter().map(|case| (*suite, case)))
}

fn id_of(suite: &Suite, case: &Case) -> String {
    format!("{}/{}", suite.name, case.name)
}

fn entries(selected: &[(&'static Suite, &'static Case)]) -> Result<Vec<Entry>, String> {
    let table = Table::load()?;
    selected
        .iter()
        .map(|&(suite, case)| {
            let id = id_of(suite, case);
            let caught = table.mutants.iter().filter(|mutant| mutant.caught_by == id);
            let mutants = caught.cloned().collect();
            Ok(Entry { suite, case, page: Page::of(suite, case)?, mutants })
        })
        .collect()
}

impl Entry {
    fn id(&self) -> String {
        id_of(self.suite, self.case)
    }

    /// What a server and a host must offer for the case to be judged.
    fn needs(&self) -> String {
        let server = match self.case.body {
            Body::Wire(_) | Body::Datagrams(_) => "a server that listens",
            Body::Process(_) => "a server's process",
            Body::Lifecycle(_) => "a server that can be started and stopped",
        };
        let capability = self.case.capability.map(|name| format!("the server's capability {name}"));
        let kind = (self.case.transport != Transport::Tcp)
            .then(|| format!("a listener of kind {}", self.case.transport.kind()));
        let host = self.case.needs.iter().map(Need::to_string);
        let alone = match self.case.company {
            Company::Shared => None,
            Company::Exclusive => Some("no other cell beside it".to_owned()),
        };
        let needs: Vec<String> = once(server.to_owned())
            .chain(capability)
            .chain(kind)
            .chain(host)
            .chain(alone)
            .collect();
        needs.join("; ")
    }

    /// The command that judges the case on every row.
    fn command(&self) -> String {
        format!("cargo run -p iomatrix -- check --case {}", self.id())
    }
}

/// Columns for the text: those of the terminal, but no more than are easy to read.
fn terminal_width() -> usize {
    const EASY: u16 = 100;
    let terminal = console::Term::stdout();
    let columns = if terminal.is_term() { terminal.size().1 } else { EASY };
    usize::from(columns.min(EASY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        select(&patterns).unwrap().into_iter().map(|(suite, case)| id_of(suite, case)).collect()
    }

    #[test]
    fn cases_come_once_and_in_catalogue_order() {
        let some = ids(&["tcp-close/idle", "tcp-*/idle", "tcp-echo/one-byte"]);
        assert_eq!(some, ["tcp-echo/one-byte", "tcp-reset/idle", "tcp-close/idle"]);
        assert_eq!(ids(&[]).len(), cases().count());
    }

    #[test]
    fn every_case_is_explained_in_either_form() {
        let all = entries(&select(&[]).unwrap()).unwrap();
        let (text, page) = (text::render(&all, 100), markdown::render(&all));
        for (suite, case) in cases() {
            assert!(text.contains(&format!("{} ({})\n", id_of(suite, case), case.level)));
            assert!(page.contains(&format!("\n### {}\n", id_of(suite, case))));
        }
    }
}
