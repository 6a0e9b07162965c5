//! A run on a terminal: what each row's cells add up to, each cause of a red cell, what was
//! observed, where the models differ, and the cost.

use std::cmp::Reverse;

use super::details;
use super::difference::{Difference, rows_by_outcome};
use super::parts::{self, Comparability};
use super::{Attestation, Cell, Gate, Run, RunRow, certificate};
use crate::outside;
use crate::outside::Outside;
use crate::part::{
    Block, Colour, Definition, Definitions, Entry, Head, Part, Prose, Span, Style, Table,
};
use crate::verdict::{Grade, Model, Verdict};

/// Of more rows than this with the same outcome, only the number is shown.
const MOST_NAMED_ROWS: usize = 4;

pub(super) fn screen(run: &Run, gate: &Gate) -> Vec<Part> {
    let mut parts = vec![rows(run, gate), parts::absences(run, gate), unseen_drivers(run)];
    parts.extend(details::causes(run, gate));
    parts.extend([observations(run), differences(run)]);
    parts.push(parts::cost_by_row(run));
    parts.push(parts::missing_drivers(run, gate));
    parts.push(Part::lines([parts::closing_line(run)]));
    parts.extend(certificates(run));
    parts
}

/// The certificate of a single row in full, and a line for each group of several rows.
fn certificates(run: &Run) -> Vec<Part> {
    if let [row] = run.rows.as_slice() {
        return vec![certificate::part(row, &run.profile).unwrap_or_else(|| left_out(run))];
    }
    let mut lines: Vec<Outside> = Vec::new();
    for grade in [Grade::Contract, Grade::Command, Grade::Address] {
        let of_grade = |row: &&RunRow| row.grade == grade && row.certificate.is_whole();
        let rows: Vec<&RunRow> = run.rows.iter().filter(of_grade).collect();
        let is_certified = |row: &&&RunRow| row.certificate.certified;
        lines.extend(certified_line(run, grade, rows.iter().filter(is_certified).copied()));
        let others = rows.iter().filter(|row| !row.certificate.certified);
        lines.extend(others.map(|row| {
            let reasons = Outside::join(&row.certificate.reasons, ", ");
            outside!("not certified: {} ({})", row.name, reasons)
        }));
    }
    vec![Part::lines(lines), left_out(run)]
}

/// The rows that are certified, and what they were not asked.
fn certified_line<'a>(
    run: &Run,
    grade: Grade,
    rows: impl Iterator<Item = &'a RunRow>,
) -> Option<Outside> {
    let rows: Vec<&RunRow> = rows.collect();
    let names: Vec<Outside> = rows.iter().map(|row| row.name.clone()).collect();
    let unasked = rows.first()?.certificate.only_in_full.len();
    let unasked = match unasked {
        0 => String::new(),
        1 => ", without 1 case of profile full".to_owned(),
        count => format!(", without {count} cases of profile full"),
    };
    Some(outside!(
        "certified (grade {}, profile {}{}): {}",
        grade,
        run.profile,
        unasked,
        Outside::join(&names, ", ")
    ))
}

/// Says why a row has no certificate.
fn left_out(run: &Run) -> Part {
    let is_partial = |row: &&RunRow| !row.certificate.is_whole();
    let rows: Vec<Outside> =
        run.rows.iter().filter(is_partial).map(|row| row.name.clone()).collect();
    match rows.len() {
        0 => Part::Lines(Vec::new()),
        _ if run.missing_cells() > 0 => {
            Part::lines([outside!("no certificate, as the run was cut off: {}", some_names(&rows))])
        }
        count if count == run.rows.len() => Part::lines(["no certificate: cases were left out"]),
        _ => {
            Part::lines([outside!("no certificate: cases were left out of {}", some_names(&rows))])
        }
    }
}

