//! Every cell of a run as one letter, so that a terminal of 80 columns shows twenty rows.

use super::{Cell, Gate, Run};
use crate::outside;
use crate::outside::Outside;
use crate::part::{Colour, Entry, Group, Head, Part, Prose, Span, Style, Table};

/// The letters with their meaning, the worst last.
const LETTERS: [(&str, &str); 11] = [
    (".", "pass"),
    ("i", "info"),
    ("-", "unavailable"),
    ("u", "unsupported"),
    ("w", "waived"),
    ("m", "miss"),
    ("?", "error"),
    ("S", "stale waiver"),
    ("T", "timeout"),
    ("F", "fail"),
    ("C", "crash"),
];

/// What the letters and numbers mean, and the cells: cases down and rows across.
#[must_use]
pub fn parts(run: &Run, gate: &Gate) -> Vec<Part> {
    let columns = run.columns();
    let name = |(index, name): (usize, &Outside)| outside!("{} {}", index + 1, name);
    let names: Vec<Outside> = columns.iter().map(|row| &row.name).enumerate().map(name).collect();
    let is_used = |(_, word): &&(&str, &str)| run.cells.iter().any(|cell| cell.word() == *word);
    let meaning = |(letter, word): &(&str, &str)| Prose::from(format!("{letter} {word}"));
    let meanings = Prose::join(LETTERS.iter().filter(is_used).map(meaning), ", ");
    vec![
        Part::lines([outside!("rows: {}", Outside::join(&names, ", ")).into(), meanings]),
        Part::Table(table(run, gate)),
    ]
}

fn table(run: &Run, gate: &Gate) -> Table {
    let columns = run.columns();
    let mut heads = vec![Head::new("case")];
    heads.extend((1..=columns.len()).map(number));
    let mut groups: Vec<Group> = Vec::new();
    for (suite, case) in run.cases() {
        let entry = |cell: Option<&Cell>| cell.map(|cell| letter(run, gate, cell));
        let cells = columns.iter().map(|row| entry(run.cell(&row.name, suite, case)));
        let line =
            [Entry::from(case.clone())].into_iter().chain(cells.map(Option::unwrap_or_default));
        let line = line.collect();
        match groups.last_mut().filter(|group| group.name == *suite) {
            Some(group) => group.rows.push(line),
            None => groups.push(Group { name: suite.clone(), rows: vec![line] }),
        }
    }
    Table { title: "", style: Style::Counts, heads, groups }
}

/// A number with its digits one below the other.
fn number(number: usize) -> Head {
    match (number / 10, number % 10) {
        (0, ones) => Head(Outside::default(), ones.to_string().into()),
        (tens, ones) => Head(tens.to_string().into(), ones.to_string().into()),
    }
}

fn letter(run: &Run, gate: &Gate, cell: &Cell) -> Entry {
    let found = LETTERS.iter().find(|(_, word)| *word == cell.word());
    let is_strong = gate.conclusion_in(run, cell).fails_a_test();
    let colour = if is_strong { Colour::Bad } else { cell.colour() };
    let letter = found.map_or("?", |(letter, _)| letter);
    Entry { lines: vec![Span::Coloured(colour, letter.to_owned()).into()], is_strong }
}
