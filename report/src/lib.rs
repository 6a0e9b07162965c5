//! Results as data: the `Run` that a check writes, what follows from it, and the pages rendered
//! from it. Nothing here starts a server or opens a socket; `conformance` and `iomatrix` do.

pub mod difference;
pub mod gate;
pub mod host;
pub mod markdown;
pub mod run;
pub mod text;
pub mod verdict;

pub use gate::{Exit, Strictness};
pub use host::Host;
pub use run::{Attestation, Cell, Failure, FailureKind, Margin, Row, Run, WaiverNote};
pub use verdict::{Level, Model, Verdict};
