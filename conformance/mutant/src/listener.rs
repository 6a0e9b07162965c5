//! Binding: the sockets that the server listens on, before the loop knows them.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::capability::Work;
use crate::fault::Fault;
use crate::log;
use crate::options::Options;

/// Connections that may wait in the accept queue.
const BACKLOG: i32 = 1024;

/// A bound socket and its real address.
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) address: SocketAddr,
    /// What each message costs that comes in here.
    pub(crate) work: Option<Work>,
}

/// Binds every address and listens on it; an error names the address.
pub(crate) fn open(options: &Options) -> io::Result<Vec<Bound>> {
    options.addresses().map(|(address, work)| open_one(options, address, work)).collect()
}

fn open_one(options: &Options, address: SocketAddr, work: Option<Work>) -> io::Result<Bound> {
    let named = |error| io::Error::other(format!("cannot listen on tcp:{address}: {error}"));
    if !address.ip().is_loopback() {
        log::line(format_args!("warning: {address} is reachable from beyond this machine"));
    }
    let bound = bind(options, address, work).map_err(named)?;
    // The fault listens only after it has announced itself: `start::after_announcing`.
    if options.fault != Some(Fault::AnnouncesBeforeListening) {
        bound.listen().map_err(named)?;
    }
    Ok(bound)
}

fn bind(options: &Options, address: SocketAddr, work: Option<Work>) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    set_reuse(&socket, options.fault)?;
    if options.fault == Some(Fault::OddSmallBuffers) {
        // Set here, they hold from the first window on: later, a client that has seen a larger one
        // waits until half of that is open (RFC 9293, section 3.8.6.2.1).
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(4096)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    socket.set_nonblocking(true)?;
    Ok(Bound { socket, address, work })
}

/// On Windows the option lets a second server bind beside a live one (actix-web#1335), and a port
/// is free at once without it.
#[cfg(unix)]
fn set_reuse(socket: &Socket, fault: Option<Fault>) -> io::Result<()> {
    if fault == Some(Fault::ReusePort) {
        socket.set_reuse_port(true)?;
    }
    socket.set_reuse_address(fault != Some(Fault::NoReuseAddress))
}

#[cfg(not(unix))]
fn set_reuse(socket: &Socket, fault: Option<Fault>) -> io::Result<()> {
    socket.set_reuse_address(fault == Some(Fault::ReusePort))
}

impl Bound {
    /// Lets the kernel queue connections.
    pub(crate) fn listen(&self) -> io::Result<()> {
        self.socket.listen(BACKLOG)
    }
}
