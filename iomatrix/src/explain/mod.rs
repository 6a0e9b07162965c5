//! `iomatrix explain`: shows the pages of cases; all of them together are `docs/CASES.md`.
//! `conformance::page` has the texts, and this module finds them by id and lays them out.

mod parts;

use std::iter::once;

use conformance::case::{Body, Case, Need, Suite};
use conformance::mutants::{Mutant, MutantTable};
use conformance::page::CasePage;
use harness::schedule::Sharing;
use report::output::Output;
use report::part::{Medium, Part};
use report::{Exit, Format, Pages, Transport};
use serde::Serialize;

use crate::error::Error;
use crate::output::{self, Outputs};
use crate::selection::{self, id_of};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Cases, as suite/case; `*` stands for any text. All of them if absent.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Guide::FORMATS))]
    #[arg(value_parser = output::parser(Guide::FORMATS))]
    outputs: Vec<Output>,
}

struct Guide {
    explanations: Vec<Explanation>,
}

/// A case with everything that its page says.
struct Explanation {
    suite: &'static Suite,
    case: &'static Case,
    page: &'static CasePage,
    /// The faults that the case is known to catch.
    mutants: Vec<Mutant>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let explanations = explanations(&selection::cases(&arguments.ids)?)?;
    Outputs::open(&arguments.outputs)?.write_pages(&Guide { explanations }, &())?;
    Ok(Exit::Green)
}

impl Pages for Guide {
    /// There is no JSON, because `list` has the cases for programs.
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown];
    type Question = ();

    fn parts(&self, (): &(), medium: Medium) -> Vec<Part> {
        parts::parts(&self.explanations, medium)
    }

    fn data(&self) -> impl Serialize {}
}

fn explanations(selected: &[(&'static Suite, &'static Case)]) -> Result<Vec<Explanation>, Error> {
    let table = MutantTable::load()?;
    selected
        .iter()
        .map(|&(suite, case)| {
            let id = id_of(suite, case);
            let caught = table.mutants.iter().filter(|mutant| mutant.caught_by == id);
            let mutants = caught.cloned().collect();
            Ok(Explanation { suite, case, page: CasePage::find(suite, case)?, mutants })
        })
        .collect()
}

impl Explanation {
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
        let alone = match self.case.sharing {
            Sharing::Shared => None,
            Sharing::Exclusive => Some("no other cell beside it".to_owned()),
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
        // The same on every page, because docs/CASES.md has it.
        format!("cargo run -p iomatrix -- check --case {}", self.id())
    }
}

#[cfg(test)]
mod tests {
    use report::{View, Width};

    use super::*;

    #[test]
    fn every_case_is_explained_in_either_form() {
        let explanations = explanations(&selection::cases(&[]).unwrap()).unwrap();
        let all = Guide { explanations };
        let view = View::plain(Width::new(100));
        let [text, page] = [Format::Text, Format::Markdown]
            .map(|format| report::render(&all, &(), format, view).unwrap());
        for (suite, case) in selection::catalogue() {
            assert!(text.contains(&format!("{} ({})\n", id_of(suite, case), case.level)));
            assert!(page.contains(&format!("\n### {}\n", id_of(suite, case))));
        }
    }
}
