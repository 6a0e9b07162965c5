//! Datagrams to a server and its replies: each datagram is stamped, and each reply is compared with
//! what was sent.

mod socket;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::place::Place;
use report::sockets::Sockets;
use report::{Failure, FailureKind};
use socket2::SockAddr;

use crate::client::harness_failure;
use crate::client::passing::{Copies, Passed};
use crate::client::payload::{Payload, RECORD_BYTES};
use crate::client::peer::PROBE_LIMIT;
use crate::clock::CellClock;
use crate::context::Context;
use socket::{ClientSocket, is_full, is_over, is_taken, send_from_no_port};

/// How soon a full queue is tried again where the system does not let senders wait.
const FULL_AGAIN: Duration = Duration::from_millis(1);
/// How long a sender that does not want to wait gives a full queue.
const ROOM_WITHIN: Duration = Duration::from_millis(10);
/// More than any datagram has that a case sends.
const ROOM: usize = 256 * 1024;
/// A probe that has not come back for so long may have met a full queue, and is sent again.
const PROBE_AGAIN: Duration = Duration::from_millis(100);

/// A server of datagrams, as its clients see it.
#[derive(Clone, Debug)]
pub struct Datagrams {
    place: Place,
    /// For the paths of clients that need one.
    folder: PathBuf,
    context: Arc<Context>,
}

/// One client: a socket of its own, with a name by which it can be answered unless it has none.
#[derive(Debug)]
pub struct Client {
    socket: ClientSocket,
    place: Place,
    address: SockAddr,
    payload: Payload,
    /// Where in the client's stream of stamps the next datagram begins.
    next: u64,
    /// All that it has sent.
    asked: Vec<Sent>,
    buffer: Vec<u8>,
    clock: Arc<CellClock>,
    /// Its own path, if it has one.
    path: Option<PathBuf>,
    /// Who had its name before: replies to that one may still come.
    predecessor: Option<Predecessor>,
}

/// A client that has gone. Another one may have its name after it.
#[derive(Debug)]
pub struct Predecessor {
    name: Name,
    payload: Payload,
    /// What it has sent, but for what has come back since.
    asked: Vec<Sent>,
}

/// By what a client is answered.
#[derive(Debug)]
enum Name {
    Address(SocketAddr),
    Path(PathBuf),
    /// It had none.
    Nothing,
}

/// A datagram that was sent and may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    position: u64,
    length: usize,
}

impl Datagrams {
    /// A server at `place`.
    #[must_use]
    pub fn new(place: Place, folder: PathBuf, context: Arc<Context>) -> Self {
        Self { place, folder, context }
    }

