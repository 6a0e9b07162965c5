//! The pages of cases, as the parts of a page. The page of all cases is `docs/CASES.md`: by suite,
//! with a table of contents and an index of bugs.

use std::collections::BTreeMap;

use conformance::clock::PROGRESS_LIMIT;
use conformance::fix::Fix;
use conformance::page::Bug;
use conformance::profile::Profile;
use report::part::{
    Block, Definition, Definitions, Entry, Head, LinkTarget, Medium, Part, Prose, Span, Style,
    Table,
};

use super::Explanation;

pub(super) fn parts(entries: &[Explanation], medium: Medium) -> Vec<Part> {
    match medium {
        Medium::Terminal => {
            entries.iter().map(|entry| Part::Definitions(vec![short(entry)])).collect()
        }
        Medium::Page => page(entries),
    }
}

/// A case for a reader who has seen it fail.
fn short(entry: &Explanation) -> Definitions {
    let (case, page) = (entry.case, entry.page);
    let mut entries = vec![
        paragraph("requires", case.requirement),
        paragraph("why", &page.why),
        paragraph("sent", &page.sent),
        paragraph("expected", &page.expected),
    ];
    entries.extend(page.differs.as_deref().map(|differs| paragraph("models", differs)));
    entries.extend(points("bugs", page.bugs.iter().map(bug).collect()));
    entries.push(paragraph("needs", &entry.needs()));
    entries.extend(page.sizes(case).map(|sizes| paragraph("sizes", &sizes)));
    let mutants = entry.mutants.iter().map(|mutant| {
        Prose::from_own_text(&format!("must catch {} ({})", mutant.fault, mutant.failure))
    });
    entries.extend(points("mutants", mutants.collect()));
    entries.extend(points("fixes", fixes(entry)));
    let command = Block::Unbroken(Span::Own(entry.command()).into());
    entries.push(Definition { term: "run".into(), blocks: vec![command] });
    let title = Span::Own(format!("{} ({})", entry.id(), case.level)).into();
    Definitions { title, entries }
}

/// What to change if the case fails for a well-known cause.
fn fixes(entry: &Explanation) -> Vec<Prose> {
    let kinds: Vec<&str> = entry.mutants.iter().map(|mutant| mutant.failure.as_str()).collect();
    Fix::of_case(&entry.id(), &kinds).map(|fix| fix.words(None).into()).collect()
}

fn page(entries: &[Explanation]) -> Vec<Part> {
    let suites: Vec<&[Explanation]> =
        entries.chunk_by(|a, b| a.suite.name == b.suite.name).collect();
    let contents = suites.iter().map(|suite| {
        let name = suite[0].suite.name;
        let cases = suite.iter().map(|entry| link(entry.case.name, &entry.id()));
        link(name, name).append(Prose::from_own_text(": ")).append(Prose::join(cases, ", "))
    });
    let mut parts = head(entries);
    parts.push(Part::list("", contents));
    for suite in suites {
        parts.push(Part::Section(suite[0].suite.name.into()));
        parts.push(Part::lines([Prose::from_own_text(suite[0].suite.about)]));
        parts.extend(suite.iter().flat_map(section));
    }
    parts.extend(index(entries));
    parts
}

