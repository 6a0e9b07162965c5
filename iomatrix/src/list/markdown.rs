//! The rows as the README has them: by model, with what each lacks and what was found, and the rows
//! that differ in nothing but the I/O API.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use harness::registry::{Finding, Registry, RowEntry};
use report::Model;
use report::pairs::{self, Pair, Traits};

/// The systems of the columns, as the registry and as readers name them.
const SYSTEMS: [(&str, &str); 3] = [("linux", "Linux"), ("macos", "macOS"), ("windows", "Windows")];

/// All rows, those of features that are off too. Writing to a `String`, as everything here does,
/// cannot fail.
pub(super) fn render(registry: &Registry) -> String {
    let mut page = String::new();
    for model in [Model::Readiness, Model::Completion, Model::Blocking] {
        let rows: Vec<&RowEntry> = registry.rows.iter().filter(|row| row.model == model).collect();
        if rows.is_empty() {
            continue;
        }
        let systems = SYSTEMS.map(|(_, name)| name).join(" | ");
        let _ = write!(
            page,
            "| {model} | what it is | flavor | workers | {systems} |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n"
        );
        for row in rows {
            let drivers = SYSTEMS.map(|(system, _)| driver(row, system)).join(" | ");
            let RowEntry { name, about, flavor, workers, .. } = row;
            let _ = writeln!(page, "| `{name}` | {about} | `{flavor}` | {workers} | {drivers} |");
        }
        page.push('\n');
    }
    page.push_str(&controlled_pairs(registry));
    page.push_str(&lacking(registry));
    page.push_str(&findings(registry));
    page.trim_end().to_owned() + "\n"
}

fn driver<'a>(row: &'a RowEntry, system: &str) -> &'a str {
    row.driver.get(system).map_or("-", String::as_str)
}

/// Rows of one package and flavor that run on one system: the same program with another driver.
fn controlled_pairs(registry: &Registry) -> String {
    let mut text = String::from(
        "Controlled pairs, in which nothing differs but the I/O API:\n\n\
         | runtime | completion | readiness |\n| --- | --- | --- |\n",
    );
    let pairs = pairs::controlled(&registry.rows, |row| Traits {
        package: row.package.as_str(),
        flavor: row.flavor.as_str(),
        model: row.model,
        systems: row.driver.keys().map(String::as_str).collect(),
    });
    for Pair { completion, readiness } in pairs {
        let runtime = pairs::backend(&completion.package);
        let _ = writeln!(text, "| {runtime} | `{}` | `{}` |", completion.name, readiness.name);
    }
    text + "\n"
}

fn lacking(registry: &Registry) -> String {
    let mut by_reason: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for row in &registry.rows {
        for (what, reason) in &row.lacks {
            by_reason.entry((what, reason)).or_default().push(format!("`{}`", row.name));
        }
    }
    let mut text = String::from("What rows do not offer; their cells are `unsupported`:\n\n");
    for ((what, reason), rows) in by_reason {
        let _ = writeln!(text, "- `{what}`: {}. {reason}", rows.join(", "));
    }
    text + "\n"
}

fn findings(registry: &Registry) -> String {
    let mut text = String::from("What was found out about runtimes on the way:\n\n");
    for Finding { package, text: finding } in &registry.findings {
        let _ = writeln!(text, "- {}: {finding}", pairs::backend(package));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- rows: written by ci/generate.sh -->\n";
    const END: &str = "<!-- end of rows -->";

    #[test]
    fn the_readme_has_the_rows_as_they_are() {
        let readme = include_str!("../../../README.md");
        let (_, rest) = readme.split_once(BEGIN).expect("a mark where the rows begin");
        let (rows, _) = rest.split_once(END).expect("a mark where the rows end");
        let registry = Registry::load().unwrap();
        let current = render(&registry);
        assert!(rows.trim() == current.trim(), "README.md is stale: run ci/generate.sh rows");
    }
}