    /// The case's size in this profile.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.context.size
    }

    /// The cell's clock.
    #[must_use]
    pub fn clock(&self) -> &CellClock {
        &self.context.clock
    }

    /// A random source that depends on nothing but the seed and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.context.random(purpose)
    }

    /// How long a datagram to the server may be, and its reply, as far as the host has been asked.
    #[must_use]
    pub fn longest(&self) -> usize {
        let sockets = &self.context.sockets;
        let (longest, most) = match &self.place {
            Place::Ip(_) => (&sockets.udp_longest, Sockets::UDP_MOST),
            Place::Path(_) => (&sockets.unixgram_longest, Sockets::UNIXGRAM_MOST),
        };
        longest.seen().copied().unwrap_or(most) as usize
    }

    /// How many short datagrams at most may be on their way while the server takes none: as many
    /// as wait. A sender of Unix datagrams is told when that is over.
    #[must_use]
    pub fn queued(&self) -> usize {
        let waiting = match &self.place {
            Place::Ip(_) => self.context.sockets.udp_waiting.seen().copied(),
            Place::Path(_) => None,
        };
        waiting.unwrap_or(Sockets::UDP_WAITING).max(1) as usize
    }

    /// A client that can be answered.
    ///
    /// # Errors
    /// `harness` when this host has no socket, port or path for it.
    pub fn client(&self) -> Result<Client, Failure> {
        let number = self.context.next_number();
        let path = matches!(self.place, Place::Path(_)).then(|| self.path(number));
        self.open(number, path)
    }

    /// Whether the server is on 127.0.0.0/8, where a client can choose its address.
    #[must_use]
    pub fn is_on_ipv4_loopback(&self) -> bool {
        matches!(&self.place, Place::Ip(at) if at.is_ipv4() && at.ip().is_loopback())
    }

    /// A UDP client at this address; none if somebody has it, or this user may not.
    ///
    /// # Errors
    /// As [`Datagrams::client`].
    pub fn client_from(&self, address: SocketAddr) -> Result<Option<Client>, Failure> {
        let socket = match UdpSocket::bind(address) {
            Err(e) if is_taken(&e) => return Ok(None),
            bound => bound.map(Arc::new),
        };
        if let Ok(socket) = &socket {
            self.context.keep(Arc::clone(socket));
        }
        let socket = socket.map(ClientSocket::Udp);
        self.with_socket(self.context.next_number(), None, socket).map(Some)
    }

    /// Another client with the name of one that has gone; none if somebody else has it by now. It
    /// passes over the replies to the one before it.
    ///
    /// # Errors
    /// As [`Datagrams::client`].
    pub fn successor(&self, gone: Predecessor) -> Result<Option<Client>, Failure> {
        let client = match &gone.name {
            Name::Address(address) => self.client_from(*address)?,
            Name::Path(path) => {
                // It may have been removed before.
                let _ = std::fs::remove_file(path);
                Some(self.open(self.context.next_number(), Some(path.clone()))?)
            }
            Name::Nothing => None,
        };
        Ok(client.map(|client| Client { predecessor: Some(gone), ..client }))
    }

    /// A UDP client whose socket is closed when it is dropped, with replies on their way.
    ///
    /// # Errors
    /// As [`Datagrams::client`].
    pub fn brief_client(&self) -> Result<Client, Failure> {
        let socket = ClientSocket::open_apart(&self.place);
        self.with_socket(self.context.next_number(), None, socket)
    }

    /// Sends a UDP datagram of `length` bytes whose source port is 0: to it there is no reply
    /// (RFC 768).
    ///
    /// # Errors
    /// `harness` when this host has no raw sockets, or the server is not on IPv4.
    pub fn send_from_no_port(&self, length: usize) -> Result<(), Failure> {
        let payload = Payload::new(Arc::clone(&self.context.key), self.context.next_number());
        send_from_no_port(&self.place, &payload.bytes(0, length))
            .map_err(|e| harness_failure("send from port 0", &e))
    }

    /// A client without a name, who cannot be answered: on Unix paths only.
    ///
    /// # Errors
    /// As [`Datagrams::client`].
    pub fn unnamed(&self) -> Result<Client, Failure> {
        self.open(self.context.next_number(), None)
    }

    /// A path for a client: that of each fourth is as long as every system allows.
    fn path(&self, number: u32) -> PathBuf {
        /// Bytes of `sun_path` that every system has, but for the zero at its end (unix(7)).
        const LONGEST: usize = 103;
        let path = self.folder.join(format!("client-{number}"));
        let missing = LONGEST.saturating_sub(path.as_os_str().len() + 1);
        if number.is_multiple_of(4) && missing > 0 {
            return self.folder.join(format!("client-{number}-{}", "x".repeat(missing)));
        }
        path
    }

    fn open(&self, number: u32, path: Option<PathBuf>) -> Result<Client, Failure> {
        let socket = ClientSocket::open(&self.place, path.as_ref());
        if let Ok(ClientSocket::Udp(socket)) = &socket {
            self.context.keep(Arc::clone(socket));
        }
        self.with_socket(number, path, socket)
    }

    fn with_socket(
        &self,
        number: u32,
        path: Option<PathBuf>,
        socket: io::Result<ClientSocket>,
    ) -> Result<Client, Failure> {
        let socket = socket.map_err(|e| harness_failure("open a socket", &e))?;
        let address = self.place.socket_address().map_err(|e| harness_failure("use a path", &e))?;
        Ok(Client {
            socket,
            place: self.place.clone(),
            address,
            payload: Payload::new(Arc::clone(&self.context.key), number),
            next: 0,
            asked: Vec::new(),
            buffer: vec![0; ROOM],
            clock: Arc::clone(&self.context.clock),
            path,
            predecessor: None,
        })
    }

    /// The server still serves: a new client gets 1 KiB back within a second. What meets a queue
    /// that is still full may be lost, and is sent again.
    ///
    /// # Errors
    /// `timeout` or a payload failure.
    pub fn serves(&self) -> Result<(), Failure> {
        let mut probe = self.client()?;
        let deadline = self.clock().within(PROBE_LIMIT);
        let mut sent = Vec::new();
        while !deadline.is_over() {
            sent.push(probe.send(1024)?);
            let again = self.clock().within(PROBE_AGAIN.min(deadline.left()));
            if let Some(reply) = probe.reply(again)? {
                probe.take(&mut sent, &reply)?;
                let what = "a new client's echo";
                return self.clock().judge_time(what, deadline.elapsed(), PROBE_LIMIT);
            }
        }
        Err(deadline.failure("an echo of any of a new client's datagrams"))
    }
}

