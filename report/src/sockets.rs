//! What the kernel of a host does with sockets, where systems differ. Plain data: `harness::host`
//! tries each once.

use serde::{Deserialize, Serialize};

use crate::outside::Outside;

/// What the kernel of a host does with sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// Clients that wait for `accept` at a listener with the contract's backlog.
    pub accept_queue: Tried<u32>,
    /// What becomes of a client whose accept finds no descriptor.
    pub accept_at_limit: Tried<AtLimit>,
    /// Whether a connection on loopback is established when connect(2) returns.
    pub established_at_once: Tried<bool>,
    /// Microseconds until a connect on loopback is refused.
    pub refused_us: Tried<u32>,
    /// Bytes of the longest UDP datagram that comes through sockets as they are by default.
    pub udp_longest: Tried<u32>,
    /// Short UDP datagrams that wait for a receiver.
    pub udp_waiting: Tried<u32>,
    /// Bytes of the longest Unix datagram that comes through, of those that the suites send.
    pub unixgram_longest: Tried<u32>,
    /// What connect(2) says of a Unix listener whose queue is full, such as `EAGAIN`.
    pub full_unix: Tried<Outside>,
    /// What send(2) says of a Unix datagram socket whose queue is full.
    pub full_unixgram: Tried<Outside>,
    /// Microseconds that a sleep of a millisecond takes.
    pub sleep_us: Tried<u32>,
    /// Microseconds that a receive with a limit of a millisecond takes.
    pub timeout_us: Tried<u32>,
}

/// Outcome of one trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried<T> {
    /// What was seen.
    Seen(T),
    /// Why nothing was.
    Unknown(Outside),
}

/// What becomes of a client whose accept ends with EMFILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// It stays in the queue.
    Waits,
    /// The kernel closes it.
    Closed,
}

impl Sockets {
    /// The contract's backlog, which the trial of the queue asks for.
    pub const BACKLOG: u32 = 1024;
    /// The most that UDP carries over IPv4: 65,535 bytes less its header and that of IPv4 (RFC 768,
    /// RFC 791).
    pub const UDP_MOST: u32 = 65_507;
    /// The longest Unix datagram that a case sends: longer than any of UDP, and shorter than the
    /// send buffer that Linux gives (unix(7)).
    pub const UNIXGRAM_MOST: u32 = 100 * 1024;
    /// The most short UDP datagrams that a case sends to a server before the server takes one.
    pub const UDP_WAITING: u32 = 50;
}

impl<T> Tried<T> {
    /// What was seen, if anything.
    #[must_use]
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(seen) => Some(seen),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> Default for Tried<T> {
    /// As in documents of a version that did not try it.
    fn default() -> Self {
        Self::Unknown("it was not tried".into())
    }
}

impl<T, E: Into<Outside>> From<Result<T, E>> for Tried<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(seen) => Self::Seen(seen),
            Err(reason) => Self::Unknown(reason.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_read_back_from_json() {
        let sockets = Sockets {
            accept_queue: Tried::Seen(128),
            accept_at_limit: Tried::Seen(AtLimit::Closed),
            ..Sockets::default()
        };
        let text = serde_json::to_string(&sockets).unwrap();
        assert!(text.contains(r#""accept_queue":{"seen":128}"#), "{text}");
        assert!(text.contains(r#""accept_at_limit":{"seen":"closed"}"#), "{text}");
        assert!(text.contains(r#""sleep_us":{"unknown":"it was not tried"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Sockets>(&text).unwrap(), sockets);
    }
}
