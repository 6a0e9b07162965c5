//! TCP urgent data: one byte outside the stream, unless the server has asked the kernel to leave it
//! in the stream (`SO_OOBINLINE`, as RFC 6093 advises).

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use harness::wait::Interest;
use report::Failure;

use super::Connection;
use crate::client::harness_failure;

/// The byte that is sent.
const URGENT: u8 = b'!';

/// What became of an urgent byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// It did not come back.
    Dropped,
    /// It came back in its place.
    InLine,
}

/// What became of the bytes behind an urgent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They came back.
    Came,
    /// They came back once more had been sent.
    WaitedForMore,
}

/// How soon they come back where nothing holds them up.
const SOON: Duration = Duration::from_millis(500);

impl Connection {
    /// Sends one byte of TCP urgent data.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn send_urgent(&mut self) -> Result<(), Failure> {
        self.write(|socket| socket.send_out_of_band(&[URGENT])).map(drop)
    }

    /// Receives everything that was sent and has not come back yet. After `before` bytes of it the
    /// urgent byte may come back, too. If nothing comes behind that, one byte more is sent: a read
    /// ends at urgent data, and a server that takes a short read for the last one looks again only
    /// then.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive_around_urgent(&mut self, before: u64) -> Result<(Urgent, Rest), Failure> {
        self.receive(before)?;
        let deadline = self.clock.within(SOON);
        let has_come = self.clock.wait_for(&self.socket, Interest::Read, deadline)?;
        if !has_come {
            self.send(1)?;
            let deadline = self.clock.progress();
            // If nothing comes now, what follows says so.
            self.clock.wait_for(&self.socket, Interest::Read, deadline)?;
        }
        // The stream may have the same byte here, and then it is not known which of them it is.
        let is_other = self.payload.bytes(self.received, 1) != [URGENT];
        let urgent = if is_other && self.peek()? == Some(URGENT) {
            // It is there, so that this neither waits nor fails.
            let _ = (&self.socket).read(&mut [0]);
            Urgent::InLine
        } else {
            Urgent::Dropped
        };
        self.receive_all()?;
        Ok((urgent, if has_come { Rest::Came } else { Rest::WaitedForMore }))
    }

    /// The next byte, which stays where it is.
    fn peek(&self) -> Result<Option<u8>, Failure> {
        let socket = self.socket.try_clone().map_err(|e| harness_failure("clone a socket", &e))?;
        let mut next = [0];
        let has_come = TcpStream::from(socket).peek(&mut next).is_ok_and(|bytes| bytes > 0);
        Ok(has_come.then_some(next[0]))
    }
}
