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
use std::net::Ipv4Addr;

use report::{Failure, FailureKind};

/// Whether all of 127.0.0.0/8 is this host (RFC 1122, section 3.2.1.3). macOS has only 127.0.0.1.
pub(crate) const HAS_LOOPBACK_NETWORK: bool = cfg!(any(target_os = "linux", windows));
pub(crate) const SECOND_LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A failure of the judge's own socket.
fn harness_failure(doing: &str, error: &io::Error) -> Failure {
    Failure::new(FailureKind::Harness, format!("to {doing}"), error.to_string())
}
