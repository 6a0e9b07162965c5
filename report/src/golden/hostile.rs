//! Hostile text, and documents with hostile text in every text field. In a document that was read
//! from a file, each such field may come from a server, a command line or an environment.

use serde_json::Value;

use super::rules::{self, MARKS};
use super::{Audience, GATED_FORMATS, Page, overview, pages, pages_for};
use crate::bench::metric::Metric;
use crate::document::{Document, Kind};
use crate::format::Format;
use crate::golden::examples::{bench, comparison, load, run, sweep, trace};
use crate::outside::Outside;
use crate::part::{Block, Definition, Definitions, Part, Prose};
use crate::render::{markdown, render, text};
use crate::run::Gate;
use crate::view::{Ink, View, Width};

/// Texts that a terminal or a CI runner obeys, that hide something, or that break out of their
/// place.
const PIECES: [&str; 20] = [
    "\u{1b}[2J\u{1b}[41m",
    "|pipe|",
    "\u{9b}31m",
    "`evilcode` `````",
    "</details><script>evil()</script>",
    "**evilbold**",
    "[evillink](/evil) http://",
    "@eviluser",
    "#31337",
    "\u{202e}reversed\u{202c} \u{2066}isolated\u{2069}",
    "\u{200b}\u{feff}\u{2028}",
    "\n::error::evil",
    "##[error]evil",
    "a\r\nb\tc",
    "\0\u{7f}\u{fffe}\u{ffff}",
    "\n# evilhead\n\n- evilitem\n",
    "\\",
    "&lt;&#27;",
    "]]>",
    "\"'",
];
/// What has a meaning at the start of a field or a line.
const STARTS: [&str; 12] =
    ["", "=1+1", "+1", "-1 - ", "@sum", "\t=1", "::error::", "##[", "# ", "- ", "1. ", "\n\n    "];
/// The length of a text that every page has to shorten.
const LONG: usize = 10_000;

/// The document with one of [`PIECES`] before or behind each text, so that every piece occurs
/// somewhere.
pub(super) fn make_hostile<D: Document>(document: &D) -> D {
    with_texts(document, |index, text| {
        let piece = PIECES[index % PIECES.len()];
        match (index / PIECES.len()) % 2 {
            0 => format!("{text} {piece}"),
            _ => format!("{piece} {text}"),
        }
    })
}

/// The document with each text changed. Equal texts stay equal, so that a name still names the same
/// thing.
fn with_texts<D: Document>(document: &D, change: impl Fn(usize, &str) -> String) -> D {
    with_changed_fields(document, &fields(document), change)
}

fn with_changed_fields<D: Document>(
    document: &D,
    fields: &[String],
    change: impl Fn(usize, &str) -> String,
) -> D {
    let mut value = serde_json::to_value(document).unwrap();
    let mut known: Vec<String> = Vec::new();
    for path in fields {
        let field = value.pointer_mut(path).unwrap();
        let text = field.as_str().unwrap().to_owned();
        let index = known.iter().position(|known| *known == text).unwrap_or_else(|| {
            known.push(text.clone());
            known.len() - 1
        });
        *field = change(index, &text).into();
    }
    serde_json::from_value(value).unwrap()
}

/// The fields with free text. A field with a closed set of words accepts no other text.
fn fields<D: Document>(document: &D) -> Vec<String> {
    let plain = serde_json::to_value(document).unwrap();
    let takes_any = |path: &String| {
        let mut other = plain.clone();
        *other.pointer_mut(path).unwrap() = "any".into();
        serde_json::from_value::<D>(other).is_ok()
    };
    texts(&plain, "").into_iter().filter(takes_any).collect()
}

