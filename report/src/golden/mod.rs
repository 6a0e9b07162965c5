//! Golden pages: an example of every document in every format, with every verdict and every kind of
//! absence, and the same with hostile text in every field. Each page is a file below `snapshots`;
//! `INSTA_UPDATE=always cargo test -p report --all-features` writes them anew.

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
use hostile::snapshot;

/// The formats of a run that say what is red.
const GATED: [Format; 3] = [Format::Text, Format::Markdown, Format::Junit];
/// The widths of the pages that are kept.
const WIDTHS: [u16; 2] = [80, 120];

/// A page of an example.
struct Page {
    /// Name of its snapshot.
    name: String,
    kind: Kind,
    format: Format,
    text: String,
}

/// What a format is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// People: an example with all that a page can show.
    People,
    /// Programs: every quantity of every round is there, so that an example has few.
    Programs,
}

fn made_for(format: Format) -> For {
    match format {
        Format::Text | Format::Markdown | Format::Margins => For::People,
        Format::Json | Format::Jsonl | Format::Csv | Format::Junit | Format::Hdr => For::Programs,
    }
}

fn pages<D: Document>(name: &str, document: &D, readers: &[For], widths: &[u16]) -> Vec<Page> {
    let formats = D::FORMATS.iter().copied();
    let formats: Vec<Format> = formats.filter(|f| readers.contains(&made_for(*f))).collect();
    answers(name, document, &D::Question::default(), &formats, widths)
}

/// The pages of a document for a reader who asks more than it says by itself.
fn answers<D: Document>(
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
            let view = View::plain(Width::of(*width));
            let text = render(document, question, format, view).unwrap();
            let width = if has_width { format!("-{width}") } else { String::new() };
            let name = format!("{name}-{format}{width}");
            pages.push(Page { name, kind: D::KIND, format, text });
        }
    }
    pages
}

/// An example in all formats, where `large` has all that there is to show and `small` has few
/// numbers; and `small` with hostile text.
fn kept<D: Document>(large: &D, small: &D) -> Vec<Page> {
    let name = D::NAME;
    let mut kept = pages(name, large, &[For::People], &WIDTHS);
    kept.extend(pages(name, small, &[For::Programs], &WIDTHS));
    let hostile = snapshot(small);
    kept.extend(pages(
        &format!("hostile-{name}"),
        &hostile,
        &[For::People, For::Programs],
        &WIDTHS[..1],
    ));
    kept
}

fn pages_of(kind: Kind) -> Vec<Page> {
    match kind {
        Kind::Run => {
            let mut kept = kept(&run(), &run());
            kept.extend(answers("run-strict", &run(), &strict_gate(), &GATED, &WIDTHS[..1]));
            kept.push(overview("run-overview", &run(), &green_run()));
            kept.push(overview("hostile-run-overview", &snapshot(&run()), &green_run()));
            kept
        }
        Kind::Load => {
            let mut kept = kept(&load(), &load());
            kept.extend(pages("load-closed", &closed_load(), &[For::People], &WIDTHS));
            kept
        }
        Kind::Bench => kept(&bench(6), &bench(1)),
        Kind::Sweep => {
            let mut kept = kept(&sweep(6), &sweep(1));
            kept.extend(pages("sweep-rate", &knee(), &[For::People], &WIDTHS));
            kept
        }
        Kind::Trace => kept(&trace(), &trace()),
        Kind::Comparison => kept(&comparison(), &comparison()),
    }
}

/// The page of runs of two hosts, where one of a third was expected.
fn overview(name: &str, one: &Run, other: &Run) -> Page {
    let expected = [one.label.clone(), outside!("{} of another", one.label)];
    let parts = parts::overview(&[one.clone(), other.clone()], &Gate::default(), &expected);
    let (kind, format) = (Kind::Run, Format::Markdown);
    Page { name: name.to_owned(), kind, format, text: markdown(&parts) }
}

#[track_caller]
fn expect_kept(kind: Kind) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for page in pages_of(kind) {
            insta::assert_snapshot!(page.name.as_str(), readable(&page.text));
        }
    });
}

/// What no reviewer would see, spelled out; the ends of lines in CSV are those of the file.
fn readable(page: &str) -> String {
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
    expect_kept(Kind::Run);
}

#[test]
fn the_pages_of_a_load_are_as_they_were() {
    expect_kept(Kind::Load);
}

#[test]
fn the_pages_of_a_bench_are_as_they_were() {
    expect_kept(Kind::Bench);
}

#[test]
fn the_pages_of_a_sweep_are_as_they_were() {
    expect_kept(Kind::Sweep);
}

#[test]
fn the_pages_of_a_trace_are_as_they_were() {
    expect_kept(Kind::Trace);
}

#[test]
fn the_pages_of_a_comparison_are_as_they_were() {
    expect_kept(Kind::Comparison);
}

/// One that no test reads any more would be kept for ever, and one that was not accepted yet is no
/// golden page.
#[test]
fn every_snapshot_is_that_of_a_page() {
    let pages = Kind::ALL.into_iter().flat_map(pages_of);
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
