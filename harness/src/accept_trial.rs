//! Tries to accept a client without a free descriptor, and reports in the exit status whether the
//! client stays in the accept queue. The host's probe runs this in a child process.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::Socket;

use crate::wait::{Interest, wait};

/// The first argument that makes this program run the trial.
pub(crate) const ACCEPT_AT_LIMIT: &str = "accept-at-limit";
/// Exit status: the client was still in the accept queue.
pub(crate) const CLIENT_WAITS: i32 = 12;
/// Exit status: the client was no longer in the accept queue.
pub(crate) const CLIENT_CLOSED: i32 = 13;

/// How long the client may take to arrive.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends this process with [`CLIENT_WAITS`] or [`CLIENT_CLOSED`].
///
/// # Errors
/// The trial could not be made.
pub(crate) fn accept_at_limit() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let _client = TcpStream::connect_timeout(&address, PATIENCE)?;
    let listener = Socket::from(listener);
    if !has_client(&listener, PATIENCE)? {
        return Err(io::Error::other("a client that has connected cannot be accepted"));
    }
    listener.set_nonblocking(true)?;
    let usual = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: usual.maximum })?;
    let at_limit = listener.accept();
    setrlimit(Resource::Nofile, usual)?;
    match at_limit {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::MFILE) => {}
        Err(e) => return Err(e),
        Ok(_) => return Err(io::Error::other("accept heeds no limit on descriptors")),
    }
    let waits = has_client(&listener, Duration::ZERO)? && listener.accept().is_ok();
    std::process::exit(if waits { CLIENT_WAITS } else { CLIENT_CLOSED })
}

fn has_client(listener: &Socket, time: Duration) -> io::Result<bool> {
    wait(listener, Interest::Read, time).map_err(|_| io::Error::other("poll failed"))
}
