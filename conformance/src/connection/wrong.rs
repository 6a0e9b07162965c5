//! What is wrong with a connection: the name of a wrong byte, of a missing one, of an early end.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};

use super::{Connection, READ_BYTES, Read1};
use crate::payload::RECORD_BYTES;

/// How much is looked at behind a wrong byte before it gets its name.
const TAIL_BYTES: usize = 192 * 1024;
/// How long the stream behind a wrong byte may pause before it gets its name.
const TAIL_PAUSE: Duration = Duration::from_millis(200);

impl Connection {
    /// A failure that says what stands where a right byte should.
    pub(super) fn wrong(&mut self, right: usize, buffer: &[u8]) -> Failure {
        let position = self.received + right as u64;
        let sent = self.sent;
        let mut tail = buffer[right..].to_vec();
        // A few more records show where the stream goes on. After FIN there are none.
        let _ = self.try_send(4 * RECORD_BYTES as u64);
        let mut more = [0; READ_BYTES];
        while tail.len() < TAIL_BYTES && wait(&self.socket, Interest::Read, TAIL_PAUSE) == Ok(true)
        {
            match (&self.socket).read(&mut more) {
                Ok(n) if n > 0 => tail.extend_from_slice(&more[..n]),
                Ok(_) | Err(_) => break,
            }
        }
        let finding = self.payload.classify(position, &tail, sent);
        let expected = if position < sent {
            format!("byte {position} of connection {}", self.number)
        } else {
            format!("nothing after the {sent} bytes of connection {}", self.number)
        };
        Failure::new(finding.kind, expected, finding.found)
    }

    /// Bytes did not come in time. FIN tells a server that holds them back from one that lost
    /// them: after it, the rest comes or the end does.
    pub(crate) fn overdue(&mut self, missing: u64, deadline: &Deadline) -> Failure {
        let timeout = deadline.failure(&format!("{missing} more bytes"));
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return timeout;
        }
        let grace = self.clock.within(Duration::from_secs(1));
        while !grace.is_over() && wait(&self.socket, Interest::Read, grace.left()) == Ok(true) {
            match self.try_receive(READ_BYTES) {
                Ok(Read1::Bytes(_) | Read1::Nothing) => {}
                Ok(Read1::End) if self.received < self.sent => {
                    let expected = format!("{} bytes", self.sent);
                    let actual = format!("{}, and FIN when asked for the rest", self.received);
                    return Failure::new(FailureKind::Lost, expected, actual);
                }
                Ok(Read1::End) => return timeout,
                Err(found) => return found,
            }
        }
        timeout
    }

    /// The server's FIN came before all bytes had: they are lost if ours had been sent, because
    /// then FIN is the server's last word; otherwise it closed on us.
    pub(crate) fn ended_early(&self, goal: u64) -> Failure {
        let kind = if self.has_finished { FailureKind::Lost } else { FailureKind::Closed };
        let actual = format!("its end after {} bytes", self.received);
        Failure::new(kind, format!("{goal} bytes"), actual)
    }

    pub(super) fn closed_while(&self, doing: &str, error: &io::Error) -> Failure {
        let expected = format!("connection {} open while {doing}", self.number);
        let actual = format!("{error} after {} bytes", self.received);
        let is_closed = matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
        );
        let kind = if is_closed { FailureKind::Reset } else { FailureKind::Harness };
        Failure::new(kind, expected, actual)
    }
}
