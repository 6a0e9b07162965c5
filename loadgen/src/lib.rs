//! The load generator: a plain poll loop a thread, no async runtime, every byte compared.
//!
//! A load is closed (a message follows the echo of the one before) or open (at a fixed rate,
//! whatever the server does). What it measured is a [`report::load::Measurement`]; a generator that
//! was late or the bottleneck, and a server that lost or changed a byte, make it invalid.

mod account;
mod affinity;
mod ceiling;
mod clock;
mod connection;
mod export;
mod floor;
mod jitter;
mod load;
mod load_loop;
pub mod payload;
mod plan;
mod run;
mod schedule;
mod shared;
mod socket;
mod tally;
mod usage;

pub use account::{PROFILE, Recording};
pub use affinity::pin;
pub use ceiling::generator_ns;
pub use export::export_hdr;
pub use floor::floor_ns;
pub use load::{Load, NOISE_LIMIT};
pub use plan::expect_sense;
pub use run::{Progress, Watch, run};
pub use tally::Histograms;
