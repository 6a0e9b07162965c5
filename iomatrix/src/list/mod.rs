//! `iomatrix list`: shows rows, suites and cases with their requirement sentences, or the findings
//! (`docs/UPSTREAM.md`).

mod findings;
mod parts;

use conformance::case::{Body, Case};
use conformance::suites;
use harness::finding::Finding;
use harness::registry::{Registry, RowEntry};
use harness::schedule::Sharing;
use report::output::Output;
use report::part::{Medium, Part};
use report::{Exit, Format, Pages};
use serde::Serialize;
use serde_json::json;

use self::findings::Findings;
use crate::error::Error;
use crate::output::{self, Outputs};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// List the faults of released software that were found, with a report of each, instead.
    #[arg(long)]
    findings: bool,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Catalogue::FORMATS))]
    #[arg(value_parser = output::parser(Catalogue::FORMATS))]
    outputs: Vec<Output>,
}

/// The rows and the findings. Suites and cases are constants (`suites::ALL`).
struct Catalogue {
    registry: Registry,
    findings: Vec<Finding>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let findings = Finding::load()?;
    let mut outputs = Outputs::open(&arguments.outputs)?;
    if arguments.findings {
        outputs.write_pages(&Findings(findings), &())?;
    } else {
        let registry = Registry::load()?;
        outputs.write_pages(&Catalogue { registry, findings }, &())?;
    }
    Ok(Exit::Green)
}

impl Pages for Catalogue {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    type Question = ();

    fn parts(&self, (): &(), medium: Medium) -> Vec<Part> {
        parts::parts(&self.registry, &self.findings, medium)
    }

    fn data(&self) -> impl Serialize {
        json(&self.registry)
    }
}

fn json(registry: &Registry) -> serde_json::Value {
    let rows: Vec<_> = registry.built_rows().map(row_json).collect();
    let suites: Vec<_> = suites::ALL
        .iter()
        .map(|suite| {
            let cases: Vec<_> = suite.cases.iter().map(case_json).collect();
            json!({ "suite": suite.name, "about": suite.about, "cases": cases })
        })
        .collect();
    json!({ "rows": rows, "suites": suites })
}

fn row_json(row: &RowEntry) -> serde_json::Value {
    json!({
        "row": row.name,
        "package": row.package,
        "model": row.model,
        "flavor": row.flavor,
        "workers": row.workers,
        "driver": row.local_driver(),
        "linux_served": row.linux.as_ref().map(|runs| &runs.served),
        "linux_refused": row.linux.as_ref().and_then(|runs| runs.refused.as_ref()),
        "lacks": row.lacks,
    })
}

fn case_json(case: &Case) -> serde_json::Value {
    let body = match case.body {
        Body::Wire(_) => "wire",
        Body::Process(_) => "process",
        Body::Datagrams(_) => "datagrams",
        Body::Lifecycle(_) => "lifecycle",
    };
    let needs: Vec<String> = case.needs.iter().map(|need| format!("{need:?}")).collect();
    json!({
        "case": case.name,
        "level": case.level,
        "requirement": case.requirement,
        "body": body,
        "needs": needs,
        "capability": case.capability,
        "transport": case.transport.kind(),
        "from_profile": case.smallest_profile.name(),
        "exclusive": case.sharing == Sharing::Exclusive,
    })
}
