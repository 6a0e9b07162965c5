//! One connection, which knows to the byte what was sent and what has come back.

use std::collections::VecDeque;
use std::io;
use std::mem;

use mio::{Registry, Token};
use report::load::ErrorKind;

use crate::payload::{Message, Payload, STAMP_BYTES};
use crate::socket::{Address, Socket};

/// How many lost datagrams a connection remembers, to tell a late datagram from a duplicate.
const LOST_REMEMBERED: usize = 1024;
/// Replaces the time of sending of a datagram that has come back before an earlier one.
const ECHOED: u64 = u64::MAX;
/// Replaces the time of sending of a message of which no byte was sent.
const UNSENT: u64 = u64::MAX - 1;

/// The client's end of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u32,
    pub(crate) state: State,
    /// Number of messages that were admitted so far, which is the counter of the next one.
    admitted: u64,
    /// The first byte that the kernel has not taken yet.
    sending: Position,
    /// The first byte that has not come back yet.
    receiving: Position,
    /// One entry for each message from `receiving` up to `admitted`.
    in_flight: VecDeque<Stamps>,
    /// How many entries of `in_flight` have not come back. Datagrams may be reordered.
    outstanding: usize,
    lost: Vec<u64>,
}

#[derive(Debug)]
pub(crate) enum State {
    /// There is no socket, or no longer one.
    Ended,
    /// With the time at which connect(2) was called.
    Connecting(Socket, u64),
    Open(Socket),
}

/// A byte of a connection's stream: `offset` within message `counter`.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    counter: u64,
    offset: usize,
}

/// When a message was due, and when its first byte was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    pub(crate) planned: u64,
    pub(crate) sent: u64,
}

