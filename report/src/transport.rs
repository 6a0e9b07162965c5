//! The kinds of listeners that a client can connect to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::word::UnknownWord;

/// What a server listens on. Every row serves TCP; its registry entry says which of the others it
/// lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP connections.
    Tcp,
    /// UDP: a message is a datagram. A datagram that does not come back is counted and not sent
    /// again.
    Udp,
    /// Connections to a Unix path.
    Unix,
    /// Datagrams to a Unix path.
    Unixgram,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Unix, Self::Unixgram];

    /// Whether this operating system has it, as far as the standard library knows.
    #[must_use]
    pub const fn exists_here(self) -> bool {
        match self {
            Self::Tcp | Self::Udp => true,
            Self::Unix | Self::Unixgram => cfg!(unix),
        }
    }

    /// The word for `--listen`, announcements, the registry and result files.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
            Self::Unixgram => "unixgram",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.kind())
    }
}

impl FromStr for Transport {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|transport| transport.kind() == text);
        found.ok_or_else(|| UnknownWord::new(text, "transport", Self::ALL.map(Self::kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_back_as_text_and_as_json() {
        for transport in Transport::ALL {
            assert_eq!(transport.to_string().parse(), Ok(transport));
            let json = serde_json::to_string(&transport).unwrap();
            assert_eq!(json, format!("\"{transport}\""));
        }
        let sentence = "sctp".parse::<Transport>().unwrap_err().to_string();
        assert_eq!(sentence, "\"sctp\" is no transport: write tcp, udp, unix, unixgram");
    }
}
