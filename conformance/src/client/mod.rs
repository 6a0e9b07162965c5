//! The judge's client: connections and datagrams whose every byte is known in advance, and the
//! traffic that cases make with them.

pub mod connection;
pub mod content;
pub mod datagrams;
pub mod duplex;
pub mod lengths;
pub mod passing;
pub mod payload;
pub mod peer;
pub mod ping_pong;
pub mod queues;
pub mod streams;

use std::io;

use report::{Failure, FailureKind};

/// A failure of the judge's own socket.
fn harness_failure(doing: &str, error: &io::Error) -> Failure {
    Failure::new(FailureKind::Harness, format!("to {doing}"), error.to_string())
}
