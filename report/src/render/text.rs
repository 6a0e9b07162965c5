//! Pages for a terminal. Only the page's own colours command the terminal, and the runner of a CI
//! system obeys no line.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

use crate::escape;
use crate::outside::Outside;
use crate::part::{
    Block, Colour, Definition, Definitions, Group, Head, Part, Prose, Span, Style, Summary, Table,
};
use crate::view::{Ink, View, Width};

/// Blanks between two columns of words without a border.
const GAP: u16 = 2;
/// Names of fields and terms of definitions stand in a column at least this wide, so that several
/// parts are aligned.
const MIN_NAME_WIDTH: usize = 10;
/// Where the values of details begin.
const DETAIL_MARGIN: usize = 15;
/// Says where a word may be broken (Unicode, U+00AD).
const SOFT_HYPHEN: char = '\u{ad}';

/// Rows of the terminal for the lines and axes of a plot.
#[cfg(feature = "plot")]
const PLOT_ROWS: u16 = 18;
/// A plot with more columns is no easier to read.
#[cfg(feature = "plot")]
const PLOT_COLUMNS: u16 = 100;

/// Writing to a `String` cannot fail, so nothing here checks the results of `writeln!`.
#[must_use]
pub fn text(parts: &[Part], view: View) -> String {
    let mut page = String::new();
    for part in parts {
        let shown = self::part(part, view);
        if !shown.is_empty() {
            page.push_str(&shown);
            page.push('\n');
        }
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn part(part: &Part, view: View) -> String {
    match part {
        Part::Title(title) | Part::Section(title) | Part::Subsection(title) => {
            sentence(&title.into(), 0, view)
        }
        Part::Definitions(groups) => {
            definitions(groups, View { width: view.width.min(Width::SENTENCES), ..view })
        }
        Part::Lines(lines) => lines.iter().map(|line| sentence(line, 0, view)).collect(),
        Part::Fields(title, fields) => self::fields(title.as_ref(), fields, view),
        Part::List(title, points) => list(title, points, view),
        Part::Table(table) => {
            let grids = split(table, view);
            grids.iter().map(|table| grid(table, view)).collect::<Vec<_>>().join("\n")
        }
        Part::WideTable(table, _) if view.width >= Width::WIDE && fits(table, view) => {
            grid(table, view)
        }
        Part::WideTable(_, other) => self::part(other, view),
        Part::Details(summary, lines) => details(summary, lines, view),
        Part::Plot(plot) => draw(plot, view),
    }
}

fn details(Summary { word, colour, name }: &Summary, lines: &[Outside], view: View) -> String {
    let head = format!("{}: {}\n", coloured(*colour, word, view.ink), escape_text(name));
    let lines = lines.iter().map(|line| wrap_detail(&escape_text(line), view.width));
    escape::defuse_ci_commands(&head) + &lines.collect::<String>()
}

/// Commands and lines of a server stay whole, so that a reader can copy them.
fn wrap_detail(line: &str, width: Width) -> String {
    match line.trim_start().starts_with("repeat ") || line.starts_with("    | ") {
        true => format!("{line}\n"),
        false => wrap(line, DETAIL_MARGIN, width),
    }
}

/// The numbers are those of ECMA-48, section 8.3.117.
fn coloured(colour: Colour, text: &str, ink: Ink) -> String {
    let number = match (ink, colour) {
        (Ink::Plain, _) => return escape::terminal(text),
        (Ink::Colour, Colour::Good) => "32",
        (Ink::Colour, Colour::Bad) => "1;31",
        (Ink::Colour, Colour::Doubtful) => "33",
        (Ink::Colour, Colour::Faint) => "2",
    };
    format!("\u{1b}[{number}m{}\u{1b}[0m", escape::terminal(text))
}

fn escape_text(text: &Outside) -> String {
    escape::terminal(text.open())
}

/// Code keeps its backticks, because an option in a sentence is hard to see without them.
fn prose(Prose(spans): &Prose, ink: Ink) -> String {
    let span = |span: &Span| match span {
        Span::Outside(text) => escape_text(text),
        Span::Coloured(colour, text) => coloured(*colour, text, ink),
        Span::Code(text) => format!("`{}`", escape::terminal(text)),
        Span::Own(text) | Span::Strong(text) | Span::Link(text, _) => escape::terminal(text),
    };
    escape::defuse_ci_commands(&spans.iter().map(span).collect::<String>())
}

/// Breaks a sentence that is wider than the page, and indents its further lines.
fn sentence(text: &Prose, margin: usize, view: View) -> String {
    wrap(&format!("{:margin$}{}", "", prose(text, view.ink)), margin + 2, view.width)
}

/// Breaks a line before words, and keeps the blanks within it.
fn wrap(line: &str, margin: usize, width: Width) -> String {
    let width = usize::from(width.columns());
    let mut text = String::new();
    let mut part = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let gap = rest.len() - rest.trim_start_matches(' ').len();
        let end = rest[gap..].find(' ').map_or(rest.len(), |end| gap + end);
        let (word, others) = rest.split_at(end);
        if !part.trim().is_empty() && measure(&part) + measure(word) > width {
            let _ = writeln!(text, "{part}");
            part = format!("{:margin$}{}", "", &word[gap..]);
        } else {
            part.push_str(word);
        }
        rest = others;
    }
    let _ = writeln!(text, "{part}");
    text
}

/// A text, with blanks behind it that fill its column.
fn pad(text: &str, columns: usize) -> String {
    format!("{text}{:1$}", "", columns.saturating_sub(measure(text)))
}

/// How many columns a text takes.
fn measure(text: &str) -> usize {
    console::measure_text_width(text)
}

fn fields(title: Option<&Outside>, fields: &[(Outside, Outside)], view: View) -> String {
    let names: Vec<String> = fields.iter().map(|(name, _)| escape_text(name)).collect();
    let widest = names.iter().map(|name| measure(name)).max().unwrap_or(0);
    let column = widest.max(MIN_NAME_WIDTH);
    let mut text = title.map(|title| sentence(&title.into(), 0, view)).unwrap_or_default();
    for (name, (_, value)) in names.iter().zip(fields) {
        let line = format!("  {} {}", pad(name, column), escape_text(value));
        text.push_str(&wrap(line.trim_end(), column + 3, view.width));
    }
    text
}

/// The terms in one column, and their explanations next to them.
fn definitions(groups: &[Definitions], view: View) -> String {
    let terms = groups.iter().flat_map(|group| &group.entries).map(|entry| &entry.term);
    let widest = terms.map(|term| measure(&escape_text(term))).max().unwrap_or(0);
    // At least two blanks follow a term, because a term may contain blanks.
    let column = (widest + 1).max(MIN_NAME_WIDTH);
    let group = |Definitions { title, entries }: &Definitions| {
        let entries = entries.iter().map(|entry| definition(entry, column, view));
        let title = if title.is_empty() { String::new() } else { sentence(title, 0, view) };
        title + &entries.collect::<String>()
    };
    groups.iter().map(group).collect::<Vec<_>>().join("\n")
}

fn definition(Definition { term, blocks }: &Definition, column: usize, view: View) -> String {
    let mut text = String::new();
    let mut add = |line: &str, is_broken: bool| {
        let term = if text.is_empty() { escape_text(term) } else { String::new() };
        let line = format!("  {} {line}", pad(&term, column));
        match is_broken {
            true => text.push_str(&wrap(&line, column + 3, view.width)),
            false => text.push_str(&(line + "\n")),
        }
    };
    for block in blocks {
        match block {
            Block::Paragraph(paragraph) => add(&prose(paragraph, view.ink), true),
            Block::Points(points) => {
                points.iter().for_each(|point| add(&format!("- {}", prose(point, view.ink)), true));
            }
            Block::Unbroken(line) => add(&prose(line, view.ink), false),
        }
    }
    text
}

fn list(title: &str, points: &[Prose], view: View) -> String {
    if points.is_empty() {
        return String::new();
    }
    let points: String = points.iter().map(|point| sentence(point, 2, view)).collect();
    if title.is_empty() { points } else { format!("{title}:\n{points}") }
}

/// Splits a table that is wider than the page, if its cells must not be broken.
fn split(table: &Table, view: View) -> Vec<Table> {
    let border = match table.style {
        _ if table.is_empty() => return Vec::new(),
        Style::Numbers | Style::Words | Style::Counts => return vec![table.clone()],
        Style::WholeNumbers => 2,
        Style::Columns => 0,
    };
    let room = usize::from(view.width.columns()).saturating_sub(border + column_width(table, 0));
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for index in 1..table.heads.len() {
        used += column_width(table, index);
        match chunks.last_mut() {
            Some(chunk) if used <= room => chunk.push(index),
            Some(_) | None => {
                chunks.push(vec![index]);
                used = column_width(table, index);
            }
        }
    }
    let of_chunk = |chunk: &Vec<usize>| {
        let columns = || [0].into_iter().chain(chunk.iter().copied());
        let group = |group: &Group| {
            let line = |row: &Vec<_>| columns().filter_map(|at| row.get(at).cloned()).collect();
            Group { name: group.name.clone(), rows: group.rows.iter().map(line).collect() }
        };
        let heads = columns().filter_map(|at| table.heads.get(at).cloned()).collect();
        Table { heads, groups: table.groups.iter().map(group).collect(), ..*table }
    };
    chunks.iter().map(of_chunk).collect()
}

/// A head on one line or on several.
fn head_lines(Head(what, more): &Head, style: Style) -> Vec<String> {
    if style != Style::Counts || !more.is_empty() {
        let more = (!more.is_empty()).then_some(more);
        return [what]
            .into_iter()
            .chain(more)
            .filter(|it| !it.is_empty())
            .map(escape_text)
            .collect();
    }
    // The lines together are the name: hyphens stay, and a soft hyphen is not shown.
    let pieces = what.open().split(SOFT_HYPHEN).flat_map(|piece| piece.split_inclusive('-'));
    pieces.map(escape::terminal).collect()
}

/// Whether no cell of the table has to be broken.
fn fits(table: &Table, view: View) -> bool {
    let columns: usize = (0..table.heads.len()).map(|index| column_width(table, index)).sum();
    columns <= usize::from(view.width.columns()) + usize::from(gap(table.style))
}

/// Blanks between two columns without a border.
fn gap(style: Style) -> u16 {
    if style == Style::Counts { 1 } else { GAP }
}

/// Includes the space between this column and the next.
fn column_width(table: &Table, index: usize) -> usize {
    let rows = table.groups.iter().flat_map(|group| &group.rows);
    let cells = rows.filter_map(|row| row.get(index)).flat_map(|cell| &cell.lines);
    let cells = cells.map(|line| prose(line, Ink::Plain));
    let heads = table.heads.get(index).into_iter();
    let heads = heads.flat_map(|head| head_lines(head, table.style));
    let widths = cells.chain(heads).map(|text| measure(&text));
    widths.max().unwrap_or(0) + usize::from(gap(table.style))
}

fn grid(table: &Table, view: View) -> String {
    let mut grid = Grid::new();
    match table.style {
        Style::Columns | Style::Counts => {
            grid.load_style(presets::NOTHING);
            grid.set_content_arrangement(ContentArrangement::Disabled);
        }
        Style::Numbers | Style::WholeNumbers | Style::Words => {
            grid.load_style(presets::UTF8_BORDERS_ONLY).set_width(view.width.columns());
            grid.set_content_arrangement(ContentArrangement::Dynamic);
        }
    }
    let heads: Vec<Vec<String>> =
        table.heads.iter().map(|head| head_lines(head, table.style)).collect();
    let height = heads.iter().map(Vec::len).max().unwrap_or(1);
    // Heads stand on the first row of their column.
    let head = |lines: Vec<String>| match table.style {
        Style::Counts => [vec![String::new(); height - lines.len()], lines].concat().join("\n"),
        Style::Numbers | Style::WholeNumbers | Style::Words | Style::Columns => lines.join("\n"),
    };
    grid.set_header(heads.into_iter().map(head));
    for Group { name, rows } in &table.groups {
        let indent = if name.is_empty() { "" } else { "  " };
        if !name.is_empty() {
            grid.add_row([escape_text(name)]);
        }
        for row in rows {
            let line = |line: &Prose| prose(line, view.ink);
            let lines = |lines: &[Prose]| lines.iter().map(line).collect::<Vec<_>>().join("\n");
            let mut cells: Vec<String> = row.iter().map(|cell| lines(&cell.lines)).collect();
            if let Some(first) = cells.first_mut() {
                first.insert_str(0, indent);
            }
            grid.add_row(cells);
        }
    }
    let right = match table.style {
        Style::Numbers | Style::WholeNumbers | Style::Counts => CellAlignment::Right,
        Style::Words | Style::Columns => CellAlignment::Left,
    };
    let last = table.heads.len().saturating_sub(1);
    for (index, column) in grid.column_iter_mut().enumerate() {
        column.set_padding(match table.style {
            Style::Columns | Style::Counts => (0, gap(table.style)),
            // Each column has a blank on its left, so only the last one needs one on its right.
            Style::Numbers | Style::WholeNumbers | Style::Words => (1, u16::from(index == last)),
        });
        column.set_cell_alignment(if index == 0 { CellAlignment::Left } else { right });
    }
    match table.title {
        "" => format!("{}\n", grid.trim_fmt()),
        title => format!("{title}:\n{}\n", grid.trim_fmt()),
    }
}

#[cfg(feature = "plot")]
fn draw(plot: &crate::plot::Plot, view: View) -> String {
    let columns = view.width.columns().min(PLOT_COLUMNS);
    super::drawing::terminal(plot, columns, PLOT_ROWS, view.ink).unwrap_or_default()
}

/// Only a sweep has plots, and a program without the feature shows no sweep.
#[cfg(not(feature = "plot"))]
fn draw(_: &crate::plot::Plot, _: View) -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_keeps_to_its_width_and_margin() {
        let long = "one two three four five six seven eight nine ten eleven twelve";
        let entry = |term: &str, blocks| Definition { term: term.into(), blocks };
        let points = [long, "last"].map(Prose::from);
        let entries = vec![
            entry(
                "a longer one",
                vec![Block::Paragraph(long.into()), Block::Points(points.into())],
            ),
            entry("run", vec![Block::Unbroken(long.into())]),
        ];
        let parts = [Part::Definitions(vec![Definitions { title: "title".into(), entries }])];
        let expected = "\
title
  a longer one  one two three four five six seven eight nine
                ten eleven twelve
                - one two three four five six seven eight
                nine ten eleven twelve
                - last
  run           one two three four five six seven eight nine ten eleven twelve
";
        assert_eq!(text(&parts, View::plain(Width::new(60))), expected);
    }
}
