//! The findings, as the parts of a page. The page is `docs/UPSTREAM.md`: a table, and for each
//! finding what it is, how to reproduce it, and a report that can be filed.

use harness::finding::Finding;
use report::part::{
    Block, Colour, Definition, Definitions, Entry, Head, LinkTarget, Medium, Part, Prose, Span,
    Style, Summary, Table,
};
use report::{Format, Pages};
use serde::Serialize;

/// Faults of released software.
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Pages for Findings {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    type Question = ();

    fn parts(&self, (): &(), medium: Medium) -> Vec<Part> {
        match medium {
            Medium::Terminal => self.0.iter().map(short).collect(),
            Medium::Page => page(&self.0),
        }
    }

    fn data(&self) -> impl Serialize {
        &self.0
    }
}

fn short(finding: &Finding) -> Part {
    let Finding { name, library, .. } = finding;
    let title = Span::Own(format!("{name} ({library})")).into();
    Part::Definitions(vec![Definitions { title, entries: definitions(finding) }])
}

fn page(findings: &[Finding]) -> Vec<Part> {
    let source = "Faults of released software that were found while this suite was written. Each \
                  has a program that shows it on the library alone and ends with 0 while it is \
                  there; `ci/upstream.sh` runs those of Linux and `ci/wine.sh` those of Windows, \
                  and each is red once a fault is gone or cannot be shown. This page is the output \
                  of `cargo run -p iomatrix -- list --findings --output markdown`; the texts are \
                  written in `backends/findings.toml`.";
    let mut parts = vec![
        Part::Title("Findings, for upstream".into()),
        Part::lines([Prose::from_own_text(source)]),
        Part::Table(table(findings)),
    ];
    parts.extend(findings.iter().flat_map(section));
    parts
}

fn table(findings: &[Finding]) -> Table {
    let row = |finding: &Finding| {
        let Finding { name, library, title, .. } = finding;
        let to = LinkTarget::Heading(name.clone());
        let cells = [Span::Link(name.clone(), to).into(), Prose::from_own_text(library)];
        let rest = [Prose::from_own_text(title), Prose::from_own_text(upstream(finding))];
        cells.into_iter().chain(rest).map(Entry::from).collect()
    };
    let heads = ["finding", "library", "what is wrong", "reported"].map(Head::new).to_vec();
    Table::plain("", Style::Words, heads, findings.iter().map(row).collect())
}

fn section(finding: &Finding) -> [Part; 4] {
    let summary =
        Summary { word: "Report of", colour: Colour::Faint, name: finding.name.as_str().into() };
    let report = finding.text.trim_end().lines().map(Into::into).collect();
    [
        Part::Section(finding.name.as_str().into()),
        Part::lines([Prose::from(Span::Strong(finding.title.clone()))]),
        Part::Definitions(vec![Definitions {
            entries: definitions(finding),
            ..Definitions::default()
        }]),
        Part::Details(summary, report),
    ]
}

fn definitions(finding: &Finding) -> Vec<Definition> {
    let Finding { library, requirement, here, systems, reproduction, .. } = finding;
    let definition = |term: &str, text: &str| Definition {
        term: term.into(),
        blocks: vec![Block::Paragraph(Prose::from_own_text(text))],
    };
    let command = Block::Unbroken(Span::Code(finding.command()).into());
    vec![
        definition("Library", library),
        definition("Requirement", requirement),
        definition("Reported", upstream(finding)),
        definition("Here", here),
        definition("Shown on", &systems.join(", ")),
        definition("Reproduction", &format!("`{reproduction}`")),
        Definition { term: "Run".into(), blocks: vec![command] },
    ]
}

fn upstream(finding: &Finding) -> &str {
    finding.upstream.as_deref().unwrap_or("not yet")
}
