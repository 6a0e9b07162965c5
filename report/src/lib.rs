//! Results as data: the documents that the commands write, the conclusions drawn from them, and the
//! pages that are rendered from them and written to files. Nothing here starts a server or opens a
//! socket; `conformance` and `iomatrix` do.

pub mod bench;
#[cfg(feature = "statistics")]
pub mod compare;
mod document;
pub mod escape;
#[cfg(test)]
#[cfg(feature = "statistics")]
mod example;
mod exit;
mod format;
#[cfg(test)]
#[cfg(all(feature = "junit", feature = "plot"))]
mod format_page;
#[cfg(test)]
#[cfg(all(feature = "junit", feature = "plot"))]
mod golden;
pub mod host;
pub mod load;
pub mod output;
pub mod outside;
mod pages;
pub mod pairs;
pub mod part;
pub mod plot;
pub mod quantity;
mod record;
pub mod render;
pub mod run;
mod seed;
pub mod sockets;
#[cfg(feature = "statistics")]
pub mod statistics;
mod suite;
pub mod sweep;
pub mod trace;
mod transport;
mod unseen;
pub mod verdict;
mod view;
mod word;

pub use document::{Document, Kind};
pub use exit::{Conclusion, Conclusions, Exit};
pub use format::Format;
pub use host::Host;
pub use outside::Outside;
pub use pages::Pages;
pub use record::{Field, Record};
pub use render::{RenderError, render};
pub use run::{
    Attestation, Cell, Certificate, Failure, FailureKind, Gate, Margin, Run, RunRow, Strictness,
    WaiverNote,
};
pub use seed::{Seed, SeedError, SeedSource};
pub use suite::{Diagnostic, Status, TestCase, TestSuite, TestSuites};
pub use transport::Transport;
pub use verdict::{Grade, Level, Model, Question, Verdict};
pub use view::{Ink, View, Width};
pub use word::UnknownWord;
