//! Rows, suites and cases, as the parts of a page. The page is the table of the README: the rows by
//! model, what each lacks, and the rows that differ in nothing but the I/O API.

use std::collections::BTreeMap;

use conformance::case::Case;
use conformance::profile::Profile;
use conformance::suites;
use harness::finding::Finding;
use harness::registry::{LinuxRuns, Registry, RowEntry};
use report::Model;
use report::pairs::{self, Pair, Traits};
use report::part::{
    Block, Definition, Definitions, Entry, Head, LinkTarget, Medium, Part, Prose, Span, Style,
    Table,
};

/// The systems of the columns, as the registry names them and as readers do.
const SYSTEMS: [(&str, &str); 3] = [("linux", "Linux"), ("macos", "macOS"), ("windows", "Windows")];

pub(super) fn parts(registry: &Registry, findings: &[Finding], medium: Medium) -> Vec<Part> {
    match medium {
        Medium::Terminal => terminal(registry),
        Medium::Page => page(registry, findings),
    }
}

/// The rows of this build, and the cases by suite.
fn terminal(registry: &Registry) -> Vec<Part> {
    let definition = |term: &str, text: String| Definition {
        term: term.into(),
        blocks: vec![Block::Paragraph(Span::Own(text).into())],
    };
    let row = |row: &RowEntry| {
        let RowEntry { name, model, flavor, workers, package, .. } = row;
        let driver = row.local_driver().unwrap_or("not here");
        let workers =
            if *workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
        definition(name, format!("{model:<10}  {driver:<8}  {flavor} on {workers}, {package}"))
    };
    let case = |case: &Case| {
        let only =
            if case.smallest_profile == Profile::Full { " (only in profile full)" } else { "" };
        definition(case.name, format!("{:<6}  {}{only}", case.level, case.requirement))
    };
    let rows = registry.built_rows().map(row).collect();
    let rows = Definitions { title: "rows".into(), entries: rows };
    let suites = suites::ALL.iter().map(|suite| Definitions {
        title: Span::Own(format!("{}: {}", suite.name, suite.about)).into(),
        entries: suite.cases.iter().map(case).collect(),
    });
    [rows].into_iter().chain(suites).map(|group| Part::Definitions(vec![group])).collect()
}

/// All rows, including those of features that are off.
fn page(registry: &Registry, findings: &[Finding]) -> Vec<Part> {
    let models = [Model::Readiness, Model::Completion, Model::Blocking];
    let mut parts: Vec<Part> =
        models.into_iter().map(|model| Part::Table(rows(registry, model))).collect();
    parts.extend([
        Part::lines([
            "In the column Linux, the number after a driver is the oldest of Debian's kernels that \
             has served the row. A number after \"not\" is the newest that has refused it. \
             Debian's 5.10 carries the io_uring of Linux 5.15.",
        ]),
        Part::lines([
            "In each of these controlled pairs, the two rows differ only in the I/O API:",
        ]),
        Part::Table(controlled_pairs(registry)),
        Part::lines([Prose::from_own_text(
            "Some rows lack a kind of listener or a capability. The cells that need it are \
             `unsupported` there:",
        )]),
        Part::list("", lack_points(registry)),
        Part::lines([findings_line(findings)]),
    ]);
    parts
}

fn rows(registry: &Registry, model: Model) -> Table {
    let mut heads = vec![Head::new(model.to_string())];
    heads.extend(["what it is", "flavor", "workers"].map(Head::new));
    heads.extend(SYSTEMS.map(|(_, name)| Head::new(name)));
    let rows = registry.rows.iter().filter(|row| row.model == model).map(|row| {
        let RowEntry { name, about, flavor, workers, .. } = row;
        let mut cells: Vec<Entry> =
            vec![code(name).into(), Prose::from_own_text(about).into(), code(flavor).into()];
        cells.push(workers.to_string().into());
        cells.extend(SYSTEMS.map(|(system, _)| {
            let driver = row.driver.get(system).map_or("-", String::as_str);
            let runs = row.linux.as_ref().filter(|_| system == "linux");
            let words = runs.map_or_else(|| driver.to_owned(), |runs| linux_words(driver, runs));
            Entry::from(Prose::from_own_text(&words))
        }));
        cells
    });
    Table::plain("", Style::Words, heads, rows.collect())
}

/// The driver, and the releases of Linux that have served and refused the row.
fn linux_words(driver: &str, LinuxRuns { served, refused }: &LinuxRuns) -> String {
    match refused {
        Some(refused) => format!("{driver}; {served}, not {refused}"),
        None => format!("{driver}; {served}"),
    }
}

/// Rows with the same package, flavor and system: one program with a completion and a readiness
/// driver.
fn controlled_pairs(registry: &Registry) -> Table {
    let pairs = pairs::find_pairs(&registry.rows, |row| Traits {
        package: row.package.as_str(),
        flavor: row.flavor.as_str(),
        model: row.model,
        systems: row.driver.keys().map(String::as_str).collect(),
    });
    let rows = pairs.into_iter().map(|Pair { completion, readiness }| {
        let runtime = Prose::from_own_text(pairs::backend_name(&completion.package));
        [runtime, code(&completion.name), code(&readiness.name)].map(Entry::from).to_vec()
    });
    let heads = ["runtime", "completion", "readiness"].map(Head::new).to_vec();
    Table::plain("", Style::Words, heads, rows.collect())
}

fn lack_points(registry: &Registry) -> Vec<Prose> {
    let mut by_reason: BTreeMap<(&str, &str), Vec<Prose>> = BTreeMap::new();
    for row in &registry.rows {
        for (what, reason) in &row.lacks {
            by_reason.entry((what, reason)).or_default().push(code(&row.name));
        }
    }
    let point = |((what, reason), rows): ((&str, &str), Vec<Prose>)| {
        let rows = Prose::join(rows, ", ");
        code(what)
            .append(Prose::from_own_text(": "))
            .append(rows)
            .append(Prose::from_own_text(&format!(". {reason}")))
    };
    by_reason.into_iter().map(point).collect()
}

/// How many findings there are, and where they are described.
fn findings_line(findings: &[Finding]) -> Prose {
    let file = "docs/UPSTREAM.md";
    let lead = format!(
        "{} faults of runtimes, other libraries and Linux were found on the way: ",
        findings.len()
    );
    let link = Span::Link(file.to_owned(), LinkTarget::File(file));
    let rest = " has a program that shows each, and a report.";
    Prose::from_own_text(&lead).append(link).append(Prose::from_own_text(rest))
}

fn code(name: &str) -> Prose {
    Span::Code(name.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use report::render::markdown;

    use super::*;

    const BEGIN: &str = "<!-- rows: written by ci/generate.sh -->\n";
    const END: &str = "<!-- end of rows -->";

    #[test]
    fn the_readme_has_the_rows_as_they_are() {
        let readme = include_str!("../../../README.md");
        let (_, rest) = readme.split_once(BEGIN).expect("a mark where the rows begin");
        let (rows, _) = rest.split_once(END).expect("a mark where the rows end");
        let (registry, findings) = (Registry::load().unwrap(), Finding::load().unwrap());
        let current = markdown(&page(&registry, &findings));
        assert!(rows.trim() == current.trim(), "README.md is stale: run ci/generate.sh rows");
    }
}