/// What is wrong with a connection or a message.
#[derive(Clone, Debug)]
pub(crate) struct LoadError {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

impl Connection {
    /// Makes a connection without a socket, with room for `pipeline` messages in flight.
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
        }
    }

    /// Number of admitted messages that have not come back.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.outstanding
    }

    /// Whether there are bytes that the kernel has not taken yet.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.sending.counter < self.admitted
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Begins to connect. `now` is recorded as the time of the call.
    pub(crate) fn connect(
        &mut self,
        address: &Address,
        registry: &Registry,
        token: Token,
        now: u64,
    ) -> io::Result<()> {
        let mut socket = Socket::connect(address)?;
        socket.register(registry, token)?;
        self.state = State::Connecting(socket, now);
        Ok(())
    }

    /// Returns whether the connection is established. If it has just become so, calls `opened` with
    /// the time at which connecting began.
    pub(crate) fn is_established(&mut self, opened: impl FnOnce(u64)) -> Result<bool, LoadError> {
        let (socket, since) = match mem::replace(&mut self.state, State::Ended) {
            State::Connecting(socket, since) => (socket, since),
            other @ State::Open(_) => {
                self.state = other;
                return Ok(true);
            }
            State::Ended => return Ok(false),
        };
        let is_established =
            socket.is_established().map_err(|error| LoadError::connect_failed(&error))?;
        self.state = if is_established {
            opened(since);
            State::Open(socket)
        } else {
            State::Connecting(socket, since)
        };
        Ok(is_established)
    }

    /// Adds a message, which [`Connection::flush`] sends.
    #[inline]
    pub(crate) fn admit(&mut self, planned: u64) {
        self.in_flight.push_back(Stamps { planned, sent: UNSENT });
        self.admitted += 1;
        self.outstanding += 1;
    }

    /// Sends the admitted messages until the kernel takes no more. `now` is recorded as the time of
    /// sending.
    pub(crate) fn flush(
        &mut self,
        payload: &Payload,
        out: &mut [u8],
        now: u64,
    ) -> Result<(), LoadError> {
        while self.has_unsent() {
            let length = self.fill_unsent(payload, out);
            let State::Open(socket) = &mut self.state else { return Ok(()) };
            match socket.send(&out[..length]) {
                Ok(taken) => self.advance(payload, taken, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::from_socket_error(&error)),
            }
        }
        Ok(())
    }

    /// Fills `out` with the bytes to send next: one datagram, or as much of the stream as fits.
    /// Returns their number.
    fn fill_unsent(&self, payload: &Payload, out: &mut [u8]) -> usize {
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

    /// Records that the kernel has taken `taken` bytes.
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

    /// Compares received bytes of a stream. Calls `done` with the stamps and the length of each
    /// message that is complete.
    pub(crate) fn compare_stream(
        &mut self,
        payload: &Payload,
        mut got: &[u8],
        mut done: impl FnMut(Stamps, usize),
    ) -> Result<(), LoadError> {
        while !got.is_empty() {
            let Position { counter, offset } = self.receiving;
            let message = self.message(counter);
            let left = payload.length(message) - offset;
            let n = left.min(got.len());
            let is_sent = counter < self.sending.counter
                || (counter == self.sending.counter && offset + n <= self.sending.offset);
            if !is_sent {
                return Err(self.surplus_error(payload, got));
            }
            if let Err(at) = payload.check(message, offset, &got[..n]) {
                return Err(self.mismatch_error(payload, message, offset + at, &got[..n], offset));
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

    /// Compares a received datagram. Datagrams may be reordered and lost.
    pub(crate) fn compare_datagram(
        &mut self,
        payload: &Payload,
        got: &[u8],
        mut done: impl FnMut(Stamps, usize),
    ) -> Result<(), LoadError> {
        let own = payload.decode(got).filter(|message| message.connection == self.number);
        let window = self.receiving.counter..self.sending.counter;
        let Some(message) = own else {
            let next = self.message(self.receiving.counter);
            return Err(self.mismatch_error(payload, next, 0, got, 0));
        };
        if message.counter >= window.end {
            let text = format!("{message}, which was not sent");
            return Err(LoadError { kind: ErrorKind::Extra, text });
        }
        let length = payload.length(message);
        let checked = payload.check(message, 0, &got[..got.len().min(length)]);
        if got.len() != length || checked.is_err() {
            let text = format!(
                "{message}: {} bytes came back as {}, the first {} of them right",
                length,
                got.len(),
                checked.err().unwrap_or(length.min(got.len()))
            );
            return Err(LoadError { kind: ErrorKind::Altered, text });
        }
        if !window.contains(&message.counter) {
            let late = self.lost.iter().position(|counter| *counter == message.counter);
            return match late {
                // It has already been counted as lost.
                Some(index) => {
                    self.lost.swap_remove(index);
                    Ok(())
                }
                None => Err(self.duplicate_error(message)),
            };
        }
        let index = usize::try_from(message.counter - window.start).unwrap_or(usize::MAX);
        match self.in_flight.get_mut(index) {
            Some(stamps) if stamps.sent != ECHOED => {
                done(*stamps, length);
                stamps.sent = ECHOED;
                self.outstanding -= 1;
            }
            Some(_) | None => return Err(self.duplicate_error(message)),
        }
        while self.in_flight.front().is_some_and(|stamps| stamps.sent == ECHOED) {
            self.in_flight.pop_front();
            self.receiving.counter += 1;
        }
        Ok(())
    }

    /// Gives up the datagrams that were sent before `before`, calls `lost` with each, and returns
    /// their number.
    pub(crate) fn give_up(&mut self, before: u64, mut lost: impl FnMut(Stamps)) -> usize {
        let mut given_up = 0;
        while let Some(stamps) = self.in_flight.front() {
            let is_old = stamps.sent < before;
            if !is_old && stamps.sent != ECHOED {
                break;
            }
            if is_old {
                given_up += 1;
                lost(*stamps);
                if self.lost.len() == LOST_REMEMBERED {
                    self.lost.remove(0);
                }
                self.lost.push(self.receiving.counter);
            }
            self.in_flight.pop_front();
            self.receiving.counter += 1;
        }
        self.outstanding -= given_up;
        given_up
    }

    /// Closes the connection and forgets what was in flight. Returns how many messages that were.
    pub(crate) fn end(&mut self) -> usize {
        if let State::Connecting(socket, _) | State::Open(socket) =
            mem::replace(&mut self.state, State::Ended)
        {
            socket.abort();
        }
        self.in_flight.clear();
        let next = Position { counter: self.admitted, offset: 0 };
        self.sending = next;
        self.receiving = next;
        mem::take(&mut self.outstanding)
    }

    fn message(&self, counter: u64) -> Message {
        Message { connection: self.number, counter }
    }

    fn duplicate_error(&self, message: Message) -> LoadError {
        LoadError { kind: ErrorKind::Duplicated, text: format!("{message} came a second time") }
    }

    /// The stamps of messages that were sent and have not come back.
    pub(crate) fn unanswered_stamps(&self) -> impl Iterator<Item = Stamps> {
        let is_open = |stamps: &&Stamps| stamps.sent != ECHOED && stamps.sent != UNSENT;
        self.in_flight.iter().filter(is_open).copied()
    }

    /// The error for bytes that came when no more were expected.
    pub(crate) fn surplus_error(&self, payload: &Payload, got: &[u8]) -> LoadError {
        let connection = self.number;
        match payload.decode(got) {
            Some(message) if message.connection != connection => {
                let text = format!("{message} came on connection {connection}");
                LoadError { kind: ErrorKind::Foreign, text }
            }
            Some(message) if message.counter < self.receiving.counter => {
                self.duplicate_error(message)
            }
            Some(_) | None => {
                let text = format!("connection {connection}: {} bytes nobody sent", got.len());
                LoadError { kind: ErrorKind::Extra, text }
            }
        }
    }

    /// The error for bytes that came at `offset` of a message, in which the byte at `at` is wrong.
    fn mismatch_error(
        &self,
        payload: &Payload,
        message: Message,
        at: usize,
        got: &[u8],
        offset: usize,
    ) -> LoadError {
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
        LoadError { kind, text: format!("in place of {message}: {what}") }
    }
}

impl LoadError {
    /// The error for a send or a receive that failed.
    pub(crate) fn from_socket_error(error: &io::Error) -> Self {
        let is_reset =
            [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe].contains(&error.kind());
        let kind = if is_reset { ErrorKind::Reset } else { ErrorKind::Socket };
        Self { kind, text: error.to_string() }
    }

    /// The error for a connection that could not be opened.
    pub(crate) fn connect_failed(error: &io::Error) -> Self {
        Self { kind: ErrorKind::Connect, text: error.to_string() }
    }

    /// The error for a server that sends FIN in the middle of a load.
    pub(crate) fn closed_by_server(number: u32) -> Self {
        let text = format!("connection {number}: the server closed it");
        Self { kind: ErrorKind::Closed, text }
    }
}

#[cfg(test)]
mod tests {
    use report::Seed;

    use super::*;

    const BYTES: usize = 64;

    /// A connection on which three datagrams were sent at time 5.
    fn sent() -> (Payload, Connection) {
        let payload = Payload::new(Seed::new(1), &[64]);
        let mut connection = Connection::new(3, 4);
        for _ in 0..3 {
            connection.admit(4);
        }
        connection.advance(&payload, 3 * BYTES, 5);
        (payload, connection)
    }

    fn datagram(payload: &Payload, counter: u64) -> Vec<u8> {
        let mut bytes = vec![0; BYTES];
        payload.fill(Message { connection: 3, counter }, 0, &mut bytes);
        bytes
    }

    fn kind(result: Result<(), LoadError>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind)
    }

    #[test]
    fn datagrams_overtake_each_other_and_come_late_but_not_twice() {
        let (payload, mut connection) = sent();
        let mut came = 0;
        let mut take = |connection: &mut Connection, got: &[u8]| {
            kind(connection.compare_datagram(&payload, got, |_, _| came += 1))
        };
        assert_eq!(take(&mut connection, &datagram(&payload, 1)), None);
        assert_eq!(connection.in_flight(), 2);
        assert_eq!(take(&mut connection, &datagram(&payload, 1)), Some(ErrorKind::Duplicated));
        assert_eq!(take(&mut connection, &datagram(&payload, 3)), Some(ErrorKind::Extra));
        assert_eq!(connection.give_up(5, |_| {}), 0);
        let mut lost = Vec::new();
        assert_eq!(connection.give_up(6, |stamps| lost.push(stamps.planned)), 2);
        assert_eq!((lost, connection.in_flight()), (vec![4, 4], 0));
        // A late datagram is compared too.
        assert_eq!(take(&mut connection, &datagram(&payload, 0)[..20]), Some(ErrorKind::Altered));
        assert_eq!(take(&mut connection, &datagram(&payload, 0)), None);
        assert_eq!(take(&mut connection, &datagram(&payload, 0)), Some(ErrorKind::Duplicated));
        assert_eq!(came, 1);
    }

    #[test]
    fn a_stream_is_compared_in_any_pieces() {
        let (payload, mut connection) = sent();
        let stream: Vec<u8> = (0..3).flat_map(|counter| datagram(&payload, counter)).collect();
        let mut came = 0;
        for piece in stream.chunks(50) {
            assert_eq!(kind(connection.compare_stream(&payload, piece, |_, _| came += 1)), None);
        }
        assert_eq!((came, connection.in_flight()), (3, 0));
        let more = connection.compare_stream(&payload, &datagram(&payload, 3), |_, _| {});
        assert_eq!(kind(more), Some(ErrorKind::Extra));
    }
}
