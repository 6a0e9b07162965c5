//! A plain client of an echo server, for code that does not judge: `trace`, and the attestation of
//! `bench`. The suites have conformance's `Connection`, and measurements have loadgen.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use harness::deadline::Deadline;
use report::{Failure, FailureKind};

/// What a failure names as expected, when a message was sent or received.
const ECHO: &str = "the echo of a message";

pub(crate) struct EchoClient {
    stream: TcpStream,
    /// Distinguishes the messages of this connection from those of others.
    number: u32,
    sent: u32,
    received: u32,
}

impl EchoClient {
    /// Connects. Each connection to a server needs a different `number`.
    pub(crate) fn connect(
        address: SocketAddr,
        number: u32,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let expected = "a connection";
        let connected = TcpStream::connect_timeout(&address, time_left(deadline, expected)?);
        let stream = connected.map_err(|e| {
            if e.kind() == ErrorKind::TimedOut {
                return deadline.failure(expected);
            }
            let is_refused =
                matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset);
            let kind = if is_refused { FailureKind::Refused } else { FailureKind::Harness };
            Failure::new(kind, expected, e.to_string())
        })?;
        stream.set_nodelay(true).map_err(|e| broken(&e))?;
        Ok(Self { stream, number, sent: 0, received: 0 })
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr, Failure> {
        self.stream.local_addr().map_err(|e| broken(&e))
    }

    /// Sends the next message, of `bytes` bytes.
    pub(crate) fn send(&mut self, bytes: usize, deadline: Deadline) -> Result<(), Failure> {
        let message = message(self.number, self.sent, bytes);
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            let left = time_left(deadline, ECHO)?;
            self.stream.set_write_timeout(Some(left)).map_err(|e| broken(&e))?;
            match self.stream.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(e) if is_again(&e) => {}
                Err(e) => return Err(broken(&e)),
            }
        }
        self.sent += 1;
        Ok(())
    }

    /// Receives and compares the echo of the oldest message that has none yet.
    pub(crate) fn receive(&mut self, bytes: usize, deadline: Deadline) -> Result<(), Failure> {
        let mut echo = vec![0; bytes];
        let mut filled = 0;
        while filled < bytes {
            let left = time_left(deadline, ECHO)?;
            self.stream.set_read_timeout(Some(left)).map_err(|e| broken(&e))?;
            match self.stream.read(&mut echo[filled..]) {
                Ok(0) => {
                    let actual = format!("its end after {filled} of {bytes} bytes");
                    return Err(Failure::new(FailureKind::Closed, ECHO, actual));
                }
                Ok(read) => filled += read,
                Err(e) if is_again(&e) => {}
                Err(e) => return Err(broken(&e)),
            }
        }
        if echo != message(self.number, self.received, bytes) {
            return Err(Failure::new(FailureKind::Altered, ECHO, "other bytes"));
        }
        self.received += 1;
        Ok(())
    }
}

/// The bytes of a message: the numbers of the connection and of the message, repeated.
fn message(connection: u32, number: u32, bytes: usize) -> Vec<u8> {
    let name = [connection.to_le_bytes(), number.to_le_bytes()].concat();
    name.into_iter().cycle().take(bytes).collect()
}

/// The time that is left. It is never zero, because a socket refuses a timeout of zero.
fn time_left(deadline: Deadline, expected: &'static str) -> Result<Duration, Failure> {
    let left = deadline.left();
    if left.is_zero() { Err(deadline.failure(expected)) } else { Ok(left) }
}

fn is_again(error: &io::Error) -> bool {
    // A timeout is WouldBlock on Unix and TimedOut on Windows.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn broken(error: &io::Error) -> Failure {
    let is_ended = matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    );
    let kind = if is_ended { FailureKind::Reset } else { FailureKind::Harness };
    Failure::new(kind, ECHO, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const BYTES: usize = 9;
    /// Long enough for a busy host.
    const AMPLE: Duration = Duration::from_secs(20);

    /// Sends two messages to a server that changes each echo with `answer`, and returns what the
    /// client finds.
    fn outcome(answer: fn(&mut Vec<u8>), limit: Duration) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; BYTES];
            while stream.read_exact(&mut bytes).is_ok() {
                let mut echo = bytes.clone();
                answer(&mut echo);
                if stream.write_all(&echo).is_err() || echo.is_empty() {
                    break;
                }
            }
        });
        let deadline = || Deadline::after(limit);
        let mut client = EchoClient::connect(address, 7, Deadline::after(AMPLE))?;
        let found = (0..2).try_for_each(|_| {
            client.send(BYTES, deadline())?;
            client.receive(BYTES, deadline())
        });
        drop(client);
        server.join().unwrap();
        found
    }

    #[test]
    fn an_echo_is_the_message_in_time() {
        assert_eq!(outcome(|_| {}, AMPLE), Ok(()));
        let kind = |answer| outcome(answer, AMPLE).unwrap_err().kind;
        assert_eq!(kind(|echo| echo[BYTES - 1] ^= 1), FailureKind::Altered);
        assert_eq!(kind(Vec::clear), FailureKind::Closed);
        let late = outcome(|echo| echo.truncate(BYTES - 1), Duration::from_millis(500));
        assert_eq!(late.unwrap_err().kind, FailureKind::Timeout);
    }

    #[test]
    fn messages_differ_by_connection_and_number() {
        assert_ne!(message(0, 1, 5), message(0, 0, 5));
        assert_ne!(message(1, 0, 5), message(0, 0, 5));
        assert_eq!(message(1, 2, BYTES), [1, 0, 0, 0, 2, 0, 0, 0, 1]);
    }
}
