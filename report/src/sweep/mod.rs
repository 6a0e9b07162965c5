//! A sweep, as its result folder stores it: one bench for each value of what was varied, and what
//! follows from them. `iomatrix sweep` fills it.

use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "statistics")]
use crate::bench::metric::Metric;
use crate::bench::{Bench, BenchRow};
#[cfg(feature = "statistics")]
use crate::document::{Document, Kind};
#[cfg(feature = "statistics")]
use crate::exit::{Conclusion, Conclusions, Exit};
#[cfg(feature = "statistics")]
use crate::format::Format;
use crate::host::{group_digits, size};
use crate::outside::Outside;
#[cfg(feature = "statistics")]
use crate::pages::Pages;
#[cfg(feature = "statistics")]
use crate::part::{Medium, Part};
use crate::quantity::number;
#[cfg(feature = "statistics")]
use crate::record::Record;

#[cfg(feature = "statistics")]
pub mod crossover;
#[cfg(test)]
#[cfg(feature = "statistics")]
pub(crate) mod example;
#[cfg(feature = "statistics")]
pub mod knee;
#[cfg(feature = "statistics")]
mod parts;
#[cfg(feature = "statistics")]
mod plot;
#[cfg(feature = "statistics")]
mod records;
#[cfg(test)]
#[cfg(feature = "plot")]
mod tests;

/// The version of the format of sweeps that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the file in a result folder.
pub const FILE_NAME: &str = "sweep.json";

/// One bench after another, of the same rows, which differ in one quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    pub dimension: Dimension,
    /// One for each value that was reached.
    pub points: Vec<Point>,
    /// Whether the user stopped it before all values were done.
    pub interrupted: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// In the unit of the [`Dimension`].
    pub value: f64,
    pub bench: Bench,
}

/// The quantity that a sweep varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Connections that carry messages.
    Connections,
    /// Messages per second over all connections, in an open loop.
    Rate,
    /// Length of a message in bytes.
    MessageBytes,
    /// Threads that do I/O in each server.
    Workers,
}

impl Dimension {
    /// The words for an axis or the head of a column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rate => "messages/s",
            Self::MessageBytes => "message bytes",
            Self::Workers => "workers",
        }
    }

    /// A value whose quantity is clear, such as `64`, `20,000` or `16 KiB`.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        let is_whole = value >= 0.0 && value.fract() == 0.0;
        match self {
            Self::MessageBytes if is_whole => size(value as u64),
            Self::Connections | Self::Rate | Self::MessageBytes | Self::Workers if is_whole => {
                group_digits(value as u64)
            }
            Self::Connections | Self::Rate | Self::MessageBytes | Self::Workers => number(value),
        }
    }

    /// A value in a sentence, such as `64 connections`.
    #[must_use]
    pub fn describe(self, value: f64) -> String {
        let short = self.format(value);
        let (one, many) = match self {
            Self::Connections => ("connection", "connections"),
            Self::Rate => ("message/s", "messages/s"),
            Self::MessageBytes => return format!("messages of {short}"),
            Self::Workers => ("worker", "workers"),
        };
        format!("{short} {}", if value == 1.0 { one } else { many })
    }

    /// Several values, such as `1, 8, 64`.
    #[cfg(feature = "statistics")]
    pub(crate) fn format_list(self, values: impl IntoIterator<Item = f64>) -> String {
        values.into_iter().map(|value| self.format(value)).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(feature = "statistics")]
impl Document for Sweep {
    const KIND: Kind = Kind::Sweep;
    const VERSION: u32 = FORMAT_VERSION;

    /// Each point is a bench. An open loop is meant to find a rate that is too high, so a point
    /// without numbers is no error there, as long as another point has numbers.
    fn conclusions(&self, _: &Metric) -> Conclusions {
        let exits = || self.points.iter().map(|point| point.bench.exit(&()));
        let forgives = match self.dimension {
            Dimension::Rate => exits().any(|exit| exit == Exit::Green),
            Dimension::Connections | Dimension::MessageBytes | Dimension::Workers => false,
        };
        let pieces = exits().filter_map(|exit| match exit {
            Exit::Green => Some(Conclusion::Green),
            Exit::Red => Some(Conclusion::Red),
            Exit::Unavailable => Some(Conclusion::Unavailable),
            Exit::Error if forgives => None,
            Exit::Error | Exit::Usage | Exit::ConditionFired | Exit::Interrupted => {
                Some(Conclusion::Error)
            }
        });
        let interrupted = self.interrupted || exits().any(|exit| exit == Exit::Interrupted);
        Conclusions { interrupted, ..Conclusions::from_pieces(pieces) }
    }
}

#[cfg(feature = "statistics")]
impl Pages for Sweep {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json, Format::Csv];
    /// The quantity that is plotted.
    type Question = Metric;

    fn parts(&self, metric: &Metric, medium: Medium) -> Vec<Part> {
        parts::parts(self, *metric, medium)
    }

    fn data(&self) -> impl Serialize {
        self
    }

    fn records(&self) -> Vec<Record> {
        records::records(self)
    }
}

impl Sweep {
    /// The points, the smallest value first.
    #[must_use]
    pub fn sorted_points(&self) -> Vec<&Point> {
        let mut points: Vec<&Point> = self.points.iter().collect();
        points.sort_by(|a, b| a.value.total_cmp(&b.value));
        points
    }
}

impl Point {
    #[must_use]
    pub fn row(&self, name: &Outside) -> Option<&BenchRow> {
        self.bench.rows.iter().find(|row| row.name == *name)
    }
}