impl Client {
    /// Sends a datagram of `length` bytes.
    ///
    /// # Errors
    /// `refused` when nobody is there, `timeout` when the server's queue stays full.
    pub fn send(&mut self, length: usize) -> Result<Sent, Failure> {
        let (sent, bytes) = self.next_datagram(length);
        let deadline = self.clock.progress();
        let taken = self.clock.waiting(|| {
            loop {
                match self.socket.send_to(&bytes, &self.address, deadline.left()) {
                    Err(e) if is_over(&e) && !deadline.is_over() => {}
                    Err(e) if is_full(&e) && !deadline.is_over() => thread::sleep(FULL_AGAIN),
                    taken => return taken,
                }
            }
        });
        match taken {
            Ok(()) => {
                self.asked.push(sent);
                Ok(sent)
            }
            Err(e) if is_over(&e) || is_full(&e) => {
                Err(deadline.failure("the server to take a datagram"))
            }
            Err(e) => Err(unsent(length, &e)),
        }
    }

    /// Sends a datagram with descriptors.
    ///
    /// # Errors
    /// `harness` when the system does not pass any.
    pub fn send_passing(
        &mut self,
        length: usize,
        passed: Passed,
        copies: Copies,
    ) -> Result<Sent, Failure> {
        let (sent, bytes) = self.next_datagram(length);
        passed
            .send_to(self.socket.sock_ref(), &self.address, &bytes, copies)
            .map_err(|e| harness_failure("pass a descriptor", &e))?;
        self.asked.push(sent);
        Ok(sent)
    }

    /// Sends a datagram if the server's queue has room for it within 10 ms.
    ///
    /// # Errors
    /// `refused` when nobody is there.
    pub fn try_send(&mut self, length: usize) -> Result<Option<Sent>, Failure> {
        let (sent, bytes) = self.next_datagram(length);
        match self.socket.send_to(&bytes, &self.address, ROOM_WITHIN) {
            Ok(()) => {
                self.asked.push(sent);
                Ok(Some(sent))
            }
            Err(e) if is_over(&e) || is_full(&e) => Ok(None),
            Err(e) => Err(unsent(length, &e)),
        }
    }

    /// The next datagram of `length` bytes.
    fn next_datagram(&mut self, length: usize) -> (Sent, Vec<u8>) {
        let sent = Sent { position: self.next, length };
        self.next += (length.max(1)).next_multiple_of(RECORD_BYTES) as u64;
        (sent, self.payload.bytes(sent.position, length))
    }

    /// Goes, and leaves its path behind. Its replies may be on their way.
    #[must_use]
    pub fn leave(self) -> Predecessor {
        let name = match (self.address(), self.path) {
            (Some(address), _) => Name::Address(address),
            (None, Some(path)) => Name::Path(path),
            (None, None) => Name::Nothing,
        };
        Predecessor { name, payload: self.payload, asked: self.asked }
    }

