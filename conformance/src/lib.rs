//! The suites and the judge: what a case is, what it is given, and how it becomes a cell of the
//! matrix. The judge drives servers only from outside and shares no code with them.

mod budget;
pub mod case;
mod causes;
pub mod check;
pub mod client;
pub mod clock;
pub mod context;
mod error;
pub mod expectation;
pub mod fix;
pub mod growth;
pub mod introduction;
pub mod judge;
pub mod key;
pub mod lack;
pub mod lifecycle;
pub mod mutants;
pub mod page;
pub mod plan;
pub mod profile;
pub mod suites;

pub use error::Error;
