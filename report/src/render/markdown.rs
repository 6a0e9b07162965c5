//! Pages for a step summary or a document. No text on a page makes a heading, a cell, a tag, a link
//! or a mention that the page itself does not want.

use std::fmt::Write as _;

use crate::escape;
use crate::outside::Outside;
use crate::part::{
    Block, Definition, Definitions, Entry, Group, Head, LinkTarget, Part, Prose, Span, Style,
    Summary, Table,
};
use crate::unseen::is_unseen;

/// Writing to a `String` cannot fail, so nothing here checks the results of `writeln!`.
#[must_use]
pub fn markdown(parts: &[Part]) -> String {
    let mut page = String::new();
    let mut level = "##";
    for part in parts {
        match part {
            Part::Title(title) => {
                let _ = writeln!(page, "# {}\n", escape_text(title));
                level = "##";
            }
            Part::Section(title) => {
                let _ = writeln!(page, "## {}\n", escape_text(title));
                level = "###";
            }
            Part::Subsection(title) => {
                let _ = writeln!(page, "### {}\n", escape_text(title));
                level = "####";
            }
            Part::Lines(lines) => {
                for line in lines {
                    let _ = writeln!(page, "{}\n", line_start(line));
                }
            }
            Part::Definitions(groups) => page.extend(groups.iter().map(definitions)),
            Part::Fields(title, fields) => page.push_str(&self::fields(title.as_ref(), fields)),
            Part::List(_, points) if points.is_empty() => {}
            Part::List(title, points) => {
                heading(&mut page, level, title);
                let _ = writeln!(page, "{}", self::points(points));
            }
            Part::Table(table) | Part::WideTable(table, _) if table.is_empty() => {}
            Part::Table(table) | Part::WideTable(table, _) => {
                heading(&mut page, level, table.title);
                let _ = writeln!(page, "{}", self::table(table));
            }
            Part::Details(summary, lines) => page.push_str(&details(summary, lines)),
            Part::Plot(_) => {}
        }
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn escape_text(text: &Outside) -> String {
    escape::markdown(text.open())
}

fn prose(Prose(spans): &Prose) -> String {
    escape::defuse_ci_commands(&spans.iter().map(span).collect::<String>())
}

/// A text at the beginning of a line.
fn line_start(prose: &Prose) -> String {
    escape::escape_line_start(&self::prose(prose))
}

fn span(span: &Span) -> String {
    match span {
        Span::Outside(text) => escape_text(text),
        Span::Own(text) | Span::Coloured(_, text) => escape::own_markdown(text),
        Span::Code(text) => code(text),
        Span::Strong(text) => format!("**{}**", escape::own_markdown(text)),
        Span::Link(text, to) => format!("[{}]({})", escape::own_markdown(text), target(to)),
    }
}

/// A text that cannot be a code span everywhere stays plain text.
fn code(text: &str) -> String {
    let is_plain = |c: char| c != '`' && c != '|' && !is_unseen(c);
    match !text.is_empty() && text.chars().all(is_plain) && !text.contains("##[") {
        true => format!("`{text}`"),
        false => escape::own_markdown(text),
    }
}

fn target(target: &LinkTarget) -> String {
    match target {
        LinkTarget::Heading(heading) => {
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            format!("#{}", anchor.to_lowercase())
        }
        LinkTarget::File(path) => (*path).to_owned(),
    }
}

/// One paragraph per term: a list would take what follows its points for one of them.
fn definitions(Definitions { title, entries }: &Definitions) -> String {
    let mut text = String::new();
    if !title.is_empty() {
        let _ = writeln!(text, "{}\n", line_start(title));
    }
    for Definition { term, blocks } in entries {
        let _ = write!(text, "**{}**:", escape_text(term));
        for (index, block) in blocks.iter().enumerate() {
            let is_first = index == 0;
            text.push_str(&match block {
                Block::Paragraph(line) | Block::Unbroken(line) if is_first => {
                    format!(" {}\n\n", prose(line))
                }
                Block::Paragraph(line) | Block::Unbroken(line) => {
                    format!("{}\n\n", line_start(line))
                }
                Block::Points(list) if is_first => format!("\n\n{}\n", points(list)),
                Block::Points(list) => format!("{}\n", points(list)),
            });
        }
    }
    text
}

fn points(points: &[Prose]) -> String {
    points.iter().map(|point| format!("- {}\n", line_start(point))).collect()
}

/// Makes the first letter a capital.
fn heading(page: &mut String, level: &str, title: &str) {
    let mut chars = title.chars();
    if let Some(first) = chars.next() {
        let _ = writeln!(page, "{level} {}{}\n", first.to_uppercase(), chars.as_str());
    }
}

fn fields(title: Option<&Outside>, fields: &[(Outside, Outside)]) -> String {
    let mut text =
        title.map(|title| format!("{}\n\n", line_start(&title.into()))).unwrap_or_default();
    for (name, value) in fields {
        let _ = writeln!(text, "- **{}**: {}", escape_text(name), escape_text(value));
    }
    text + "\n"
}

fn table(table: &Table) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = |Head(what, more): &Head| match more.is_empty() {
        true => escape_text(what),
        false => format!("{}<br>{}", escape_text(what), escape_text(more)),
    };
    let mut text = row(table.heads.iter().map(head).collect());
    let rule = match table.style {
        Style::Numbers | Style::WholeNumbers | Style::Counts => " ---: |",
        Style::Words | Style::Columns => " --- |",
    };
    let _ = writeln!(text, "| --- |{}", rule.repeat(table.heads.len().saturating_sub(1)));
    for Group { name, rows } in &table.groups {
        if !name.is_empty() {
            let rest = " |".repeat(table.heads.len());
            let _ = writeln!(text, "| **{}**{rest}", escape_text(name));
        }
        rows.iter().for_each(|cells| text.push_str(&row(cells.iter().map(cell).collect())));
    }
    text
}

fn cell(Entry { lines, is_strong }: &Entry) -> String {
    let text = lines.iter().map(prose).collect::<Vec<_>>().join("<br>");
    if *is_strong { format!("**{text}**") } else { text }
}

/// The fence is longer than any run of backticks in the lines, so that none of them ends it.
fn details(Summary { word, name, .. }: &Summary, lines: &[Outside]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape::terminal(line.open())).collect();
    let runs = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    let summary = format!("{} <code>{}</code>", word, escape::html(name.open()));
    let text = lines.join("\n");
    format!("<details><summary>{summary}</summary>\n\n{fence}text\n{text}\n{fence}\n</details>\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Colour;

    #[test]
    fn definitions_are_paragraphs() {
        let points = Block::Points(vec![Prose::from_own_text("repo#1: io_uring"), "- x".into()]);
        let run = Block::Paragraph(Prose::from_own_text("`a --b`, then `c|d`"));
        let entries = vec![
            Definition { term: "Bugs".into(), blocks: vec![points] },
            Definition { term: "Run".into(), blocks: vec![run] },
        ];
        let group = Definitions { entries, ..Definitions::default() };
        let expected =
            "**Bugs**:\n\n- repo#1: io_uring\n- \\- x\n\n**Run**: `a --b`, then c\\|d\n\n";
        assert_eq!(definitions(&group), expected);
    }

    #[test]
    fn a_link_leads_to_the_heading() {
        let to = LinkTarget::Heading("tcp-echo/One byte".to_owned());
        let link = span(&Span::Link("one".to_owned(), to));
        assert_eq!(link, "[one](#tcp-echoone-byte)");
    }

    #[test]
    fn a_server_cannot_break_out_of_a_fence() {
        let summary = Summary { word: "fail", colour: Colour::Bad, name: "a<b>::c".into() };
        let text = details(&summary, &["```".into(), "# own heading".into(), "````".into()]);
        assert!(text.contains("\n`````text\n```\n"), "{text}");
        assert!(text.contains("<code>a&lt;b&gt;::c</code>"), "{text}");
    }
}
