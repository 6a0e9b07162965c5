//! One connection: which of its messages are sent and which have come back, to the byte.

use std::collections::VecDeque;
use std::io;

use report::load::ErrorKind;

use crate::payload::{Message, Payload, STAMP_BYTES};
use crate::socket::Socket;

mod datagrams;

/// In the place of the time of sending: this datagram has come, before one that was sent earlier.
const CAME: u64 = u64::MAX;
/// In the place of the time of sending: no byte of it has been sent yet.
const UNSENT: u64 = u64::MAX - 1;

/// The client's end of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u32,
    pub(crate) state: State,
    /// Messages that were given to it so far; with the next, this one's counter.
    admitted: u64,
    /// The first byte that the kernel has not taken yet.
    sending: Position,
    /// The first byte that has not come back yet.
    receiving: Position,
    /// Of each message from `receiving` to `admitted`.
    in_flight: VecDeque<Stamps>,
    /// Those of them that have not come: datagrams may overtake each other.
    outstanding: usize,
    lost: Vec<u64>,
    pub(crate) due: Due,
}

/// Where a connection is in its life.
#[derive(Debug)]
pub(crate) enum State {
    /// There is none, or none any more.
    Ended,
    /// connect(2) was called at this time.
    Connecting(Socket, u64),
    /// It stands.
    Open(Socket),
}

/// Messages of an open loop that are due on a connection and not given to it yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// How many.
    pub(crate) messages: u64,
    /// Slot of the first of them.
    pub(crate) slot: u64,
    /// When the connection last got room for another message.
    pub(crate) free_since: u64,
}

/// A byte of a connection's stream.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    counter: u64,
    offset: usize,
}

/// When a message should have been sent, and when its first byte was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    pub(crate) planned: u64,
    pub(crate) sent: u64,
}

/// What is wrong with a connection or a message.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

impl Connection {
    /// A connection that is not there yet, with room for so many messages in flight.
    pub(crate) fn new(number: u32, pipeline: usize) -> Self {
        Self {
            number,
            state: State::Ended,
            admitted: 0,
            sending: Position::default(),
            receiving: Position::default(),
            in_flight: VecDeque::with_capacity(pipeline),
            outstanding: 0,
            lost: Vec::new(),
            due: Due::default(),
        }
    }

