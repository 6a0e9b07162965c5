//! Lines over axes, as data; a renderer draws them.

use crate::outside::Outside;

/// Some series in one pair of axes, each drawn as a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub x: Axis,
    pub y: Axis,
    /// In the order of the legend.
    pub series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The quantity, with its unit.
    pub title: String,
    pub scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Grows by equal steps; a vertical axis begins at 0.
    Linear,
    /// Grows by equal factors; a value of 0 or less has no place on it.
    Log,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// For the legend.
    pub name: Outside,
    /// From left to right; a point that is not finite is left out.
    pub points: Vec<(f64, f64)>,
}
