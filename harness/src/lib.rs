//! Starts, restricts, watches and attests servers, and probes the host. It knows no backend's name:
//! the registry has the names. `conformance` has what is asked of a server, and its clients.

pub mod accept_queue;
pub mod affinity;
pub mod announcement;
#[cfg(unix)]
mod at_limit;
pub mod attest;
pub mod binaries;
pub mod deadline;
mod error;
pub mod finding;
pub mod held_back;
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
pub mod row;
pub mod schedule;
pub mod scratch;
pub mod seed;
pub mod sock_diag;
pub mod supervisor;
pub mod wait;

pub use error::Error;
