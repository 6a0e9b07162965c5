//! What the kernel of a host does with sockets, where systems differ. Plain data; `harness::host`
//! tries each property once.

use serde::{Deserialize, Serialize};

use crate::outside::Outside;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// How many clients wait for `accept` at a listener with the contract's backlog.
    pub accept_queue: ProbeResult<u32>,
    pub accept_at_limit: ProbeResult<AcceptAtLimit>,
    /// Whether a connection on loopback is established when connect(2) returns.
    pub established_at_once: ProbeResult<bool>,
    /// Microseconds until a connect is refused where nobody listens, on loopback.
    pub refused_us: ProbeResult<u32>,
    /// Bytes of the longest UDP datagram that comes through default sockets, up to
    /// [`Sockets::UDP_MAX_BYTES`].
    pub udp_longest: ProbeResult<u32>,
    /// How many of [`Sockets::WAITING_DATAGRAMS`] short UDP datagrams wait for a receiver.
    pub udp_waiting: ProbeResult<u32>,
    /// Bytes of the longest Unix datagram that comes through, up to
    /// [`Sockets::UNIXGRAM_MAX_BYTES`].
    pub unixgram_longest: ProbeResult<u32>,
    /// How many of [`Sockets::WAITING_DATAGRAMS`] short Unix datagrams one socket can have sent, to
    /// a receiver each, while none of them is read.
    pub unixgram_unread: ProbeResult<u32>,
    /// What connect(2) returns when the queue of a Unix listener is full, such as `EAGAIN`.
    pub full_unix: ProbeResult<Outside>,
    /// What send(2) returns when the queue of a Unix datagram socket is full.
    pub full_unixgram: ProbeResult<Outside>,
    /// Microseconds that a sleep of 1 ms takes.
    pub sleep_us: ProbeResult<u32>,
    /// Microseconds that a receive with a timeout of 1 ms takes.
    pub timeout_us: ProbeResult<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult<T> {
    Seen(T),
    /// Why nothing was seen.
    Unknown(Outside),
}

/// What becomes of a client whose accept ends with EMFILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptAtLimit {
    /// It stays in the queue.
    Waits,
    /// The kernel closes it.
    Closed,
}

impl Sockets {
    /// The contract's backlog, which the trial of the accept queue asks for.
    pub const BACKLOG: u32 = 1024;
    /// The longest UDP payload over IPv4: 65,535 bytes minus the headers of UDP and IPv4 (RFC 768,
    /// RFC 791).
    pub const UDP_MAX_BYTES: u32 = 65_507;
    /// The longest Unix datagram that a case sends. It is longer than any UDP datagram, and shorter
    /// than the send buffer that Linux gives (unix(7)).
    pub const UNIXGRAM_MAX_BYTES: u32 = 100 * 1024;
    /// The most short datagrams that a case sends to a server before it receives a reply.
    pub const WAITING_DATAGRAMS: u32 = 50;
}

impl<T> ProbeResult<T> {
    #[must_use]
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(seen) => Some(seen),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> Default for ProbeResult<T> {
    /// For documents of a version that did not try it.
    fn default() -> Self {
        Self::Unknown("it was not tried".into())
    }
}

impl<T, E: Into<Outside>> From<Result<T, E>> for ProbeResult<T> {
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
            accept_queue: ProbeResult::Seen(128),
            accept_at_limit: ProbeResult::Seen(AcceptAtLimit::Closed),
            ..Sockets::default()
        };
        let text = serde_json::to_string(&sockets).unwrap();
        assert!(text.contains(r#""accept_queue":{"seen":128}"#), "{text}");
        assert!(text.contains(r#""accept_at_limit":{"seen":"closed"}"#), "{text}");
        assert!(text.contains(r#""sleep_us":{"unknown":"it was not tried"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Sockets>(&text).unwrap(), sockets);
    }
}