fn head(entries: &[Explanation]) -> Vec<Part> {
    let example = entries.first().map(Explanation::id).unwrap_or_default();
    let source = format!(
        "What each case sends and expects, why, and which public bugs it would have caught. This \
         page is the output of `cargo run -p iomatrix -- explain --output markdown`; \
         `cargo run -p iomatrix -- explain {example}` shows a single case. The texts are written \
         in `conformance/pages/`; requirements and sizes come from the suites' tables, mutants \
         from `proof/mutant/mutants.toml`."
    );
    let limits = format!(
        "The line *Sizes* of a case gives, for each profile, the one number in its texts that \
         depends on the profile, and says what that number counts or measures. The texts have the \
         number of profile `default`, or of `full` for a case that only `full` runs. Unless a case \
         says otherwise, the server must make progress every {} s (64 bytes, a whole message or a \
         connection). A case ends after {} s, in `full` after {} s. Limits of time are scaled by \
         the host factor (",
        PROGRESS_LIMIT.as_secs(),
        Profile::Default.cell_limit().as_secs(),
        Profile::Full.cell_limit().as_secs()
    );
    let methodology = Span::Link("METHODOLOGY.md".to_owned(), LinkTarget::File("METHODOLOGY.md"));
    let verdicts = "). A MUST that is not met is red, a SHOULD is a miss, INFO only records; wrong \
                    bytes and a server that ends are red at any level. An INFO case catches a \
                    mutant if it records something else (`observation`). `repo#n` is a public \
                    issue or pull request.";
    let limits =
        Prose::from_own_text(&limits).append(methodology).append(Prose::from_own_text(verdicts));
    vec![Part::Title("Cases".into()), Part::lines([Prose::from_own_text(&source), limits])]
}

fn section(entry: &Explanation) -> [Part; 3] {
    let (case, page) = (entry.case, entry.page);
    let requirement = Prose::from(Span::Strong(case.level.to_string()))
        .append(Prose::from_own_text(&format!(" {}", case.requirement)));
    let mut entries = vec![
        paragraph("Why", &page.why),
        paragraph("Sent", &page.sent),
        paragraph("Expected", &page.expected),
    ];
    let differs = page.differs.as_deref();
    entries.extend(differs.map(|differs| paragraph("Readiness and completion", differs)));
    entries.extend(points("Bugs it would have caught", page.bugs.iter().map(bug).collect()));
    entries.push(paragraph("Needs", &entry.needs()));
    entries.extend(page.sizes(case).map(|sizes| paragraph("Sizes", &sizes)));
    let mutants =
        entry.mutants.iter().map(|mutant| format!("`{}` ({})", mutant.fault, mutant.failure));
    let mutants = mutants.collect::<Vec<_>>().join(", ");
    let title = "Mutants that this case must catch";
    entries.extend((!mutants.is_empty()).then(|| paragraph(title, &mutants)));
    entries.push(paragraph("Run", &format!("`{}`", entry.command())));
    [
        Part::Subsection(entry.id().into()),
        Part::lines([requirement]),
        Part::Definitions(vec![Definitions { entries, ..Definitions::default() }]),
    ]
}

fn paragraph(term: &str, text: &str) -> Definition {
    Definition { term: term.into(), blocks: vec![Block::Paragraph(Prose::from_own_text(text))] }
}

/// `None` if there are no points.
fn points(term: &str, points: Vec<Prose>) -> Option<Definition> {
    let is_empty = points.is_empty();
    (!is_empty).then(|| Definition { term: term.into(), blocks: vec![Block::Points(points)] })
}

fn bug(Bug { citation, fault }: &Bug) -> Prose {
    Prose::from_own_text(&format!("{citation}: {fault}"))
}

/// The index of bugs, each with the cases that cite it.
fn index(entries: &[Explanation]) -> Vec<Part> {
    let mut cited: BTreeMap<&str, Vec<Prose>> = BTreeMap::new();
    for entry in entries {
        for bug in &entry.page.bugs {
            cited.entry(&bug.citation).or_default().push(link(&entry.id(), &entry.id()));
        }
    }
    if cited.is_empty() {
        return Vec::new();
    }
    let row = |(citation, cases)| {
        [Prose::from_own_text(citation), Prose::join(cases, ", ")].map(Entry::from).to_vec()
    };
    let heads = ["bug", "cases"].map(Head::new).to_vec();
    let table = Table::plain("", Style::Words, heads, cited.into_iter().map(row).collect());
    vec![Part::Section("Index of bugs".into()), Part::Table(table)]
}

/// A link to a heading of this page.
fn link(text: &str, heading: &str) -> Prose {
    Span::Link(text.to_owned(), LinkTarget::Heading(heading.to_owned())).into()
}
