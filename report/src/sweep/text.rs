//! A sweep for a terminal: tables, the plot of one quantity, and what follows in words at the end,
//! where the reader's cursor is.

use super::crossover::rows;
use super::parts::{findings, measured};
use super::{Point, Sweep};
use crate::bench::metric::Metric;
use crate::part;
use crate::plot::{self, Axis, Line, Plot, Scale};
use crate::view::Ink;

/// The words of `--metric`, and what each plots. The first is the one to take unless asked.
pub const METRICS: [(&str, Metric); 5] = [
    ("cpu", Metric::Cpu),
    ("throughput", Metric::Throughput),
    ("p99", Metric::P99),
    ("calls", Metric::SystemCalls),
    ("submissions", Metric::Submissions),
];

/// Rows of the terminal for lines and axes.
const PLOT_ROWS: u16 = 18;
/// As many as a table takes.
const LEAST_COLUMNS: u16 = 60;
/// What has more columns is no easier to read.
const PLOT_COLUMNS: u16 = 100;
/// An axis to the right that spans more than this factor grows by factors.
const DECADE: f64 = 10.0;
/// One upwards, which loses its 0 by that, only where the small values could not be told apart.
const TWO_DECADES: f64 = 100.0;

/// The whole page, with `metric` plotted. `width` is that of the terminal, in columns, of which it
/// takes 60 at least.
#[must_use]
pub fn render(sweep: &Sweep, metric: Metric, width: u16, ink: Ink) -> String {
    let width = width.max(LEAST_COLUMNS);
    let mut page = wrapped(&part::text(&measured(sweep, Some(width)), width), width);
    if let Some(plot) = plot(sweep, metric).and_then(|plot| drawn(&plot, width, ink)) {
        page.push('\n');
        page.push_str(&plot);
    }
    let findings = wrapped(&part::text(&findings(sweep), width), width);
    if findings.trim().is_empty() { page } else { format!("{page}\n{findings}") }
}

/// One quantity over what was varied, a line for each row that has a number; `None` with fewer than
/// two values, of which the tables say all.
#[must_use]
pub fn plot(sweep: &Sweep, metric: Metric) -> Option<Plot> {
    let points = sweep.ascending();
    if points.len() < 2 {
        return None;
    }
    let (unit, size) = metric.unit();
    let at = |point: &&Point, name: &str| {
        let value = metric.value(&point.bench, point.row(name)?).number()?;
        Some((point.value, value / size))
    };
    let lines: Vec<Line> = rows(&points)
        .into_iter()
        .map(|row| Line {
            name: row.name.clone(),
            points: points.iter().filter_map(|point| at(point, &row.name)).collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let upwards = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let values = || lines.iter().flat_map(|line| line.points.iter().copied());
    let (x, y) =
        (scale(values().map(|(x, _)| x), DECADE), scale(values().map(|(_, y)| y), TWO_DECADES));
    Some(Plot {
        x: Axis { title: sweep.dimension.name().to_owned(), scale: x },
        y: Axis { title: format!("{}{upwards}", metric.name()), scale: y },
        lines,
    })
}

fn drawn(plot: &Plot, width: u16, ink: Ink) -> Option<String> {
    plot::terminal(plot, width.min(PLOT_COLUMNS), PLOT_ROWS, ink)
}

/// Sentences that are wider over several lines, the further ones indented.
fn wrapped(page: &str, width: u16) -> String {
    let mut text = String::new();
    for line in page.lines() {
        if line.chars().count() <= width.into() {
            text.push_str(line);
            text.push('\n');
            continue;
        }
        let margin = line.chars().take_while(|c| *c == ' ').count();
        let mut part = " ".repeat(margin);
        for word in line.split_whitespace() {
            if part.trim().is_empty() {
                part.push_str(word);
            } else if part.chars().count() + 1 + word.chars().count() <= width.into() {
                part.push(' ');
                part.push_str(word);
            } else {
                text.push_str(&part);
                text.push('\n');
                part = format!("{}{word}", " ".repeat(margin + 2));
            }
        }
        text.push_str(&part);
        text.push('\n');
    }
    text
}

/// By factors where all values are above 0 and they span more than `most`.
fn scale(values: impl Iterator<Item = f64> + Clone, most: f64) -> Scale {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let greatest = values.fold(f64::NEG_INFINITY, f64::max);
    if least > 0.0 && greatest > least * most { Scale::Log } else { Scale::Linear }
}
