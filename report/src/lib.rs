//! Results as data: the `Run` that a check writes, what follows from it, and the pages rendered
//! from it. Nothing here starts a server or opens a socket; `conformance` and `iomatrix` do.

pub mod bench;
pub mod certificate;
#[cfg(feature = "statistics")]
pub mod compare;
pub mod difference;
mod escape;
#[cfg(all(test, feature = "statistics"))]
mod example;
#[cfg(all(test, feature = "statistics"))]
mod format;
pub mod gate;
pub mod host;
#[cfg(feature = "junit")]
pub mod junit;
pub mod ladder;
pub mod load;
pub mod markdown;
#[cfg(feature = "statistics")]
mod page;
pub mod pairs;
#[cfg(feature = "plot")]
pub mod plot;
pub mod quantity;
pub mod run;
pub mod sweep;
pub mod text;
mod transport;
pub mod verdict;

pub use certificate::Certificate;
pub use gate::{Exit, Strictness};
pub use host::Host;
pub use run::{Attestation, Cell, Failure, FailureKind, Margin, Row, Run, WaiverNote};
pub use transport::Transport;
pub use verdict::{Grade, Level, Model, Verdict};
