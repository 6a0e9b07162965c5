//! One write call that is larger than every buffer on its way: only a blocking socket takes it
//! whole, so this is the one place where a connection blocks, with a thread to write.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};

use super::{Connection, Read1, harness};

impl Connection {
    /// Sends `length` bytes with a single call and receives them while it runs.
    ///
    /// # Errors
    /// A payload failure, `timeout` without progress, `closed` or `reset`.
    pub fn exchange_in_one_write(&mut self, length: usize) -> Result<(), Failure> {
        let bytes = self.payload.bytes(self.sent, length);
        let writer = self.socket.try_clone().map_err(|e| harness("clone a socket", &e))?;
        let limit = self.clock.cell_end().left();
        self.block_for(Some(limit)).map_err(|e| harness("make a socket block", &e))?;
        self.sent += length as u64;
        let (received, written) = thread::scope(|scope| {
            let call = scope.spawn(|| (&writer).write(&bytes));
            let received = self.receive_while_blocking();
            if received.is_err() {
                // Ends the call, which may wait for a server that takes no more. It fails on a
                // connection that is already gone, and then the call has ended too.
                let _ = self.socket.shutdown(Shutdown::Both);
            }
            (received, call.join())
        });
        received?;
        self.block_for(None).map_err(|e| harness("make a socket non-blocking", &e))?;
        match written {
            Ok(Ok(n)) if n == length => Ok(()),
            Ok(Ok(n)) => {
                let expected = format!("one call to write {length} bytes");
                Err(Failure::new(FailureKind::Harness, expected, format!("{n}")))
            }
            Ok(Err(e)) => Err(self.closed_while("sending", &e)),
            Err(_) => Err(Failure::new(FailureKind::Harness, "a writing thread", "its panic")),
        }
    }

    /// Receives all that is outstanding. Each read follows a poll, so that it does not block.
    fn receive_while_blocking(&mut self) -> Result<(), Failure> {
        let mut deadline = self.clock.progress();
        let mut buffer = vec![0; 64 * 1024];
        while self.received < self.sent {
            if !self.clock.waiting(|| wait(&self.socket, Interest::Read, deadline.left()))? {
                let missing = self.sent - self.received;
                return Err(deadline.failure(&format!("{missing} more bytes")));
            }
            match self.try_receive_into(&mut buffer)? {
                Read1::Bytes(n) => self.clock.put_off(&mut deadline, n),
                Read1::Nothing => {}
                Read1::End => {
                    let actual = format!("its end after {} bytes", self.received);
                    let expected = format!("{} bytes", self.sent);
                    return Err(Failure::new(FailureKind::Closed, expected, actual));
                }
            }
        }
        Ok(())
    }

    /// Makes this socket and its clones, which share the mode, block for at most `limit`; or not
    /// at all without one.
    fn block_for(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(limit)?;
        self.socket.set_read_timeout(limit)?;
        self.socket.set_nonblocking(limit.is_none())
    }
}
