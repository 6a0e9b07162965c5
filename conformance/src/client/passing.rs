//! Descriptors that a client passes with its bytes over a Unix socket (unix(7), `SCM_RIGHTS`).

use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

use harness::wait::Interest;
use report::{Failure, FailureKind};
use socket2::{SockAddr, SockRef, Socket};

use crate::client::harness_failure;
use crate::clock::CellClock;

/// One end of a pair of sockets, of which the other end is passed to a server. It sees the end of
/// the stream once nobody has that other end any more.
#[derive(Debug)]
pub struct Kept(Socket);

/// The other end, until it is passed.
#[derive(Debug)]
pub struct Passed(Socket);

/// How many times the other end is passed with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies(pub usize);

/// How soon a server must have closed what was passed to it.
const CLOSED: Duration = Duration::from_secs(1);

/// A pair of sockets.
///
/// # Errors
/// `harness` when this host has none.
pub fn pair() -> Result<(Kept, Passed), Failure> {
    #[cfg(unix)]
    let pair = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    #[cfg(not(unix))]
    let pair: io::Result<(Socket, Socket)> = Err(ErrorKind::Unsupported.into());
    let (kept, passed) = pair.map_err(|e| harness_failure("open a pair of sockets", &e))?;
    kept.set_nonblocking(true).map_err(|e| harness_failure("set up a socket", &e))?;
    Ok((Kept(kept), Passed(passed)))
}

impl Kept {
    /// Nobody has the other end any more, within a second.
    ///
    /// # Errors
    /// `descriptors` when somebody still has it.
    pub fn expect_alone(&self, clock: &CellClock) -> Result<(), Failure> {
        let deadline = clock.within(CLOSED);
        while clock.wait_for(&self.0, Interest::Read, deadline)? {
            match (&self.0).read(&mut [0]) {
                Ok(0) => {
                    let what = "a passed descriptor closed";
                    return clock.judge_time(what, deadline.elapsed(), CLOSED);
                }
                // A server may have used it, and closes it all the same.
                Ok(_) => {}
                Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => {}
                Err(e) => return Err(harness_failure("read from a socket", &e)),
            }
        }
        let expected = format!("a passed descriptor closed within {CLOSED:?}");
        Err(Failure::new(FailureKind::Descriptors, expected, "it is open still"))
    }
}

impl Passed {
    /// Sends bytes with so many copies of it on a connected socket, and closes it here.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub(crate) fn send_with(
        self,
        socket: &Socket,
        bytes: &[u8],
        copies: Copies,
    ) -> io::Result<usize> {
        send(&self.0, socket, None, bytes, copies)
    }

    /// The same in a datagram to this address.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub(crate) fn send_to(
        self,
        socket: SockRef<'_>,
        address: &SockAddr,
        bytes: &[u8],
        copies: Copies,
    ) -> io::Result<usize> {
        send(&self.0, &socket, Some(address), bytes, copies)
    }
}

#[cfg(unix)]
fn send(
    passed: &Socket,
    socket: &Socket,
    address: Option<&SockAddr>,
    bytes: &[u8],
    Copies(copies): Copies,
) -> io::Result<usize> {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd as _;

    use rustix::net::{
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg, sendmsg_addr,
    };

    let descriptors = vec![passed.as_fd(); copies];
    let rights = SendAncillaryMessage::ScmRights(&descriptors);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(rights);
    let pieces = [IoSlice::new(bytes)];
    let sent = match address.and_then(SockAddr::as_pathname) {
        None => sendmsg(socket, &pieces, &mut ancillary, SendFlags::empty())?,
        Some(path) => {
            let address = SocketAddrUnix::new(path)?;
            sendmsg_addr(socket, &address, &pieces, &mut ancillary, SendFlags::empty())?
        }
    };
    Ok(sent)
}

#[cfg(not(unix))]
fn send(_: &Socket, _: &Socket, _: Option<&SockAddr>, _: &[u8], _: Copies) -> io::Result<usize> {
    Err(ErrorKind::Unsupported.into())
}
