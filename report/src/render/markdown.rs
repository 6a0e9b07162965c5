//! Pages for a step summary or a document. No text on them makes a heading, a cell, a tag, a link
//! or a mention of its own.

use std::fmt::Write as _;

use crate::escape;
use crate::outside::Outside;
use crate::part::{Entry, Group, Head, Part, Style, Summary, Table};

/// The page. Writing to a `String`, as everything here does, cannot fail.
#[must_use]
pub fn markdown(parts: &[Part]) -> String {
    let mut page = String::new();
    let mut level = "##";
    for part in parts {
        match part {
            Part::Title(title) => {
                let _ = writeln!(page, "# {}\n", shown(title));
            }
            Part::Section(title) => {
                let _ = writeln!(page, "## {}\n", shown(title));
                level = "###";
            }
            Part::Lines(lines) => {
                for line in lines {
                    let _ = writeln!(page, "{}\n", begun(line));
                }
            }
            Part::Fields(title, fields) => page.push_str(&self::fields(title.as_ref(), fields)),
            Part::List(_, points) if points.is_empty() => {}
            Part::List(title, points) => {
                heading(&mut page, level, title);
                for point in points {
                    let _ = writeln!(page, "- {}", begun(point));
                }
                page.push('\n');
            }
            Part::Table(table) if table.is_empty() => {}
            Part::Table(table) => {
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

fn shown(text: &Outside) -> String {
    escape::markdown(text.open())
}

/// At the beginning of a line.
fn begun(text: &Outside) -> String {
    escape::markdown_line(text.open())
}

/// With a capital letter.
fn heading(page: &mut String, level: &str, title: &str) {
    let mut chars = title.chars();
    if let Some(first) = chars.next() {
        let _ = writeln!(page, "{level} {}{}\n", first.to_uppercase(), chars.as_str());
    }
}

fn fields(title: Option<&Outside>, fields: &[(Outside, Outside)]) -> String {
    let mut text = title.map(|title| format!("{}\n\n", begun(title))).unwrap_or_default();
    for (name, value) in fields {
        let _ = writeln!(text, "- **{}**: {}", shown(name), shown(value));
    }
    text + "\n"
}

fn table(table: &Table) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = |Head(what, more): &Head| match more.is_empty() {
        true => shown(what),
        false => format!("{}<br>{}", shown(what), shown(more)),
    };
    let mut text = row(table.heads.iter().map(head).collect());
    let rule = match table.style {
        Style::Numbers | Style::WholeNumbers => " ---: |",
        Style::Words | Style::Columns => " --- |",
    };
    let _ = writeln!(text, "| --- |{}", rule.repeat(table.heads.len().saturating_sub(1)));
    for Group { name, rows } in &table.groups {
        if !name.is_empty() {
            let rest = " |".repeat(table.heads.len());
            let _ = writeln!(text, "| **{}**{rest}", shown(name));
        }
        rows.iter().for_each(|cells| text.push_str(&row(cells.iter().map(cell).collect())));
    }
    text
}

fn cell(Entry { lines, is_strong }: &Entry) -> String {
    let text = lines.iter().map(shown).collect::<Vec<_>>().join("<br>");
    if *is_strong { format!("**{text}**") } else { text }
}

/// The lines in a fence that is longer than any run of backticks inside, so that none breaks out.
fn details(Summary { word, name }: &Summary, lines: &[Outside]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape::terminal(line.open())).collect();
    let runs = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    let summary =
        format!("{} <code>{}</code>", escape::html(word.open()), escape::html(name.open()));
    let text = lines.join("\n");
    format!("<details><summary>{summary}</summary>\n\n{fence}text\n{text}\n{fence}\n</details>\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_break_out_of_a_fence() {
        let summary = Summary { word: "fail".into(), name: "a<b>::c".into() };
        let text = details(&summary, &["```".into(), "# own heading".into(), "````".into()]);
        assert!(text.contains("\n`````text\n```\n"), "{text}");
        assert!(text.contains("<code>a&lt;b&gt;::c</code>"), "{text}");
    }
}
