//! What `--listen` asks for.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use crate::{Capability, Transport};

/// Something to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A TCP echo.
    Tcp(SocketAddr),
    /// A TCP echo that costs CPU time for each message.
    Cpu(SocketAddr),
    /// A UDP echo.
    Udp(SocketAddr),
    /// A Unix stream echo.
    Unix(PathBuf),
    /// A Unix datagram echo.
    Unixgram(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let path = |path: &str| match path {
            "" => Err(format!("`{text}` has no path: write unix:/tmp/echo.sock")),
            path => Ok(PathBuf::from(path)),
        };
        match text.split_once(':') {
            Some(("tcp", rest)) => address(rest).map(Listen::Tcp),
            Some(("cpu", rest)) => address(rest).map(Listen::Cpu),
            Some(("udp", rest)) => address(rest).map(Listen::Udp),
            Some(("unix", rest)) => path(rest).map(Listen::Unix),
            Some(("unixgram", rest)) => path(rest).map(Listen::Unixgram),
            Some(_) | None => address(text).map(Listen::Tcp),
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

impl Listen {
    pub(crate) const DEFAULT: &str = "tcp:127.0.0.1:8080";

    /// What it listens on; a cpu: listener is a capability and not a transport.
    pub(crate) const fn transport(&self) -> Option<Transport> {
        match self {
            Listen::Tcp(_) => Some(Transport::Tcp),
            Listen::Cpu(_) => None,
            Listen::Udp(_) => Some(Transport::Udp),
            Listen::Unix(_) => Some(Transport::Unix),
            Listen::Unixgram(_) => Some(Transport::Unixgram),
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

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) | Listen::Cpu(address) | Listen::Udp(address) => {
                write!(f, "{}:{address}", self.kind())
            }
            Listen::Unix(path) | Listen::Unixgram(path) => {
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
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), written);
        }
    }
}