/// The places of all texts in a document, as JSON pointers.
fn texts(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::String(_) => vec![path.to_owned()],
        Value::Array(values) => {
            let inner = |(index, value)| texts(value, &format!("{path}/{index}"));
            values.iter().enumerate().flat_map(inner).collect()
        }
        Value::Object(map) => {
            map.iter().flat_map(|(name, value)| texts(value, &format!("{path}/{name}"))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Every hostile piece and mark, in one text.
fn all_hostile_text() -> String {
    [PIECES.concat(), MARKS.map(|mark| mark.text).join(" ")].concat()
}

/// The rules that the pages of a document break, with hostile text in every field.
fn faults<D: Document + PartialEq>(document: &D) -> Vec<(Kind, Format, &'static str, String)> {
    let all = all_hostile_text();
    let mut found = Vec::new();
    let mut judge = |hostile: &D| {
        for page in pages("", hostile, &[Audience::People, Audience::Programs], &[60, 80, 200]) {
            let mut faults = rules::find_faults(&page);
            if page.format == Format::Json && rules::reads_back(&page, hostile).is_err() {
                faults.push(("reads-back", "it is another document".to_owned()));
            }
            let Page { kind, format, .. } = page;
            found.extend(faults.into_iter().map(|(rule, what)| (kind, format, rule, what)));
        }
    };
    let fields = fields(document);
    for start in STARTS {
        judge(&with_changed_fields(document, &fields, |_, text| format!("{start}{text}{all}")));
    }
    judge(&with_changed_fields(document, &fields, |_, text| format!("{text}{}", "x".repeat(LONG))));
    let unseen = rules::unseen_text();
    judge(&with_changed_fields(document, &fields, |_, text| format!("{text}{unseen}")));
    found
}

#[track_caller]
fn expect_none<D: Document + PartialEq>(document: &D) {
    let mut shown: Vec<String> = Vec::new();
    for (kind, format, rule, what) in faults(document) {
        let name = format!("{kind} {format} {rule}:");
        if !shown.iter().any(|known| known.starts_with(&name)) {
            shown.push(format!("{name} {what}"));
        }
    }
    assert!(shown.is_empty(), "hostile text does harm:\n{}", shown.join("\n"));
}

#[test]
fn hostile_text_in_a_run_does_no_harm() {
    expect_none(&run());
}

#[test]
fn hostile_text_in_a_required_driver_does_no_harm() {
    for start in STARTS {
        let driver = Outside::from(format!("{start}kqueue{}", all_hostile_text()));
        let gate = Gate { required_drivers: vec![driver], ..Gate::default() };
        for page in pages_for("", &run(), &gate, &GATED_FORMATS, &[60, 80, 200]) {
            assert_eq!(rules::find_faults(&page), [], "{start:?}, {}", page.format);
        }
    }
}

#[test]
fn hostile_text_in_a_load_does_no_harm() {
    expect_none(&load());
}

#[test]
fn hostile_text_in_a_bench_does_no_harm() {
    expect_none(&bench(1));
}

#[test]
fn hostile_text_in_a_sweep_does_no_harm() {
    expect_none(&sweep(1));
}

#[test]
fn hostile_text_in_a_trace_does_no_harm() {
    expect_none(&trace());
}

#[test]
fn hostile_text_in_a_comparison_does_no_harm() {
    expect_none(&comparison());
}

#[test]
fn hostile_text_in_runs_of_several_hosts_does_no_harm() {
    for start in STARTS {
        let hostile = with_texts(&run(), |_, text| format!("{start}{text}{}", all_hostile_text()));
        let broken = rules::find_faults(&overview("", &hostile, &run()));
        assert!(broken.is_empty(), "{start:?}: {broken:?}");
    }
}

/// No document has these parts; the pages of `doctor`, `list` and `explain` have them.
#[test]
fn hostile_text_in_definitions_and_lists_does_no_harm() {
    let kind = Kind::Run;
    for start in STARTS {
        let hostile = Outside::from(format!("{start}{}", all_hostile_text()));
        let said = || Prose::from(&hostile);
        let blocks =
            vec![Block::Paragraph(said()), Block::Unbroken(said()), Block::Points(vec![said()])];
        let entries = [blocks.clone(), blocks.into_iter().rev().collect()]
            .map(|blocks| Definition { term: hostile.clone(), blocks });
        let group = Definitions { title: said(), entries: entries.into() };
        let parts = [
            Part::Subsection(hostile.clone()),
            Part::Definitions(vec![group.clone(), group]),
            Part::list("", [said()]),
            Part::lines([Prose::from_own_text("a `b` ").append(said())]),
        ];
        let pages = [60, 80, 200].map(|width| text(&parts, View::plain(Width::new(width))));
        let pages = pages.into_iter().map(|text| (Format::Text, text));
        for (format, text) in pages.chain([(Format::Markdown, markdown(&parts))]) {
            let page = Page { name: String::new(), kind, format, text };
            assert_eq!(rules::find_faults(&page), [], "{start:?}");
        }
    }
}

/// Only the page's own colours command a terminal.
#[test]
fn a_page_in_colours_says_what_one_without_says() {
    let hostile = with_texts(&sweep(1), |_, text| format!("{text}{}", all_hostile_text()));
    let page = |ink| {
        let view = View { width: Width::new(120), ink };
        render(&hostile, &Metric::default(), Format::Text, view).unwrap()
    };
    let coloured = page(Ink::Colour);
    let mut pieces = coloured.split("\u{1b}[");
    let mut plain = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (colour, rest) = piece.split_once('m').expect("a colour ends in m");
        assert!(colour.chars().all(|c| c.is_ascii_digit() || c == ';'), "{colour:?}");
        plain.push_str(rest);
    }
    assert_eq!(plain, page(Ink::Plain));
    assert_ne!(plain, coloured);
}

/// A field that stayed unchanged would not be tested.
#[test]
fn every_field_for_a_text_becomes_hostile() {
    let hostile = serde_json::to_value(with_texts(&run(), |_, _| "evil".to_owned())).unwrap();
    for path in ["/rows/0/runtime", "/rows/0/driver", "/cells/0/repeat", "/host/cpu_model"] {
        assert_eq!(hostile.pointer(path), Some(&"evil".into()), "{path}");
    }
    assert_eq!(hostile.pointer("/cells/0/verdict"), Some(&"pass".into()));
}
