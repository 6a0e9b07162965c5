//! What a sweep plots: one quantity over what was varied.

use super::crossover::distinct_rows;
use super::{Point, Sweep};
use crate::bench::metric::Metric;
use crate::outside::Outside;
use crate::plot::{Axis, Plot, Scale, Series};

/// The horizontal axis is logarithmic if its values span more than this factor.
const DECADE: f64 = 10.0;
/// The vertical axis is logarithmic, and so loses its 0, only if its values span more than this
/// factor, because the small ones would look alike.
const TWO_DECADES: f64 = 100.0;

/// One quantity over what was varied, with a line for each row that has a number; `None` with fewer
/// than two values, because the tables say everything then.
pub(super) fn plot(sweep: &Sweep, metric: Metric) -> Option<Plot> {
    let points = sweep.sorted_points();
    if points.len() < 2 {
        return None;
    }
    let (unit, size) = metric.unit();
    let at = |point: &&Point, name: &Outside| {
        let value = metric.value(&point.bench, point.row(name)?).number()?;
        Some((point.value, value / size))
    };
    let series: Vec<Series> = distinct_rows(&points)
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

/// Logarithmic if all values are above 0 and span more than a factor of `most`.
fn scale(values: impl Iterator<Item = f64> + Clone, most: f64) -> Scale {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let greatest = values.fold(f64::NEG_INFINITY, f64::max);
    if least > 0.0 && greatest > least * most { Scale::Log } else { Scale::Linear }
}
