//! TCP urgent data: one byte outside the stream, unless the server has told the kernel to leave it
//! in the stream (`SO_OOBINLINE`, as RFC 6093 advises).

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use harness::wait::Interest;
use report::Failure;

use super::Connection;
use crate::client::harness_failure;

/// The urgent byte.
const URGENT: u8 = b'!';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// It did not come back.
    Dropped,
    /// It came back in its place in the stream.
    InLine,
}

/// What became of the bytes after the urgent byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They came back.
    Echoed,
    /// They came back only after one more byte had been sent.
    EchoedAfterMore,
}

/// How soon they come back if nothing delays them.
const ECHO_LIMIT: Duration = Duration::from_millis(500);

impl Connection {
    /// Sends one byte of TCP urgent data.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn send_urgent(&mut self) -> Result<(), Failure> {
        self.write(|socket| socket.send_out_of_band(&[URGENT])).map(drop)
    }

    /// Receives everything that was sent and has not come back yet. The urgent byte may come back
    /// after the first `before` bytes. A read stops at urgent data, and a server may take a short
    /// read to mean that the socket is empty. Such a server reads again only when more bytes
    /// arrive, so if nothing follows the first `before` bytes, this function sends one more byte.
    ///
    /// # Errors
    /// Those of [`Connection::receive`].
    pub fn receive_around_urgent(&mut self, before: u64) -> Result<(Urgent, Rest), Failure> {
        self.receive(before)?;
        let deadline = self.clock.deadline_after(ECHO_LIMIT);
        let has_come = self.clock.wait_for(&self.socket, Interest::Read, deadline)?;
        if !has_come {
            self.send(1)?;
            let deadline = self.clock.progress_deadline();
            // If nothing arrives now, the reads below report it.
            self.clock.wait_for(&self.socket, Interest::Read, deadline)?;
        }
        // If the next byte of the stream has the same value, the two cannot be told apart.
        let is_other = self.payload.bytes(self.received, 1) != [URGENT];
        let urgent = if is_other && self.peek()? == Some(URGENT) {
            // The byte is there, so this read neither waits nor fails.
            let _ = (&self.socket).read(&mut [0]);
            Urgent::InLine
        } else {
            Urgent::Dropped
        };
        self.receive_all()?;
        Ok((urgent, if has_come { Rest::Echoed } else { Rest::EchoedAfterMore }))
    }

    /// The next byte, without taking it.
    fn peek(&self) -> Result<Option<u8>, Failure> {
        let socket = self.socket.try_clone().map_err(|e| harness_failure("clone a socket", &e))?;
        let mut next = [0];
        let has_come = TcpStream::from(socket).peek(&mut next).is_ok_and(|bytes| bytes > 0);
        Ok(has_come.then_some(next[0]))
    }
}
