//! The suites and the judge: cases, what they are given, and how one becomes a cell of the matrix.
//! Servers are driven from outside only; nothing here is shared with one.

pub mod affinity;
pub mod announcement;
pub mod attest;
pub mod binaries;
pub mod case;
pub mod check;
pub mod clock;
pub mod connection;
pub mod datagrams;
pub mod declined;
pub mod duplex;
pub mod host;
pub mod introduced;
pub mod judge;
pub mod kernel_log;
pub mod launcher;
pub mod load;
pub mod mutants;
pub mod page;
pub mod payload;
pub mod peer;
pub mod plan;
pub mod process;
pub mod queues;
pub mod registry;
pub mod restrict;
pub mod rounds;
pub mod schedule;
pub mod scratch;
pub mod streams;
pub mod suites;
pub mod transport;
pub mod wait;
