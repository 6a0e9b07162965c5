//! Results as data: the documents that the commands write, what follows from them, and the pages
//! rendered from them. Nothing here starts a server or opens a socket; `conformance` and `iomatrix`
//! do.

pub mod bench;
#[cfg(feature = "statistics")]
pub mod compare;
pub mod document;
#[cfg(test)]
#[cfg(all(feature = "junit", feature = "plot"))]
mod documented;
mod escape;
#[cfg(all(test, feature = "statistics"))]
mod example;
mod exit;
#[cfg(test)]
#[cfg(all(feature = "junit", feature = "plot"))]
mod golden;
pub mod host;
pub mod load;
pub mod pairs;
#[cfg(feature = "statistics")]
mod part;
#[cfg(feature = "plot")]
pub mod plot;
pub mod quantity;
pub mod run;
#[cfg(feature = "statistics")]
pub mod statistics;
pub mod sweep;
pub mod trace;
mod transport;
pub mod verdict;
mod view;

pub use document::{Document, Format, Kind, ParseError, RenderError, kind_of, parse, render};
pub use exit::{Exit, Finding, Findings};
pub use host::Host;
pub use run::{
    Attestation, Cell, Certificate, Failure, FailureKind, Gate, Margin, Row, Run, Strictness,
    WaiverNote,
};
pub use transport::Transport;
pub use verdict::{Grade, Level, Model, Verdict};
pub use view::{Ink, View, Width};
