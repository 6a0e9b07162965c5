//! Rules that every page keeps, whatever text it shows, by format.

use std::sync::LazyLock;

use pulldown_cmark::{Event, Options, Parser, Tag, TextMergeStream};
use regex_syntax::hir::{Class, HirKind};

use super::Page;
use crate::document::Document;
use crate::format::Format;

/// A rule that a page breaks, and where.
pub(super) type Fault = (&'static str, String);

/// A text that has a meaning in Markdown. A page must show all of its characters, because then it
/// has no meaning there.
pub(super) struct Mark {
    pub(super) text: &'static str,
    /// The part of it that a reader sees in any case.
    core: &'static str,
}

pub(super) const MARKS: [Mark; 8] = [
    Mark { text: "**evilbold**", core: "evilbold" },
    Mark { text: "_evilem_", core: "evilem" },
    Mark { text: "~~evilstrike~~", core: "evilstrike" },
    Mark { text: "`evilcode`", core: "evilcode" },
    Mark { text: "[evillink](", core: "evillink" },
    Mark { text: "# evilhead", core: "evilhead" },
    Mark { text: "- evilitem", core: "evilitem" },
    Mark { text: "&lt;evilentity", core: "evilentity" },
];

/// The only tags on our pages.
const TAGS: [&str; 7] =
    ["<details>", "</details>", "<summary>", "</summary>", "<code>", "</code>", "<br>"];
/// A page must not show a text as long as this.
const LONGEST: usize = 4_000;

/// The characters that a terminal obeys, that change the direction of text or that are invisible,
/// by their Unicode classes.
static UNSEEN: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let classes = [
        r"\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}",
        r"\p{Noncharacter_Code_Point}\x{FFF9}-\x{FFFB}",
    ];
    let parsed = regex_syntax::parse(&format!("[{}]", classes.concat())).expect("classes");
    let HirKind::Class(Class::Unicode(class)) = parsed.into_kind() else {
        panic!("it is no class of characters");
    };
    class.iter().map(|range| (range.start(), range.end())).collect()
});

/// Whether a terminal obeys a character, or a reader does not see it.
pub(super) fn is_unseen(c: char) -> bool {
    UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// A text with the first and the last character of each range of `UNSEEN`.
pub(super) fn unseen_text() -> String {
    UNSEEN.iter().flat_map(|(first, last)| [*first, 'u', *last, 'u']).collect()
}

pub(super) fn find_faults(page: &Page) -> Vec<Fault> {
    let text = &page.text;
    let mut found: Vec<Option<Fault>> = vec![unseen(page), command(text)];
    match page.format {
        Format::Text => found.push(endless(text)),
        Format::Markdown | Format::Margins => {
            found.extend([endless(text), table(text)]);
            found.extend(markdown(text));
        }
        // A log of our own words and numbers. No document here has one.
        Format::Json | Format::Hdr => {}
        Format::Jsonl => {
            let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
            found.push(fault("jsonl", text.lines().find(|line| !is_json(line))));
        }
        Format::Csv => found.extend(csv(text)),
        Format::Junit => found.extend(junit(text)),
    }
    found.into_iter().flatten().collect()
}

/// Whether a page of JSON reads back as the document.
pub(super) fn reads_back<D: Document + PartialEq>(page: &Page, document: &D) -> Result<(), ()> {
    let read = serde_json::from_str::<D>(&page.text);
    if read.is_ok_and(|read| read == *document) { Ok(()) } else { Err(()) }
}

fn fault(rule: &'static str, what: Option<impl ToString>) -> Option<Fault> {
    let shown =
        |what: String| what.chars().take(200).collect::<String>().escape_debug().to_string();
    what.map(|what| (rule, shown(what.to_string())))
}

fn unseen(page: &Page) -> Option<Fault> {
    let text = match page.format {
        Format::Csv => page.text.replace("\r\n", "\n"),
        Format::Text
        | Format::Markdown
        | Format::Json
        | Format::Jsonl
        | Format::Junit
        | Format::Margins
        | Format::Hdr => page.text.clone(),
    };
    let bad = |line: &&str| line.chars().any(is_unseen);
    fault("unseen", text.split('\n').find(bad))
}

/// Finds a line that the runner of GitHub Actions would obey.
fn command(text: &str) -> Option<Fault> {
    let bad = |line: &&str| line.trim_start().starts_with("::") || line.contains("##[");
    fault("command", text.lines().find(bad))
}

fn endless(text: &str) -> Option<Fault> {
    fault("endless", text.contains(&"x".repeat(LONGEST)).then_some("a text without end"))
}

/// Finds a table with a row that has more or fewer cells than its head.
fn table(text: &str) -> Option<Fault> {
    let mut head = None;
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if line.len() == ticks.len() && ticks.len() >= open.len() => fence = None,
            Some(_) | None => {}
        }
        if fence.is_some() || !line.starts_with('|') {
            head = None;
            continue;
        }
        let pipes = unescaped_pipes(line);
        if *head.get_or_insert(pipes) != pipes {
            return fault("table", Some(line));
        }
    }
    None
}

