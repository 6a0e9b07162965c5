//! Golden pages: an example of every document in every format, with every verdict and every kind of
//! absence, and an example with hostile text in every field. Each page is a file in `snapshots`;
//! `INSTA_UPDATE=always cargo test -p report --all-features` rewrites these files.

pub(crate) mod examples;
mod hostile;
mod numbers;
mod rules;

use std::collections::BTreeSet;
use std::path::Path;

use crate::document::{Document, Kind};
use crate::format::Format;
use crate::outside;
use crate::render::{markdown, render};
use crate::run::{Gate, Run, parts};
use crate::view::{View, Width};
use examples::{
    bench, closed_load, comparison, green_run, knee, load, run, strict_gate, sweep, trace,
};
use hostile::make_hostile;

/// The formats of a run that mark what is red.
const GATED_FORMATS: [Format; 3] = [Format::Text, Format::Markdown, Format::Junit];
/// The widths of the golden pages.
const WIDTHS: [u16; 2] = [80, 120];

struct Page {
    /// Name of its snapshot.
    name: String,
    kind: Kind,
    format: Format,
    text: String,
}

/// Who reads a format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// The example for people has everything that a page can show.
    People,
    /// The example for programs is small, because a page has every quantity of every round.
    Programs,
}

fn audience(format: Format) -> Audience {
    match format {
        Format::Text | Format::Markdown | Format::Margins => Audience::People,
        Format::Json | Format::Jsonl | Format::Csv | Format::Junit | Format::Hdr => {
            Audience::Programs
        }
    }
}

fn pages<D: Document>(name: &str, document: &D, readers: &[Audience], widths: &[u16]) -> Vec<Page> {
    let formats = D::FORMATS.iter().copied();
    let formats: Vec<Format> = formats.filter(|f| readers.contains(&audience(*f))).collect();
    pages_for(name, document, &D::Question::default(), &formats, widths)
}

/// The pages of a document that answer this question.
fn pages_for<D: Document>(
    name: &str,
    document: &D,
    question: &D::Question,
    formats: &[Format],
    widths: &[u16],
) -> Vec<Page> {
    let mut pages = Vec::new();
    for format in formats.iter().copied() {
        let has_width = format == Format::Text;
        for width in if has_width { widths } else { &widths[..1] } {
            let view = View::plain(Width::new(*width));
            let text = render(document, question, format, view).unwrap();
            let width = if has_width { format!("-{width}") } else { String::new() };
            let name = format!("{name}-{format}{width}");
            pages.push(Page { name, kind: D::KIND, format, text });
        }
    }
    pages
}

/// The golden pages of a document: `large`, which has everything to show, in the formats for
/// people; `small`, which has few numbers, in the formats for programs; and `small` with hostile
/// text in all formats.
fn golden_pages<D: Document>(large: &D, small: &D) -> Vec<Page> {
    let name = D::NAME;
    let mut kept = pages(name, large, &[Audience::People], &WIDTHS);
    kept.extend(pages(name, small, &[Audience::Programs], &WIDTHS));
    let hostile = make_hostile(small);
    kept.extend(pages(
        &format!("hostile-{name}"),
        &hostile,
        &[Audience::People, Audience::Programs],
        &WIDTHS[..1],
    ));
    kept
}

fn pages_of_kind(kind: Kind) -> Vec<Page> {
    match kind {
        Kind::Run => {
            let mut kept = golden_pages(&run(), &run());
            kept.extend(pages_for(
                "run-strict",
                &run(),
                &strict_gate(),
                &GATED_FORMATS,
                &WIDTHS[..1],
            ));
            kept.push(overview("run-overview", &run(), &green_run()));
            kept.push(overview("hostile-run-overview", &make_hostile(&run()), &green_run()));
            kept
        }
        Kind::Load => {
            let mut kept = golden_pages(&load(), &load());
            kept.extend(pages("load-closed", &closed_load(), &[Audience::People], &WIDTHS));
            kept
        }
        Kind::Bench => golden_pages(&bench(6), &bench(1)),
        Kind::Sweep => {
            let mut kept = golden_pages(&sweep(6), &sweep(1));
            kept.extend(pages("sweep-rate", &knee(), &[Audience::People], &WIDTHS));
            kept
        }
        Kind::Trace => golden_pages(&trace(), &trace()),
        Kind::Comparison => golden_pages(&comparison(), &comparison()),
    }
}

/// The page for the runs of two hosts, where the run of a third host was expected too.
fn overview(name: &str, one: &Run, other: &Run) -> Page {
    let expected = [one.label.clone(), outside!("{} of another", one.label)];
    let parts = parts::overview(&[one.clone(), other.clone()], &Gate::default(), &expected);
    let (kind, format) = (Kind::Run, Format::Markdown);
    Page { name: name.to_owned(), kind, format, text: markdown(&parts) }
}

#[track_caller]
fn expect_unchanged(kind: Kind) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for page in pages_of_kind(kind) {
            insta::assert_snapshot!(page.name.as_str(), spell_unseen(&page.text));
        }
    });
}

/// Spells out characters that no reviewer would see. CSV gets the line ends of the snapshot file.
fn spell_unseen(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    for c in page.replace("\r\n", "\n").chars() {
        match c {
            '\n' => text.push(c),
            c if rules::is_unseen(c) => text.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

#[test]
fn the_pages_of_a_run_are_as_they_were() {
    expect_unchanged(Kind::Run);
}

#[test]
fn the_pages_of_a_load_are_as_they_were() {
    expect_unchanged(Kind::Load);
}

#[test]
fn the_pages_of_a_bench_are_as_they_were() {
    expect_unchanged(Kind::Bench);
}

#[test]
fn the_pages_of_a_sweep_are_as_they_were() {
    expect_unchanged(Kind::Sweep);
}

#[test]
fn the_pages_of_a_trace_are_as_they_were() {
    expect_unchanged(Kind::Trace);
}

#[test]
fn the_pages_of_a_comparison_are_as_they_were() {
    expect_unchanged(Kind::Comparison);
}

/// A snapshot that no test reads any more would stay forever, and a snapshot that nobody has
/// accepted yet is no golden page.
#[test]
fn every_snapshot_is_that_of_a_page() {
    let pages = Kind::ALL.into_iter().flat_map(pages_of_kind);
    let expected: BTreeSet<String> = pages.map(|page| format!("{}.snap", page.name)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden/snapshots");
    let files = std::fs::read_dir(&folder).unwrap();
    let found: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let left_over: Vec<_> = found.difference(&expected).collect();
    assert!(left_over.is_empty(), "snapshots of no page: {left_over:?}");
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty(), "pages without a snapshot: {missing:?}");
}
