//! Starts, restricts, watches and attests servers, and probes the host. Only the registry names
//! backends. The requirements for servers, and the clients that check them, live in `conformance`.

pub mod accept_queue;
#[cfg(unix)]
mod accept_trial;
pub mod affinity;
pub mod announcement;
pub mod attest;
pub mod binaries;
pub mod deadline;
mod error;
pub mod finding;
pub mod held_back_time;
pub mod host;
pub mod host_factor;
pub mod kernel_log;
pub mod launcher;
pub mod pattern;
pub mod place;
pub mod ports;
pub mod process;
pub mod registry;
pub mod restrict;
pub mod ring_needs;
pub mod row;
pub mod schedule;
pub mod scratch;
pub mod seed;
pub mod sock_diag;
pub mod supervisor;
pub mod time_wait;
pub mod wait;

pub use error::Error;
