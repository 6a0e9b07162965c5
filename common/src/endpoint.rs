//! The values of `--listen`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Capability, Transport};

/// A place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A TCP echo.
    Tcp(SocketAddr),
    /// A TCP echo that spends CPU time on each message.
    Cpu(SocketAddr),
    /// A UDP echo.
    Udp(SocketAddr),
    /// A Unix stream echo.
    Unix(PathBuf),
    /// A Unix datagram echo.
    Unixgram(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = |path: &str| match path {
            "" => Err(format!("`{text}` has no path: write unix:/tmp/echo.sock")),
            path => Ok(PathBuf::from(path)),
        };
        match text.split_once(':') {
            Some(("tcp", rest)) => address(rest).map(Endpoint::Tcp),
            Some(("cpu", rest)) => address(rest).map(Endpoint::Cpu),
            Some(("udp", rest)) => address(rest).map(Endpoint::Udp),
            Some(("unix", rest)) => path(rest).map(Endpoint::Unix),
            Some(("unixgram", rest)) => path(rest).map(Endpoint::Unixgram),
            Some(_) | None => address(text).map(Endpoint::Tcp),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not an IP address and a port: write 127.0.0.1:8080, or [::1]:0 for any \
             free port, after tcp:, cpu: or udp: or alone"
        )
    })
}

impl Endpoint {
    pub(crate) const DEFAULT: &str = "tcp:127.0.0.1:8080";

    /// Its transport. A `cpu:` listener is a capability, not a transport.
    pub(crate) const fn transport(&self) -> Option<Transport> {
        match self {
            Self::Tcp(_) => Some(Transport::Tcp),
            Self::Cpu(_) => None,
            Self::Udp(_) => Some(Transport::Udp),
            Self::Unix(_) => Some(Transport::Unix),
            Self::Unixgram(_) => Some(Transport::Unixgram),
        }
    }

    /// Its kind, as in announcements.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.transport() {
            Some(transport) => transport.name(),
            None => Capability::Cpu.name(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Cpu(address) | Self::Udp(address) => {
                write!(f, "{}:{address}", self.kind())
            }
            Self::Unix(path) | Self::Unixgram(path) => {
                write!(f, "{}:{}", self.kind(), path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_kind_and_an_address() {
        for (text, written) in [
            ("127.0.0.1:0", "tcp:127.0.0.1:0"),
            ("[::1]:9", "tcp:[::1]:9"),
            ("tcp:[::1]:9", "tcp:[::1]:9"),
            ("cpu:127.0.0.1:0", "cpu:127.0.0.1:0"),
            ("udp:[::1]:0", "udp:[::1]:0"),
            ("unix:/tmp/a b", "unix:/tmp/a b"),
            ("unixgram:/x", "unixgram:/x"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), written);
        }
    }
}
