//! Descriptors that a client passes with its bytes over a Unix socket (unix(7), `SCM_RIGHTS`).

use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

use harness::wait::Interest;
use report::{Failure, FailureKind};
use socket2::{SockAddr, SockRef, Socket};

use crate::client::harness_failure;
use crate::clock::CellClock;

/// The end of a socket pair that the judge keeps. It reads the end of the stream once no process
/// has the other end open.
#[derive(Debug)]
pub struct KeptEnd(Socket);

/// The end of the pair that is passed to the server.
#[derive(Debug)]
pub struct PassedEnd(Socket);

/// How many copies of the descriptor one message passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies(pub usize);

/// How soon a server must close descriptors that were passed to it.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Opens a socket pair.
///
/// # Errors
/// `harness` when the host has no socket pairs.
pub fn open_pair() -> Result<(KeptEnd, PassedEnd), Failure> {
    #[cfg(unix)]
    let pair = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    #[cfg(not(unix))]
    let pair: io::Result<(Socket, Socket)> = Err(ErrorKind::Unsupported.into());
    let (kept, passed) = pair.map_err(|e| harness_failure("open a pair of sockets", &e))?;
    kept.set_nonblocking(true).map_err(|e| harness_failure("set up a socket", &e))?;
    Ok((KeptEnd(kept), PassedEnd(passed)))
}

impl KeptEnd {
    /// Expects that no process has the other end open within a second.
    ///
    /// # Errors
    /// `descriptors` when a process still has it open.
    pub fn expect_peer_closed(&self, clock: &CellClock) -> Result<(), Failure> {
        let deadline = clock.deadline_after(CLOSE_LIMIT);
        while clock.wait_for(&self.0, Interest::Read, deadline)? {
            match (&self.0).read(&mut [0]) {
                Ok(0) => {
                    let what = "a passed descriptor closed";
                    return clock.judge_time(what, deadline.elapsed(), CLOSE_LIMIT);
                }
                // A server may write to the descriptor, but must still close it.
                Ok(_) => {}
                Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => {}
                Err(e) => return Err(harness_failure("read from a socket", &e)),
            }
        }
        let expected = format!("a passed descriptor closed within {CLOSE_LIMIT:?}");
        Err(Failure::new(FailureKind::Descriptors, expected, "it is open still"))
    }
}

impl PassedEnd {
    /// Sends `bytes` with copies of the descriptor on a connected socket, then closes the judge's
    /// own.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub(crate) fn send_on_stream(
        self,
        socket: &Socket,
        bytes: &[u8],
        copies: Copies,
    ) -> io::Result<usize> {
        send(&self.0, socket, None, bytes, copies)
    }

    /// Sends a datagram with copies of the descriptor to `address`, then closes the judge's own.
    ///
    /// # Errors
    /// Those of sendmsg(2).
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
