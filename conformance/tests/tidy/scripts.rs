//! Workflows call only scripts, and scripts say what they do.

use crate::repository::{Repository, Violation};

/// The scripts that consist of steps, which `ci/steps.sh` runs.
const RUNS: [&str; 2] = [".ci/run", "ci/nightly"];

/// Every `run:` of a workflow is one line that starts a script of the repository.
pub(crate) fn workflows(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for workflow in repository.files_with_suffix(".yml").filter(|path| path.contains("/workflows/"))
    {
        for (index, line) in repository.text(workflow).lines().enumerate() {
            let trimmed = line.trim_start().trim_start_matches("- ");
            let Some(command) = trimmed.strip_prefix("run: ") else {
                continue;
            };
            let mut words = command.split_whitespace();
            let script = words.next().unwrap_or_default();
            let run = RUNS.into_iter().find(|run| script == *run);
            let named = script.starts_with("ci/") || run.is_some();
            if !named || !repository.files.iter().any(|file| file == script) {
                let message = format!("`{command}` starts no script of ci/");
                found.push(Violation::new(workflow, index + 1, message));
            }
            let prefix = words.next().unwrap_or_default();
            let steps = run.map(|run| steps(&repository.text(run)));
            if steps.is_some_and(|steps| !steps.iter().any(|step| step.starts_with(prefix))) {
                let message = format!("{script} has no step {prefix}");
                found.push(Violation::new(workflow, index + 1, message));
            }
        }
    }
    found
}

/// A script opens with its shebang, what it does, its usage and its needs, and sets
/// `-euo pipefail`.
pub(crate) fn headers(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in scripts(repository) {
        let text = repository.text(path);
        let head: Vec<&str> =
            text.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
        for part in ["# Usage:", "# Needs:"] {
            if !head.iter().any(|line| line.starts_with(part)) {
                found.push(Violation::new(path, 1, format!("the opening comment lacks `{part}`")));
            }
        }
        if !text.starts_with("#!/usr/bin/env bash\n# ") || !text.contains("\nset -euo pipefail\n") {
            let message = "should open with bash, a sentence, and `set -euo pipefail`";
            found.push(Violation::new(path, 1, message));
        }
    }
    found
}

/// Scripts that scripts name exist, and each step has a unique name.
pub(crate) fn names(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in scripts(repository) {
        for (index, line) in repository.text(path).lines().enumerate() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c)));
            let named = words.map(|word| word.trim_end_matches('.')).filter(|word| {
                word.starts_with("ci/") && (word.ends_with(".sh") || word.ends_with(".py"))
            });
            for name in named.filter(|name| !repository.has(name)) {
                found.push(Violation::new(path, index + 1, format!("no {name} here")));
            }
        }
    }
    for run in RUNS {
        let steps = steps(&repository.text(run));
        for (index, step) in steps.iter().enumerate() {
            if steps[..index].contains(step) {
                found.push(Violation::new(run, 0, format!("two steps are called {step}")));
            }
        }
    }
    found
}

/// CONTRIBUTING.md names every script that a step runs.
pub(crate) fn scripts_in_contributing(repository: &Repository) -> Vec<Violation> {
    const PAGE: &str = "CONTRIBUTING.md";
    let page = repository.text(PAGE);
    let mut found = Vec::new();
    for run in RUNS {
        for (step, command) in steps_with_commands(&repository.text(run)) {
            let script = command.split_whitespace().find(|word| word.starts_with("ci/"));
            if let Some(script) = script.filter(|script| !page.contains(&format!("`{script}"))) {
                found.push(Violation::new(PAGE, 0, format!("lacks {script}, the step {step}")));
            }
        }
    }
    found
}

fn scripts(repository: &Repository) -> impl Iterator<Item = &str> {
    let runs = RUNS.into_iter().flat_map(|run| repository.files_with_suffix(run));
    repository.files_with_suffix(".sh").chain(runs)
}

/// The names of the steps in `run`.
fn steps(run: &str) -> Vec<String> {
    steps_with_commands(run).into_iter().map(|(name, _)| name).collect()
}

/// The names of the steps in `run`, each with the first line of its command.
fn steps_with_commands(run: &str) -> Vec<(String, String)> {
    let step = |line: &str| {
        let rest = line.strip_prefix("step ").or_else(|| line.strip_prefix("step_beside "))?;
        let (name, command) = rest.split_once(char::is_whitespace)?;
        Some((name.to_owned(), command.trim_start().to_owned()))
    };
    run.lines().filter_map(step).collect()
}
