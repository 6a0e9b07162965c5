//! What a sweep plots: one quantity over what was varied.

use super::crossover::rows;
use super::{Point, Sweep};
use crate::bench::metric::Metric;
use crate::outside::Outside;
use crate::plot::{Axis, Plot, Scale, Series};

/// An axis to the right that spans more than this factor grows by factors.
const DECADE: f64 = 10.0;
/// One upwards, which loses its 0 by that, only where the small values could not be told apart.
const TWO_DECADES: f64 = 100.0;

/// One quantity over what was varied, a line for each row that has a number; `None` with fewer than
/// two values, of which the tables say all.
pub(super) fn plot(sweep: &Sweep, metric: Metric) -> Option<Plot> {
    let points = sweep.ascending();
    if points.len() < 2 {
        return None;
    }
    let (unit, size) = metric.unit();
    let at = |point: &&Point, name: &Outside| {
        let value = metric.value(&point.bench, point.row(name)?).number()?;
        Some((point.value, value / size))
    };
    let series: Vec<Series> = rows(&points)
        .into_iter()
        .map(|row| Series {
            name: row.name.clone(),
            points: points.iter().filter_map(|point| at(point, &row.name)).collect(),
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let upwards = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let values = || series.iter().flat_map(|series| series.points.iter().copied());
    let (x, y) =
        (scale(values().map(|(x, _)| x), DECADE), scale(values().map(|(_, y)| y), TWO_DECADES));
    Some(Plot {
        x: Axis { title: sweep.dimension.name().to_owned(), scale: x },
        y: Axis { title: format!("{}{upwards}", metric.name()), scale: y },
        series,
    })
}

/// By factors where all values are above 0 and they span more than `most`.
fn scale(values: impl Iterator<Item = f64> + Clone, most: f64) -> Scale {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let greatest = values.fold(f64::NEG_INFINITY, f64::max);
    if least > 0.0 && greatest > least * most { Scale::Log } else { Scale::Linear }
}
