//! The suites and the judge: cases, what they are given, and how one becomes a cell of the matrix.
//! Servers are driven from outside only; nothing here is shared with one.

pub mod case;
pub mod check;
pub mod clock;
pub mod connection;
pub mod context;
pub mod datagrams;
pub mod declined;
pub mod duplex;
pub mod expectation;
pub mod introduced;
pub mod judge;
pub mod lifecycle;
pub mod mutants;
pub mod page;
pub mod payload;
pub mod peer;
pub mod plan;
pub mod profile;
pub mod queues;
pub mod rounds;
pub mod streams;
pub mod suites;
