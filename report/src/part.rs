//! A page as parts, so that a terminal and a step summary show the same, and everything that a
//! server, a user or a file said is escaped in one place.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

use crate::escape;

/// What a page is made of, from top to bottom.
pub(crate) enum Part {
    /// The title of the page.
    Title(String),
    /// Sentences, one a line.
    Lines(Vec<String>),
    /// Rows under heads; nothing at all where there are no rows.
    Table(Table),
    /// A title and points; nothing at all where there are no points.
    List(&'static str, Vec<String>),
}

/// Rows under heads, in groups.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) cells: Cells,
    pub(crate) heads: Vec<Head>,
    pub(crate) groups: Vec<Group>,
}

/// What stands right of the first column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Numbers, or words in their place: set to the right.
    Numbers,
    /// Words.
    Words,
}

/// What a column is, and in which unit or against which row; a second line on a terminal.
#[derive(Clone)]
pub(crate) struct Head(pub(crate) String, pub(crate) String);

/// Rows that belong together.
pub(crate) struct Group {
    /// What they have in common; empty for a table of one group.
    pub(crate) name: String,
    pub(crate) rows: Vec<Vec<String>>,
}

/// For a terminal of so many columns. Writing to a `String`, as everything here does, cannot fail.
pub(crate) fn text(parts: &[Part], width: u16) -> String {
    let mut page = String::new();
    for part in parts {
        match part {
            Part::Title(title) => {
                let _ = writeln!(page, "{}\n", escape::printable(title));
            }
            Part::Lines(lines) => {
                for line in lines {
                    let _ = writeln!(page, "{}", escape::printable(line));
                }
                page.push('\n');
            }
            Part::Table(table) if table.is_empty() => {}
            Part::Table(table) => {
                let _ = writeln!(page, "{}:\n{}\n", table.title, table.text(width));
            }
            Part::List(_, points) if points.is_empty() => {}
            Part::List(title, points) => {
                let _ = writeln!(page, "{title}:");
                for point in points {
                    let _ = writeln!(page, "  {}", escape::printable(point));
                }
                page.push('\n');
            }
        }
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

/// For a step summary or a document.
pub(crate) fn markdown(parts: &[Part]) -> String {
    let mut page = String::new();
    for part in parts {
        match part {
            Part::Title(title) => {
                let _ = writeln!(page, "# {}\n", escape::markdown(title));
            }
            Part::Lines(lines) => {
                for line in lines {
                    let _ = writeln!(page, "{}\n", escape::markdown(line));
                }
            }
            Part::Table(table) if table.is_empty() => {}
            Part::Table(table) => {
                let _ = writeln!(page, "## {}\n\n{}", capital(table.title), table.markdown());
            }
            Part::List(_, points) if points.is_empty() => {}
            Part::List(title, points) => {
                let _ = writeln!(page, "## {}\n", capital(title));
                for point in points {
                    let _ = writeln!(page, "- {}", escape::markdown(point));
                }
                page.push('\n');
            }
        }
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

impl Head {
    pub(crate) fn of(what: &str, more: &str) -> Self {
        Self(what.to_owned(), more.to_owned())
    }
}

impl Table {
    /// A table of numbers whose rows are not grouped.
    pub(crate) fn plain(title: &'static str, heads: Vec<Head>, rows: Vec<Vec<String>>) -> Self {
        let groups = vec![Group { name: String::new(), rows }];
        Self { title, cells: Cells::Numbers, heads, groups }
    }

    fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.rows.is_empty())
    }

    fn text(&self, width: u16) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::UTF8_BORDERS_ONLY).set_width(width.max(60));
        grid.set_content_arrangement(ContentArrangement::Dynamic);
        let is_plain = self.heads.iter().all(|Head(_, more)| more.is_empty());
        let head = |Head(what, more): &Head| match is_plain {
            true => escape::printable(what),
            false => format!("{}\n{}", escape::printable(what), escape::printable(more)),
        };
        grid.set_header(self.heads.iter().map(head));
        for Group { name, rows } in &self.groups {
            let indent = if name.is_empty() { "" } else { "  " };
            if !name.is_empty() {
                grid.add_row([escape::printable(name)]);
            }
            for row in rows {
                let mut cells: Vec<String> = row.iter().map(|c| escape::printable(c)).collect();
                if let Some(first) = cells.first_mut() {
                    first.insert_str(0, indent);
                }
                grid.add_row(cells);
            }
        }
        let alignment = match self.cells {
            Cells::Numbers => CellAlignment::Right,
            Cells::Words => CellAlignment::Left,
        };
        let last = self.heads.len().saturating_sub(1);
        for (index, column) in grid.column_iter_mut().enumerate() {
            // Columns have a space between them anyway.
            column.set_padding((1, u16::from(index == last)));
            column.set_cell_alignment(if index == 0 { CellAlignment::Left } else { alignment });
        }
        grid.to_string()
    }

    fn markdown(&self) -> String {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escape::markdown(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let head = |Head(what, more): &Head| match more.as_str() {
            "" => what.clone(),
            more => format!("{what}, {more}"),
        };
        let mut text = row(&self.heads.iter().map(head).collect::<Vec<_>>());
        let rule = match self.cells {
            Cells::Numbers => " ---: |",
            Cells::Words => " --- |",
        };
        let _ = writeln!(text, "| --- |{}", rule.repeat(self.heads.len().saturating_sub(1)));
        for Group { name, rows } in &self.groups {
            if !name.is_empty() {
                let rest = " |".repeat(self.heads.len());
                let _ = writeln!(text, "| **{}**{rest}", escape::markdown(name));
            }
            rows.iter().for_each(|cells| text.push_str(&row(cells)));
        }
        text
    }
}

/// With a capital letter, for a heading.
fn capital(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_a_page_means_more_than_it_says() {
        let evil = "a|b\u{1b}[31m\n# c".to_owned();
        let table = Table::plain(
            "rows",
            vec![Head::of("row", ""), Head::of("n", "")],
            vec![vec![evil.clone(), evil.clone()]],
        );
        let parts = [
            Part::Title(evil.clone()),
            Part::Lines(vec![evil.clone()]),
            Part::Table(table),
            Part::List("points", vec![evil]),
        ];
        let terminal = text(&parts, 80);
        assert!(!terminal.contains('\u{1b}') && !terminal.contains("\n# c"), "{terminal}");
        let page = markdown(&parts);
        assert!(!page.contains("a|b") && !page.contains("\n# c"), "{page}");
        assert!(page.contains("| a\\|b"), "{page}");
    }
}
