//! Binds the sockets that the server listens on, before the loop takes them over.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[cfg(unix)]
use mio::net::UnixListener;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::capability::Work;
use crate::connection::Over;
use crate::log;
use crate::options::{Endpoint, Options};
use crate::process::{Ip, Port, ProcessHooks};

/// A bound socket and its actual address.
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) endpoint: Endpoint,
    pub(crate) work: Option<Work>,
}

/// Binds every endpoint and listens on it. An error names the endpoint.
pub(crate) fn open(options: &Options) -> io::Result<Vec<Bound>> {
    options.endpoints().map(|(endpoint, work)| open_one(options, endpoint, work)).collect()
}

fn open_one(options: &Options, endpoint: &Endpoint, work: Option<Work>) -> io::Result<Bound> {
    let named = |error| io::Error::other(format!("cannot listen on {endpoint}: {error}"));
    if endpoint.address().is_some_and(|address| !address.ip().is_loopback()) {
        log::line(format_args!("warning: {endpoint} is reachable from beyond this machine"));
    }
    let bound = bind(options, endpoint, work).map_err(named)?;
    if options.faults().process().listens_first() {
        bound.listen(options.faults().process()).map_err(named)?;
    }
    Ok(bound)
}

fn bind(options: &Options, endpoint: &Endpoint, work: Option<Work>) -> io::Result<Bound> {
    let process = options.faults().process();
    let socket = match endpoint {
        Endpoint::Tcp(address) | Endpoint::Cpu(address) => {
            bind_tcp(options, process.binds(*address, Ip::Tcp))?
        }
        Endpoint::Udp(address) => {
            let address = process.binds(*address, Ip::Udp);
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            bind_ip(options, &socket, address)?;
            socket
        }
        Endpoint::Unix(path) => bind_path(options, path, Type::STREAM)?,
        Endpoint::Unixgram(path) => bind_path(options, path, Type::DGRAM)?,
        Endpoint::NotOffered(_) => return Err(ErrorKind::Unsupported.into()),
    };
    process.bound_one(&socket)?;
    socket.set_nonblocking(true)?;
    let port = socket.local_addr()?.as_socket().map(|address| address.port());
    let with_port = |asked: &SocketAddr, port| SocketAddr::new(asked.ip(), port);
    let endpoint = match (endpoint, port) {
        (Endpoint::Tcp(asked), Some(port)) => Endpoint::Tcp(with_port(asked, port)),
        (Endpoint::Cpu(asked), Some(port)) => Endpoint::Cpu(with_port(asked, port)),
        (Endpoint::Udp(asked), Some(port)) => Endpoint::Udp(with_port(asked, port)),
        (asked, _) => asked.clone(),
    };
    Ok(Bound { socket, endpoint, work })
}

fn bind_tcp(options: &Options, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows, this option would let a second server bind the port of a live one
    // (actix-web#1335), and a port is free at once without it.
    socket.set_reuse_address(cfg!(unix))?;
    options.faults().process().prepare(&socket)?;
    bind_ip(options, &socket, address)?;
    Ok(socket)
}

fn bind_ip(options: &Options, socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        let takes_both = options.faults().process().takes_both_families(options.dual_stack);
        socket.set_only_v6(!takes_both)?;
    }
    socket.bind(&address.into())
}

/// Binds a path. Takes it over from a dead server, but not from a live one.
fn bind_path(options: &Options, path: &Path, kind: Type) -> io::Result<Socket> {
    let process = options.faults().process();
    let name = path.to_str().and_then(|path| path.strip_prefix('@'));
    if let Some(name) = name {
        if !process.has_abstract_names() {
            return Err(ErrorKind::Unsupported.into());
        }
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
        return Ok(socket);
    }
    let address = SockAddr::unix(path).inspect_err(|_| process.path_refused())?;
    let is_left = || {
        let client = Socket::new(Domain::UNIX, kind, None)?;
        let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
        Ok(client.connect(&address).is_err_and(refused) && !path.is_file())
    };
    if process.clears(path, &is_left)? {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.bind(&address)?;
    Ok(socket)
}

/// The ports that were asked for, and those that were bound.
pub(crate) fn ports(options: &Options, listeners: &[Bound]) -> Vec<Port> {
    let port = |endpoint: &Endpoint| endpoint.address().map(|address| address.port());
    let pairs = options.endpoints().zip(listeners);
    pairs
        .filter_map(|((asked, _), bound)| {
            Some(Port { asked: port(asked)?, bound: port(&bound.endpoint)? })
        })
        .collect()
}

impl Bound {
    /// Lets the kernel queue connections. Does nothing for datagram sockets.
    pub(crate) fn listen(&self, process: &dyn ProcessHooks) -> io::Result<()> {
        match &self.endpoint {
            Endpoint::Tcp(address) | Endpoint::Cpu(address) => {
                let over = if address.is_ipv6() { Over::Ipv6 } else { Over::Ipv4 };
                self.socket.listen(process.backlog(over))
            }
            Endpoint::Unix(_) => self.socket.listen(process.backlog(Over::Unix)),
            Endpoint::Udp(_) | Endpoint::Unixgram(_) | Endpoint::NotOffered(_) => Ok(()),
        }
    }

    /// The Unix path that the server has to remove when it ends.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match &self.endpoint {
            Endpoint::Unix(path) | Endpoint::Unixgram(path) => Some(path.clone()),
            Endpoint::Tcp(_) | Endpoint::Cpu(_) | Endpoint::Udp(_) | Endpoint::NotOffered(_) => {
                None
            }
        }
    }
}

/// A bound path, and the file that it had when it was bound.
pub(crate) struct Name {
    path: PathBuf,
    file: Option<File>,
}

/// What tells a file from a later one at the same path.
#[derive(Eq, PartialEq)]
struct File {
    number: u64,
    /// A file system may give the inode number of a removed file to the next file.
    made: Option<SystemTime>,
}

impl Name {
    pub(crate) fn new(path: PathBuf) -> Self {
        let file = File::at(&path);
        Self { path, file }
    }

    /// Removes the path, unless another server has bound it since. An abstract address has no file
    /// to remove.
    pub(crate) fn leave(&self, process: &dyn ProcessHooks) {
        if process.removes_path(File::at(&self.path) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl File {
    #[cfg(unix)]
    fn at(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let found = std::fs::symlink_metadata(path).ok()?;
        Some(Self { number: found.ino(), made: found.modified().ok() })
    }

    #[cfg(not(unix))]
    fn at(_: &Path) -> Option<Self> {
        None
    }
}

/// A socket that clients connect to.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            #[cfg(unix)]
            Self::Unix(listener) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// Accepts a client, and says over which transport. Reading, writing and shutting down are the
    /// same system calls for every stream socket, so a `TcpStream` can hold a Unix connection, too.
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, Over)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept()?;
                // This fails if the connection was reset in the accept queue. The read will report
                // it.
                let _ = stream.set_nodelay(true);
                Ok((stream, if from.is_ipv6() { Over::Ipv6 } else { Over::Ipv4 }))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((TcpStream::from(OwnedFd::from(stream)), Over::Unix))
            }
        }
    }
}

/// Whether the error concerns a single connection that died in the accept queue, so that the next
/// `accept` can succeed. macOS reports EINVAL, and the BSDs report ECONNABORTED.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
        ErrorKind::Interrupted,
        ErrorKind::InvalidInput,
    ];
    kinds.contains(&error.kind())
}
