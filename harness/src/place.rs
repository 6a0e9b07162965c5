//! Where a client finds a server.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr};

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an IP address and a port.
    Ip(SocketAddr),
    /// At a Unix path.
    Path(PathBuf),
}

impl Place {
    /// As the system takes it. A path that begins with `@` is a name of Linux's that is in no file
    /// system, and has a zero byte in its place (unix(7), abstract sockets).
    ///
    /// # Errors
    /// A path that is longer than an address can be.
    pub fn socket_address(&self) -> io::Result<SockAddr> {
        match self {
            Self::Ip(address) => Ok((*address).into()),
            Self::Path(path) => match path.to_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => SockAddr::unix(Path::new(&format!("\0{name}"))),
                None => SockAddr::unix(path),
            },
        }
    }

    /// The kind of socket that reaches it.
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
