//! `iomatrix list`: rows, suites and cases with their requirement sentences.

mod markdown;

use std::fmt::Write as _;

use conformance::case::{Body, Case};
use conformance::profile::Profile;
use conformance::suites;
use harness::registry::{Registry, RowEntry};
use harness::schedule::Company;
use report::{Exit, Format};
use serde_json::json;

use crate::error::Error;
use crate::output::{self, Output, Outputs};

/// Text for a terminal, JSON for a program, and the rows alone in Markdown, for the README.
const FORMATS: &[Format] = &[Format::Text, Format::Markdown, Format::Json];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(FORMATS), value_parser = Output::parser(FORMATS))]
    outputs: Vec<Output>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let registry = Registry::load()?;
    Outputs::open(&arguments.outputs)?.write(|format, _| match format {
        Format::Text => Ok(text(&registry)),
        Format::Markdown => Ok(markdown::render(&registry)),
        Format::Json => output::json(&json(&registry)),
        Format::Jsonl | Format::Csv | Format::Junit | Format::Margins => {
            Err(Error::not_offered(format))
        }
    })?;
    Ok(Exit::Green)
}

fn text(registry: &Registry) -> String {
    let mut text = String::from("rows\n");
    for row in registry.built_rows() {
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "  {:<24} {:<10}  {:<10}  {} on {} workers, {}",
            row.name,
            row.model,
            row.driver_here().unwrap_or("not here"),
            row.flavor,
            row.workers,
            row.package
        );
    }
    for suite in suites::ALL {
        let _ = writeln!(text, "\n{}: {}", suite.name, suite.about);
        for case in suite.cases {
            let only = if case.from == Profile::Full { " (only in profile full)" } else { "" };
            let (name, level) = (case.name, case.level);
            let _ = writeln!(text, "  {name:<28} {level:<6} {}{only}", case.requirement);
        }
    }
    text
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
        "driver": row.driver_here(),
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
        "from_profile": case.from.name(),
        "exclusive": case.company == Company::Exclusive,
    })
}
