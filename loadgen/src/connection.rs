//! One connection: which of its messages are sent and which have come back, to the byte.

use std::collections::VecDeque;
use std::io;
use std::mem;

use mio::{Registry, Token};
use report::load::ErrorKind;

use crate::payload::{Message, Payload, STAMP_BYTES};
use crate::socket::{Address, Socket};

/// Lost datagrams of a connection that are remembered, to tell a late one from a second one.
const LOST_REMEMBERED: usize = 1024;
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
pub(crate) struct LoadError {
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

    /// Begins to connect; `now` is the time.
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

    /// Looks whether it stands by now. Tells `opened` when connecting began, if it has just ended.
    pub(crate) fn is_established(&mut self, opened: impl FnOnce(u64)) -> Result<bool, LoadError> {
        let (socket, since) = match mem::replace(&mut self.state, State::Ended) {
            State::Connecting(socket, since) => (socket, since),
            other @ State::Open(_) => {
                self.state = other;
                return Ok(true);
            }
            State::Ended => return Ok(false),
        };
        let is_established = socket.is_established().map_err(|error| LoadError::connect(&error))?;
        self.state = if is_established {
            opened(since);
            State::Open(socket)
        } else {
            State::Connecting(socket, since)
        };
        Ok(is_established)
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
    ) -> Result<(), LoadError> {
        while self.has_unsent() {
            let length = self.unsent(payload, out);
            let State::Open(socket) = &mut self.state else { return Ok(()) };
            match socket.send(&out[..length]) {
                Ok(taken) => self.advance(payload, taken, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::of(&error)),
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
    ) -> Result<(), LoadError> {
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

    /// Compares a datagram that came. Datagrams may come in any order, and not at all.
    pub(crate) fn take_datagram(
        &mut self,
        payload: &Payload,
        got: &[u8],
        mut done: impl FnMut(Stamps, usize),
    ) -> Result<(), LoadError> {
        let own = payload.decode(got).filter(|message| message.connection == self.number);
        let window = self.receiving.counter..self.sending.counter;
        let Some(message) = own else {
            let next = self.message(self.receiving.counter);
            return Err(self.wrong(payload, next, 0, got, 0));
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
                // It is counted as lost already.
                Some(index) => {
                    self.lost.swap_remove(index);
                    Ok(())
                }
                None => Err(self.second(message)),
            };
        }
        let index = usize::try_from(message.counter - window.start).unwrap_or(usize::MAX);
        match self.in_flight.get_mut(index) {
            Some(stamps) if stamps.sent != CAME => {
                done(*stamps, length);
                stamps.sent = CAME;
                self.outstanding -= 1;
            }
            Some(_) | None => return Err(self.second(message)),
        }
        while self.in_flight.front().is_some_and(|stamps| stamps.sent == CAME) {
            self.in_flight.pop_front();
            self.receiving.counter += 1;
        }
        Ok(())
    }

    /// Gives up datagrams sent before a time, tells `lost` of each, and says how many.
    pub(crate) fn give_up(&mut self, before: u64, mut lost: impl FnMut(Stamps)) -> usize {
        let mut given_up = 0;
        while let Some(stamps) = self.in_flight.front() {
            let is_old = stamps.sent < before;
            if !is_old && stamps.sent != CAME {
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

    /// Forgets what was in flight: the connection has ended. Says how many messages that were.
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

    fn second(&self, message: Message) -> LoadError {
        LoadError { kind: ErrorKind::Duplicated, text: format!("{message} came a second time") }
    }

    /// Its messages that were sent and have not come back.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Stamps> {
        let is_open = |stamps: &&Stamps| stamps.sent != CAME && stamps.sent != UNSENT;
        self.in_flight.iter().filter(is_open).copied()
    }

    /// Bytes that came when nothing more was to come.
    pub(crate) fn surplus(&self, payload: &Payload, got: &[u8]) -> LoadError {
        let connection = self.number;
        match payload.decode(got) {
            Some(message) if message.connection != connection => {
                let text = format!("{message} came on connection {connection}");
                LoadError { kind: ErrorKind::Foreign, text }
            }
            Some(message) if message.counter < self.receiving.counter => self.second(message),
            Some(_) | None => {
                let text = format!("connection {connection}: {} bytes nobody sent", got.len());
                LoadError { kind: ErrorKind::Extra, text }
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

#[cfg(test)]
mod tests {
    use report::Seed;

    use super::*;

    const BYTES: usize = 64;

    /// The datagrams of one connection, of which three were sent at time 5.
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
            kind(connection.take_datagram(&payload, got, |_, _| came += 1))
        };
        assert_eq!(take(&mut connection, &datagram(&payload, 1)), None);
        assert_eq!(connection.in_flight(), 2);
        assert_eq!(take(&mut connection, &datagram(&payload, 1)), Some(ErrorKind::Duplicated));
        assert_eq!(take(&mut connection, &datagram(&payload, 3)), Some(ErrorKind::Extra));
        assert_eq!(connection.give_up(5, |_| {}), 0);
        let mut lost = Vec::new();
        assert_eq!(connection.give_up(6, |stamps| lost.push(stamps.planned)), 2);
        assert_eq!((lost, connection.in_flight()), (vec![4, 4], 0));
        // What comes late is compared all the same.
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
            assert_eq!(kind(connection.take(&payload, piece, |_, _| came += 1)), None);
        }
        assert_eq!((came, connection.in_flight()), (3, 0));
        let more = connection.take(&payload, &datagram(&payload, 3), |_, _| {});
        assert_eq!(kind(more), Some(ErrorKind::Extra));
    }
}