    /// Messages that were given to it and have not come back.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.outstanding
    }

    /// Whether the kernel has not taken all that it was given.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.sending.counter < self.admitted
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Gives it one more message, which [`Connection::flush`] sends.
    #[inline]
    pub(crate) fn admit(&mut self, planned: u64) {
        self.in_flight.push_back(Stamps { planned, sent: UNSENT });
        self.admitted += 1;
        self.outstanding += 1;
    }

    /// Sends what it was given, as far as the kernel takes it. `now` is the time of sending.
    pub(crate) fn flush(
        &mut self,
        payload: &Payload,
        out: &mut [u8],
        now: u64,
    ) -> Result<(), Fault> {
        while self.has_unsent() {
            let length = self.unsent(payload, out);
            let State::Open(socket) = &mut self.state else { return Ok(()) };
            match socket.send(&out[..length]) {
                Ok(taken) => self.advance(payload, taken, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::of(&error)),
            }
        }
        Ok(())
    }

    /// Writes what is to be sent next into `out`: a datagram, or as much of a stream as it holds.
    fn unsent(&self, payload: &Payload, out: &mut [u8]) -> usize {
        let is_datagram = matches!(self.state, State::Open(Socket::Udp(_)));
        let mut at = self.sending;
        let mut length = 0;
        while at.counter < self.admitted && length < out.len() {
            let message = self.message(at.counter);
            let left = payload.length(message) - at.offset;
            let n = left.min(out.len() - length);
            payload.fill(message, at.offset, &mut out[length..length + n]);
            length += n;
            at = Position { counter: at.counter + 1, offset: 0 };
            if is_datagram {
                break;
            }
        }
        length
    }

    /// Notes that the kernel has taken so many bytes.
    fn advance(&mut self, payload: &Payload, mut taken: usize, now: u64) {
        while taken > 0 {
            let index = usize::try_from(self.sending.counter - self.receiving.counter);
            let stamps = index.ok().and_then(|index| self.in_flight.get_mut(index));
            if let Some(stamps) = stamps.filter(|stamps| stamps.sent == UNSENT) {
                stamps.sent = now;
            }
            let length = payload.length(self.message(self.sending.counter));
            let n = (length - self.sending.offset).min(taken);
            self.sending.offset += n;
            taken -= n;
            if self.sending.offset == length {
                self.sending = Position { counter: self.sending.counter + 1, offset: 0 };
            }
        }
    }

    /// Compares bytes of a stream that came, and tells `done` of each message that is complete.
    pub(crate) fn take(
        &mut self,
        payload: &Payload,
        mut got: &[u8],
        mut done: impl FnMut(Stamps, usize),
    ) -> Result<(), Fault> {
        while !got.is_empty() {
            let Position { counter, offset } = self.receiving;
            let message = self.message(counter);
            let left = payload.length(message) - offset;
            let n = left.min(got.len());
            let is_sent = counter < self.sending.counter
                || (counter == self.sending.counter && offset + n <= self.sending.offset);
            if !is_sent {
                return Err(self.surplus(payload, got));
            }
            if let Err(at) = payload.check(message, offset, &got[..n]) {
                return Err(self.wrong(payload, message, offset + at, &got[..n], offset));
            }
            got = &got[n..];
            if n < left {
                self.receiving.offset += n;
                return Ok(());
            }
            self.receiving = Position { counter: counter + 1, offset: 0 };
            if let Some(stamps) = self.in_flight.pop_front() {
                self.outstanding -= 1;
                done(stamps, offset + n);
            }
        }
        Ok(())
    }

    /// Forgets what was in flight: the connection has ended. Says how many messages that were.
    pub(crate) fn end(&mut self) -> usize {
        if let State::Connecting(socket, _) | State::Open(socket) =
            std::mem::replace(&mut self.state, State::Ended)
        {
            socket.abort();
        }
        self.in_flight.clear();
        let next = Position { counter: self.admitted, offset: 0 };
        self.sending = next;
        self.receiving = next;
        std::mem::take(&mut self.outstanding)
    }

    fn message(&self, counter: u64) -> Message {
        Message { connection: self.number, counter }
    }

    fn second(&self, message: Message) -> Fault {
        Fault { kind: ErrorKind::Duplicated, text: format!("{message} came a second time") }
    }

    /// Its messages that were sent and have not come back.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Stamps> {
        let is_open = |stamps: &&Stamps| stamps.sent != CAME && stamps.sent != UNSENT;
        self.in_flight.iter().filter(is_open).copied()
    }

    /// Bytes that came when nothing more was to come.
    pub(crate) fn surplus(&self, payload: &Payload, got: &[u8]) -> Fault {
        let connection = self.number;
        match payload.decode(got) {
            Some(message) if message.connection != connection => {
                let text = format!("{message} came on connection {connection}");
                Fault { kind: ErrorKind::Foreign, text }
            }
            Some(message) if message.counter < self.receiving.counter => self.second(message),
            Some(_) | None => {
                let text = format!("connection {connection}: {} bytes nobody sent", got.len());
                Fault { kind: ErrorKind::Extra, text }
            }
        }
    }

    /// Bytes that came at `offset` of a message, of which the one at `at` is another.
    fn wrong(
        &self,
        payload: &Payload,
        message: Message,
        at: usize,
        got: &[u8],
        offset: usize,
    ) -> Fault {
        let found = if offset == 0 { payload.decode(got) } else { None };
        let (kind, what) = match found {
            Some(other) if other.connection != message.connection => {
                (ErrorKind::Foreign, format!("{other} came"))
            }
            Some(other) if other.counter < message.counter => {
                (ErrorKind::Duplicated, format!("{other} came again"))
            }
            Some(other) if other.counter > message.counter => {
                (ErrorKind::Lost, format!("{other} came"))
            }
            Some(_) | None if at < STAMP_BYTES => {
                (ErrorKind::Altered, format!("byte {at}, in its stamp, is another"))
            }
            Some(_) | None => (ErrorKind::Altered, format!("byte {at} is another")),
        };
        Fault { kind, text: format!("in place of {message}: {what}") }
    }
}

impl Fault {
    /// An error of a socket.
    pub(crate) fn of(error: &io::Error) -> Self {
        let is_reset =
            [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe].contains(&error.kind());
        let kind = if is_reset { ErrorKind::Reset } else { ErrorKind::Socket };
        Self { kind, text: error.to_string() }
    }

    /// A connection that could not be had.
    pub(crate) fn connect(error: &io::Error) -> Self {
        Self { kind: ErrorKind::Connect, text: error.to_string() }
    }

    /// The server's FIN in the middle of a load.
    pub(crate) fn closed(number: u32) -> Self {
        let text = format!("connection {number}: the server closed it");
        Self { kind: ErrorKind::Closed, text }
    }
}
