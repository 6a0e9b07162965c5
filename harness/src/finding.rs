//! `backends/findings.toml`: faults of released software, each with a program that reproduces it
//! and a report that can be filed.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The file at build time, so that a program that runs elsewhere has it.
const TEXT: &str = include_str!("../../backends/findings.toml");

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// A few words joined by hyphens.
    pub name: String,
    /// Name and version of the software that has the fault.
    pub library: String,
    /// Systems on which the reproduction shows the fault, as `std::env::consts::OS` names them.
    pub systems: Vec<String>,
    /// What must hold instead, in one sentence.
    pub requirement: String,
    /// What this repository does about it, in Markdown.
    pub here: String,
    /// Path of a program that exits with status 0 while the fault exists.
    pub reproduction: String,
    /// Where it is reported, `repo#n`; `None` if nowhere yet.
    pub upstream: Option<String>,
    /// What rows lack because of it.
    pub lacks: Option<String>,
    /// Title of the report.
    pub title: String,
    /// The report, in Markdown.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Findings {
    #[serde(rename = "finding")]
    findings: Vec<Finding>,
}

impl Finding {
    /// All findings of the repository.
    ///
    /// # Errors
    /// [`Error::Findings`], with the line that is wrong.
    pub fn load() -> Result<Vec<Self>, Error> {
        let Findings { findings } = toml::from_str(TEXT).map_err(Error::Findings)?;
        Ok(findings)
    }

    /// The command that runs the reproduction. The reproduction is an example of a backend, or a
    /// program in the workspace `proof/upstream`.
    #[must_use]
    pub fn command(&self) -> String {
        let file = self.reproduction.rsplit('/').next().unwrap_or_default();
        let name = file.trim_end_matches(".rs");
        let folder = self.reproduction.strip_prefix("backends/").and_then(|it| it.split_once('/'));
        match folder {
            Some((backend, _)) => format!("cargo run -p backend-{backend} --example {name}"),
            None => format!("cargo run --manifest-path proof/upstream/Cargo.toml --bin {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_has_some_and_a_command_for_each() {
        let findings = Finding::load().unwrap();
        let command = |name: &str| findings.iter().find(|it| it.name == name).unwrap().command();
        let example = "cargo run -p backend-compio --example cancel_token";
        assert_eq!(command("compio-cancel-token"), example);
        let program = "cargo run --manifest-path proof/upstream/Cargo.toml --bin monoio_yield";
        assert_eq!(command("monoio-yield"), program);
    }
}
