//! The load generator: one plain poll loop per thread, no async runtime, every byte compared.
//!
//! A load runs as a closed loop, in which each message waits for the echo of the one before, or as
//! an open loop, which sends at a fixed rate whatever the server does. The result is a
//! [`report::load::Measurement`]. It is invalid if the generator was late or was the bottleneck,
//! and if the server lost or changed a byte.

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
pub use plan::validate_workload;
pub use run::{Progress, Watch, run};
pub use tally::Histograms;