/// One line per row, with a column per suite if the page is wide enough.
fn rows(run: &Run, gate: &Gate) -> Part {
    let suites = suites(run);
    let mut heads = vec![Head::new("row")];
    heads.extend(suites.iter().map(|suite| head(suite)));
    let columns = run.columns();
    let line = |row: &&RunRow| {
        let counts =
            suites.iter().map(|suite| met_of_judged(&own_cells(run, row, suite), gate, row));
        [Entry::from(row.name.clone())].into_iter().chain(counts).collect()
    };
    let lines = columns.iter().map(line).collect();
    let wide = Table::plain(
        "requirements met by suite (of those judged, if fewer; - if none was)",
        Style::Counts,
        heads,
        lines,
    );
    let entries = columns.iter().map(|row| row_definition(run, gate, row, &suites)).collect();
    let narrow = Part::Definitions(vec![Definitions { title: Prose::default(), entries }]);
    Part::WideTable(wide, Box::new(narrow))
}

fn row_definition(run: &Run, gate: &Gate, row: &RunRow, suites: &[&Outside]) -> Definition {
    let own: Vec<&Cell> = run.cells.iter().filter(|cell| cell.row == row.name).collect();
    let mut blocks = vec![Block::Paragraph(counts(&own))];
    let of_suite = |suite: &&&Outside| {
        let cells = own_cells(run, row, suite);
        let is_bad = |cell: &&&Cell| details::has_details(cell, gate.conclusion_in(run, cell));
        let bad: Vec<&Cell> = cells.iter().filter(is_bad).copied().collect();
        (!bad.is_empty()).then(|| {
            Prose::from(outside!("{} (", **suite))
                .append(counts(&bad))
                .append(Span::Own(")".into()))
        })
    };
    let bad: Vec<Prose> = suites.iter().filter_map(|suite| of_suite(&suite)).collect();
    if !bad.is_empty() {
        let names = Prose::join(bad, ", ");
        let head = Prose::from(Span::Own("not met: ".into()));
        blocks.push(Block::Paragraph(head.append(names)));
    }
    Definition { term: row.name.clone(), blocks }
}

/// The suites of the run, in the catalogue's order.
fn suites(run: &Run) -> Vec<&Outside> {
    let mut suites = Vec::new();
    for (suite, _) in run.cases() {
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    suites
}

/// A suite's name that can be broken, so that its column is narrow.
fn head(suite: &Outside) -> Head {
    const BREAKS: [(&str, &str); 5] = [
        ("tcp-content", "tcp-con\u{ad}tent"),
        ("tcp-backpressure", "tcp-back\u{ad}pressure"),
        ("tcp-concurrency", "tcp-concur\u{ad}rency"),
        ("endurance", "endu\u{ad}rance"),
        ("shutdown", "shut\u{ad}down"),
    ];
    let broken = BREAKS.iter().find(|(name, _)| *suite == **name);
    broken.map_or_else(|| Head::new(suite), |(_, broken)| Head::new(*broken))
}

fn own_cells<'a>(run: &'a Run, row: &RunRow, suite: &Outside) -> Vec<&'a Cell> {
    run.cells.iter().filter(|cell| cell.row == row.name && cell.suite == *suite).collect()
}

/// `18` if all of 18 judged cells are met, else `17/18`; `-` if none was judged.
fn met_of_judged(cells: &[&Cell], gate: &Gate, row: &RunRow) -> Entry {
    let is_judged =
        |cell: &&&Cell| !matches!(cell.verdict, Verdict::Unavailable | Verdict::Unsupported);
    let judged = cells.iter().filter(is_judged).count();
    let is_met = |cell: &&&Cell| matches!(cell.verdict, Verdict::Pass | Verdict::Info);
    let met = cells.iter().filter(is_met).count();
    let is_red = cells.iter().any(|cell| gate.conclusion(cell, &row.driver).fails_a_test());
    let (colour, words) = match (met, judged) {
        (_, 0) => (Colour::Faint, "-".to_owned()),
        (met, judged) if met == judged => (Colour::Good, judged.to_string()),
        (met, judged) => (Colour::Doubtful, format!("{met}/{judged}")),
    };
    let colour = if is_red { Colour::Bad } else { colour };
    Entry { lines: vec![Span::Coloured(colour, words).into()], is_strong: is_red }
}

