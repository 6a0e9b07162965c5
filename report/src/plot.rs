//! Lines over an axis, as data; a renderer draws them.

use crate::outside::Outside;

/// Some series in one pair of axes, each drawn as a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// In the order of the legend.
    pub series: Vec<Series>,
}

/// What an axis shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The quantity, with its unit.
    pub title: String,
    /// How it grows.
    pub scale: Scale,
}

/// How an axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By equal steps; upwards it begins at 0.
    Linear,
    /// By equal factors: what is not above 0 has no place on it.
    Log,
}

/// One line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// For the legend.
    pub name: Outside,
    /// From left to right; one that is not finite is left out.
    pub points: Vec<(f64, f64)>,
}