fn unescaped_pipes(line: &str) -> usize {
    let mut escaped = false;
    let is_cell = |c: char| {
        let ends = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    };
    line.chars().map(is_cell).filter(|ends| *ends).count()
}

/// Finds what GitHub would make of the text: tags, links, mentions, markup.
fn markdown(text: &str) -> Vec<Option<Fault>> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let mut found = Vec::new();
    // What a reader sees outside of code blocks.
    let mut shown = String::new();
    let mut in_code = false;
    for event in TextMergeStream::new(Parser::new_ext(text, options)) {
        match &event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => in_code = false,
            Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::FootnoteDefinition(_))
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_) => found.push(fault("link", Some(format!("{event:?}")))),
            Event::Start(Tag::Item | Tag::Paragraph | Tag::TableCell | Tag::Heading { .. }) => {
                shown.push('\n');
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                let ours = TAGS.iter().fold(html.to_string(), |rest, tag| rest.replace(tag, ""));
                found.push(fault("tag", ours.contains('<').then_some(ours.as_str())));
                shown.push_str(&decode_html(&ours));
            }
            Event::Text(text) if !in_code => shown.push_str(text),
            // A code span mentions nobody.
            Event::Code(code) => shown.push_str(&code.replace(['@', '#'], "")),
            Event::SoftBreak | Event::HardBreak => shown.push('\n'),
            Event::Start(_) | Event::End(_) | Event::Text(_) | Event::Rule => {}
        }
    }
    for mark in &MARKS {
        found.push(fault("markup", lost_mark(&shown, mark)));
    }
    for obeyed in ["@evil", "#31337", "http://", "www."] {
        found.push(fault("mention", shown.contains(obeyed).then_some(obeyed)));
    }
    found
}

/// The text as a browser shows the HTML.
fn decode_html(html: &str) -> String {
    let signs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#8203;", "\u{200b}")];
    let text = signs.iter().fold(html.to_owned(), |text, (entity, c)| text.replace(entity, c));
    text.replace("&amp;", "&")
}

/// The place where a page shows the core of a mark without its signs.
fn lost_mark<'a>(shown: &'a str, mark: &Mark) -> Option<&'a str> {
    let at = mark.text.find(mark.core).unwrap_or(0);
    let has_signs = |found: usize| {
        let start = found.checked_sub(at);
        start.and_then(|start| shown.get(start..)).is_some_and(|rest| rest.starts_with(mark.text))
    };
    let mut found = shown.match_indices(mark.core).map(|(found, _)| found);
    let found = found.find(|found| !has_signs(*found))?;
    let from = (found.saturating_sub(20)..=found).find(|from| shown.is_char_boundary(*from))?;
    shown.get(from..)
}

/// CSV must be records of RFC 4180, each with as many fields as the head; a spreadsheet must
/// compute none of them.
fn csv(text: &str) -> Vec<Option<Fault>> {
    let records = records(text);
    let heads = records.first().map_or(0, Vec::len);
    let uneven = records.iter().find(|record| record.len() != heads);
    let is_formula = |field: &&String| {
        field.trim_start().starts_with(['=', '+', '-', '@']) && field.parse::<f64>().is_err()
    };
    let formula = records.iter().flatten().find(is_formula);
    let broken = fault("csv", uneven.map(|record| record.join(",")));
    vec![broken, fault("formula", formula.filter(|field| *field != "-"))]
}

fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let record = records.last_mut().expect("there is always one");
        let field = record.last_mut().expect("a record has a field");
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => records.push(vec![String::new()]),
            c => field.push(c),
        }
    }
    records.pop();
    records
}

/// JUnit must be XML 1.0 that a parser of JUnit accepts.
fn junit(text: &str) -> Vec<Option<Fault>> {
    let read = quick_junit::Report::deserialize_from_str(text);
    // XML 1.0, section 2.2.
    let is_char =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    let references = text.split("&#").skip(1).map(|rest| rest.split(';').next().unwrap_or(rest));
    let named = |reference: &str| {
        let number = match reference.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => reference.parse(),
        };
        number.ok().and_then(char::from_u32).is_some_and(is_char)
    };
    let wrong = references.into_iter().find(|reference| !named(reference));
    vec![
        fault("xml", read.err()),
        fault("xml", text.chars().find(|c| !is_char(*c))),
        fault("xml", wrong),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Kind;

    #[track_caller]
    fn rules(format: Format, text: &str) -> Vec<&'static str> {
        let page = Page { name: String::new(), kind: Kind::Run, format, text: text.to_owned() };
        let mut rules: Vec<&str> = find_faults(&page).into_iter().map(|(rule, _)| rule).collect();
        rules.dedup();
        rules
    }

    #[test]
    fn each_rule_is_broken_by_what_it_is_for() {
        for (format, text, rule) in [
            (Format::Text, "a\u{1b}[2J", "unseen"),
            (Format::Text, "a\rb", "unseen"),
            (Format::Text, "\u{9b}", "unseen"),
            (Format::Json, "\"\u{202e}\"", "unseen"),
            (Format::Csv, "a\u{2028}\r\n", "unseen"),
            (Format::Text, "a\n  ::error::b", "command"),
            (Format::Text, "a ##[error]b", "command"),
            (Format::Markdown, "| a |\n| --- |\n| b | c |", "table"),
            (Format::Markdown, "- <script>", "tag"),
            (Format::Markdown, "<details>\n</details><img>", "tag"),
            (Format::Markdown, "[a](b)", "link"),
            (Format::Markdown, "![a](b)", "link"),
            (Format::Markdown, "see <tel:1>", "link"),
            (Format::Markdown, "**evilbold**", "markup"),
            (Format::Markdown, "# evilhead", "markup"),
            (Format::Markdown, "a\n- evilitem", "markup"),
            (Format::Markdown, "a @eviluser", "mention"),
            (Format::Markdown, "a #31337", "mention"),
            (Format::Jsonl, "{}\n{", "jsonl"),
            (Format::Csv, "a,b\r\nc\r\n", "csv"),
            (Format::Csv, "a\r\n\"=1+1\"\r\n", "formula"),
            (Format::Junit, "<a></b>", "xml"),
        ] {
            assert_eq!(rules(format, text), [rule], "{text:?}");
        }
        assert_eq!(rules(Format::Text, &"x".repeat(LONGEST)), ["endless"]);
    }

    #[test]
    fn what_pages_escape_is_what_unicode_says() {
        for c in '\0'..=char::MAX {
            assert_eq!(crate::unseen::is_unseen(c), is_unseen(c), "{c:?}");
        }
    }

    #[test]
    fn an_ordinary_page_breaks_none() {
        let page = "# a\n\n| b |\n| --- |\n| c\\|d<br>**e** |\n\n<details><summary>f <code>g</code>\
                    </summary>\n\n````text\n```\n| @eviluser <h>\n````\n</details>\n";
        assert_eq!(rules(Format::Markdown, page), [""; 0]);
        assert_eq!(rules(Format::Csv, "a,b\r\n-1,\"c,\n\"\"d\"\r\n"), [""; 0]);
        assert_eq!(rules(Format::Text, "row::suite::case\n"), [""; 0]);
    }
}