/// The number of cells with each word, the worst first.
fn counts(cells: &[&Cell]) -> Prose {
    let mut found: Vec<(&Cell, usize)> = Vec::new();
    for cell in cells {
        match found.iter_mut().find(|(known, _)| known.word() == cell.word()) {
            Some((_, count)) => *count += 1,
            None => found.push((cell, 1)),
        }
    }
    found.sort_by_key(|(cell, _)| (order(cell), Reverse(cell.verdict.severity())));
    let words = |(cell, count): (&Cell, usize)| {
        Span::Coloured(cell.colour(), format!("{count} {}", cell.word())).into()
    };
    Prose::join(found.into_iter().map(words), ", ")
}

/// What went wrong comes first, and what was not judged comes last.
fn order(cell: &Cell) -> u8 {
    match cell.colour() {
        Colour::Bad => 0,
        Colour::Doubtful => 1,
        Colour::Good if cell.verdict == Verdict::Pass => 2,
        Colour::Good => 3,
        Colour::Faint => 4,
    }
}

/// The rows whose driver nobody has seen from outside, by the reason.
fn unseen_drivers(run: &Run) -> Part {
    let mut found: Vec<(Outside, Vec<Outside>)> = Vec::new();
    for row in run.columns() {
        if matches!(row.attestation, Attestation::Attested { .. }) {
            continue;
        }
        let words = row.attestation.words();
        match found.iter_mut().find(|(known, _)| *known == words) {
            Some((_, rows)) => rows.push(row.name.clone()),
            None => found.push((words, vec![row.name.clone()])),
        }
    }
    let line =
        |(words, rows): (Outside, Vec<Outside>)| outside!("{}: {}", some_names(&rows), words);
    Part::list("drivers without attestation", found.into_iter().map(line))
}

/// What each case recorded, and on which rows.
fn observations(run: &Run) -> Part {
    let mut points: Vec<Outside> = Vec::new();
    for (suite, case) in run.cases() {
        let mut found: Vec<(&Outside, Vec<Outside>)> = Vec::new();
        let own = run.cells.iter().filter(|cell| cell.suite == *suite && cell.case == *case);
        for (cell, observation) in own.filter_map(|cell| Some((cell, cell.observation.as_ref()?))) {
            match found.iter_mut().find(|(known, _)| *known == observation) {
                Some((_, rows)) => rows.push(cell.row.clone()),
                None => found.push((observation, vec![cell.row.clone()])),
            }
        }
        match found.as_slice() {
            [] => {}
            [(observation, rows)] if rows.len() == run.rows.len() => {
                points.push(outside!("{}/{}: {}", suite, case, *observation));
            }
            [(observation, rows)] => {
                let rows = some_names(rows);
                points.push(outside!("{}/{}, {}: {}", suite, case, rows, *observation));
            }
            several => {
                points.push(outside!("{}/{}:", suite, case));
                let line = |(observation, rows): &(&Outside, Vec<Outside>)| {
                    outside!("  {}: {}", some_names(rows), *observation)
                };
                points.extend(several.iter().map(line));
            }
        }
    }
    Part::list("observed", points)
}

/// The names of rows, or how many there are.
fn some_names(rows: &[Outside]) -> Outside {
    match rows.len() {
        count if count > MOST_NAMED_ROWS => outside!("{} rows", count),
        _ => Outside::join(rows, ", "),
    }
}

fn differences(run: &Run) -> Part {
    let found = match parts::comparability(run) {
        Comparability::Nothing(sentence) => return Part::list(parts::DIFFERENCES, [sentence]),
        Comparability::Differences(found) => found,
    };
    let mut points: Vec<Outside> = Vec::new();
    for Difference { id, .. } in found {
        points.push(outside!("{}:", id));
        for model in [Model::Readiness, Model::Completion] {
            let line = |(outcome, rows): (Outside, Vec<Outside>)| {
                outside!("  {}, {}: {}", model, some_names(&rows), outcome)
            };
            points.extend(rows_by_outcome(run, &id, model).into_iter().map(line));
        }
    }
    Part::list(parts::DIFFERENCES, points)
}
