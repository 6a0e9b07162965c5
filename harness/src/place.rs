//! Addresses of servers: where clients connect, and over which transport.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use report::Transport;
use socket2::{Domain, SockAddr};

use crate::error::Error;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Path(PathBuf),
}

impl Place {
    /// The address in the form that the system takes. A path that begins with `@` is a Linux
    /// abstract socket, which is in no file system: a zero byte replaces the `@` (unix(7)).
    ///
    /// # Errors
    /// The path is longer than a socket address can be.
    pub fn socket_address(&self) -> io::Result<SockAddr> {
        match self {
            Self::Ip(address) => Ok((*address).into()),
            Self::Path(path) => match path.to_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => SockAddr::unix(Path::new(&format!("\0{name}"))),
                None => SockAddr::unix(path),
            },
        }
    }

    /// The address family of sockets that reach it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Ip(address) => Domain::for_address(*address),
            Self::Path(_) => Domain::UNIX,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// A listener: the address of a server, and the transport that clients use there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub transport: Transport,
    pub place: Place,
}

impl Endpoint {
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, place: Place::Ip(address) }
    }

    /// Whether its clients are on this host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.place {
            Place::Ip(address) => address.ip().is_loopback(),
            Place::Path(_) => true,
        }
    }
}

/// Parses what a user types: `IP:PORT`, `HOST:PORT` or a path, after `KIND:`. Only `tcp:` can be
/// left out.
impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let kind = text.split_once(':').and_then(|(kind, rest)| Some((kind.parse().ok()?, rest)));
        let (transport, rest) = kind.unwrap_or((Transport::Tcp, text));
        let place = match transport {
            Transport::Tcp | Transport::Udp => Place::Ip(resolve(rest)?),
            Transport::Unix | Transport::Unixgram => Place::Path(rest.into()),
        };
        Ok(Self { transport, place })
    }
}

fn resolve(text: &str) -> Result<SocketAddr, Error> {
    if let Ok(address) = SocketAddr::from_str(text) {
        return Ok(address);
    }
    let hint = "write IP:PORT such as 127.0.0.1:8080, udp:IP:PORT, unix:/PATH, or unixgram:/PATH";
    if !text.contains(':') {
        return Err(Error::Address(format!("'{text}' has no port; {hint}").into()));
    }
    let none = |why: &str| Error::Address(format!("'{text}' is no address{why}; {hint}").into());
    let mut found = text.to_socket_addrs().map_err(|error| none(&format!(": {error}")))?;
    found.next().ok_or_else(|| none(""))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp => self.place.fmt(f),
            Transport::Udp | Transport::Unix | Transport::Unixgram => {
                write!(f, "{}:{}", self.transport, self.place)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_as_it_is_shown() {
        for text in ["127.0.0.1:80", "udp:[::1]:80", "unix:/tmp/x", "unixgram:/tmp/y"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let tcp: Endpoint = "tcp:127.0.0.1:80".parse().unwrap();
        assert_eq!(tcp, Endpoint::tcp("127.0.0.1:80".parse().unwrap()));
        let said = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(said("127.0.0.1").contains("has no port"));
        assert!(said("udp:9000").contains("has no port"));
        assert!("10.0.0.1:1".parse().is_ok_and(|far: Endpoint| !far.is_local()));
    }
}