    /// The address of a UDP client.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.sock_ref().local_addr().ok()?.as_socket()
    }

    /// Sends datagrams of `length` bytes as fast as it can, until told to stop, and reads no reply.
    ///
    /// # Errors
    /// `harness` when the system does not send any.
    pub fn flood(&mut self, length: usize, stop: &AtomicBool) -> Result<(), Failure> {
        let bytes = self.payload.bytes(self.next, length);
        while !stop.load(Ordering::Relaxed) {
            match self.socket.sock_ref().send_to(&bytes, &self.address) {
                Ok(_) => {}
                Err(e) if is_over(&e) || is_full(&e) => {}
                Err(e) => return Err(harness_failure("send many datagrams", &e)),
            }
        }
        Ok(())
    }

    /// Sends a datagram and receives it.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::receive`].
    pub fn exchange(&mut self, length: usize) -> Result<(), Failure> {
        let sent = self.send(length)?;
        self.receive(vec![sent])
    }

    /// Sends a datagram of these bytes, without a stamp, and receives it.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::receive`].
    pub fn exchange_literal(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.payload.carry(bytes.into());
        self.next = 0;
        self.asked.clear();
        self.exchange(bytes.len())
    }

    /// Receives what was sent, in any order, and each once.
    ///
    /// # Errors
    /// `timeout`, or what is wrong with a reply.
    pub fn receive(&mut self, mut sent: Vec<Sent>) -> Result<(), Failure> {
        while !sent.is_empty() {
            let deadline = self.clock.progress();
            let Some(reply) = self.reply(deadline)? else {
                return Err(deadline.failure(&format!("{} more datagrams", sent.len())));
            };
            self.take(&mut sent, &reply)?;
        }
        Ok(())
    }

    /// Sends a datagram and receives it, and perhaps some of `due`, which may still come.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::receive`].
    pub fn exchange_beside(&mut self, due: &mut Vec<Sent>, length: usize) -> Result<(), Failure> {
        let sent = self.send(length)?;
        due.push(sent);
        while due.contains(&sent) {
            let deadline = self.clock.progress();
            let Some(reply) = self.reply(deadline)? else {
                return Err(deadline.failure("one more datagram"));
            };
            self.take(due, &reply)?;
        }
        Ok(())
    }

    /// Receives what comes for `time`: each must be one of `sent`, which it is taken from.
    ///
    /// # Errors
    /// What is wrong with a reply.
    pub fn receive_any(&mut self, sent: &mut Vec<Sent>, time: Duration) -> Result<(), Failure> {
        let deadline = self.clock.within(time);
        while let Some(reply) = self.reply(deadline)? {
            self.take(sent, &reply)?;
        }
        Ok(())
    }

    /// Nothing comes for `time`.
    ///
    /// # Errors
    /// `extra` with what came.
    pub fn expect_silence(&mut self, time: Duration) -> Result<(), Failure> {
        self.receive_any(&mut Vec::new(), time)
    }

    /// Removes the client's path, so that it cannot be answered any more.
    ///
    /// # Errors
    /// `harness` when it has none.
    pub fn remove_path(&self) -> Result<(), Failure> {
        let removed =
            self.path.as_ref().map_or(Err(ErrorKind::NotFound.into()), std::fs::remove_file);
        removed.map_err(|e| harness_failure("remove a client's path", &e))
    }

    /// Gives the client so little room for replies that most of them are lost.
    ///
    /// # Errors
    /// `harness` when the system refuses.
    pub fn shrink(&self) -> Result<(), Failure> {
        self.socket
            .sock_ref()
            .set_recv_buffer_size(2048)
            .map_err(|e| harness_failure("shrink a buffer", &e))
    }

    /// The next datagram of the server; none when the deadline is over. One from another place is
    /// an error if it has bytes of this cell; otherwise it is meant for a program that had the port
    /// before, and is skipped.
    fn reply(&mut self, deadline: Deadline) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let (socket, buffer) = (&self.socket, &mut self.buffer);
            match self.clock.waiting(|| socket.receive_from(buffer, deadline.left())) {
                Ok((length, from)) if from.as_ref() == Some(&self.place) => {
                    if let Some(gone) = &mut self.predecessor
                        && gone.takes(&self.buffer[..length])
                    {
                        continue;
                    }
                    return Ok(Some(self.buffer[..length].to_vec()));
                }
                Ok((length, _)) if !self.is_ours(&self.buffer[..length]) => {}
                Ok((_, from)) => {
                    let from = from.map_or_else(|| "nobody".to_owned(), |from| from.to_string());
                    let expected = format!("a reply from {}", self.place);
                    return Err(Failure::new(
                        FailureKind::Foreign,
                        expected,
                        format!("one from {from}"),
                    ));
                }
                Err(e) if is_over(&e) && deadline.is_over() => return Ok(None),
                // Windows reports here that nobody listened to an earlier datagram.
                Err(e) if is_over(&e) || e.kind() == ErrorKind::ConnectionReset => {}
                Err(e) => return Err(harness_failure("receive a datagram", &e)),
            }
        }
    }

    /// Whether these bytes are the echo of something that this client has sent, or have a stamp of
    /// this cell.
    fn is_ours(&self, bytes: &[u8]) -> bool {
        let is_echo = |sent: &Sent| bytes == self.payload.bytes(sent.position, sent.length);
        self.payload.is_of_this_cell(bytes) || self.asked.iter().any(is_echo)
    }

    /// Takes the datagram out of `sent` that `reply` is the echo of.
    fn take(&self, sent: &mut Vec<Sent>, reply: &[u8]) -> Result<(), Failure> {
        let is_echo =
            |sent: &Sent| reply == self.payload.bytes(sent.position, sent.length).as_slice();
        if let Some(index) = sent.iter().position(is_echo) {
            sent.swap_remove(index);
            return Ok(());
        }
        Err(match sent.iter().min_by_key(|sent| sent.position) {
            Some(due) => self.wrong(*due, reply),
            None => {
                let mismatch = self.payload.classify(self.next, reply, self.next);
                let actual = format!("one of {} bytes: {}", reply.len(), mismatch.found);
                Failure::new(mismatch.kind, "no more datagrams", actual)
            }
        })
    }

    /// What is wrong with a reply, when `due` was the next to come.
    fn wrong(&self, due: Sent, reply: &[u8]) -> Failure {
        let Sent { position, length } = due;
        let same = self.payload.matching(position, reply);
        let expected = format!("a datagram of {length} bytes as it was sent");
        if same == reply.len() && same < length {
            let actual = format!("its first {same} bytes alone");
            return Failure::new(FailureKind::Lost, expected, actual);
        }
        if same >= length {
            let actual = format!("one of {} bytes that begins with it", reply.len());
            return Failure::new(FailureKind::Extra, expected, actual);
        }
        let at = position + same as u64;
        let mismatch = self.payload.classify(at, &reply[same..], self.next);
        let actual = format!("{} bytes; from byte {same} on: {}", reply.len(), mismatch.found);
        Failure::new(mismatch.kind, expected, actual)
    }
}

/// Why a datagram of `length` bytes could not be sent.
fn unsent(length: usize, error: &io::Error) -> Failure {
    if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&error.kind()) {
        return Failure::new(FailureKind::Refused, "a server at its address", error.to_string());
    }
    harness_failure(&format!("send a datagram of {length} bytes"), error)
}

impl Predecessor {
    /// Whether a reply is to something that it has sent, and that has not come back before.
    fn takes(&mut self, reply: &[u8]) -> bool {
        let is_echo = |sent: &Sent| reply == self.payload.bytes(sent.position, sent.length);
        let index = self.asked.iter().position(is_echo);
        index.map(|index| self.asked.swap_remove(index)).is_some()
    }
}
