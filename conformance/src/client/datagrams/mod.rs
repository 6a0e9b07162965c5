//! Datagrams to a server and its replies: each datagram is stamped, and each reply is compared with
//! what was sent.

mod exchange;
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
use crate::client::passing::{Copies, PassedEnd};
use crate::client::payload::{Payload, RECORD_BYTES};
use crate::client::peer::PROBE_LIMIT;
use crate::clock::CellClock;
use crate::context::Context;
use socket::{ClientSocket, is_address_unavailable, is_queue_full, is_timeout, send_from_no_port};

/// How soon to retry a full queue, if the system does not let senders wait.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(1);
/// How long `try_send` waits for room in a full queue.
const ROOM_WAIT_LIMIT: Duration = Duration::from_millis(10);
/// The size of the receive buffer in bytes: longer than any datagram that a case sends.
const BUFFER_BYTES: usize = 256 * 1024;
/// A probe without an echo for this long may have been dropped by a full queue, so it is sent
/// again.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// A datagram server, from its clients' point of view.
#[derive(Clone, Debug)]
pub struct Datagrams {
    place: Place,
    /// For the paths of clients.
    folder: PathBuf,
    context: Arc<Context>,
}

/// One client with its own socket. It has a name that the server can reply to, unless it is
/// unnamed.
#[derive(Debug)]
pub struct Client {
    socket: ClientSocket,
    place: Place,
    address: SockAddr,
    payload: Payload,
    /// The position of the next datagram in the client's stream of stamps.
    next_position: u64,
    /// Every datagram that it has sent.
    sent_datagrams: Vec<Sent>,
    buffer: Vec<u8>,
    clock: Arc<CellClock>,
    /// Its own path, if it has one.
    path: Option<PathBuf>,
    /// The client that had its name before. Replies to that client may still arrive.
    predecessor: Option<Predecessor>,
}

/// A client that has left. Another client may take its name.
#[derive(Debug)]
pub struct Predecessor {
    name: Name,
    payload: Payload,
    /// The datagrams that it has sent and whose echo has not been seen since.
    sent_datagrams: Vec<Sent>,
}

/// The name that a server replies to.
#[derive(Debug)]
enum Name {
    Address(SocketAddr),
    Path(PathBuf),
    /// The client was unnamed.
    Nothing,
}

/// A datagram that was sent and may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    position: u64,
    length: usize,
}

impl Datagrams {
    #[must_use]
    pub fn new(place: Place, folder: PathBuf, context: Arc<Context>) -> Self {
        Self { place, folder, context }
    }

    /// The size of the case in this profile.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.context.size
    }

    #[must_use]
    pub fn clock(&self) -> &CellClock {
        &self.context.clock
    }

    /// A random source that depends only on the seed and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.context.random(purpose)
    }

    /// The longest datagram in bytes that can reach the server and come back, as far as the host
    /// was probed.
    #[must_use]
    pub fn longest_datagram(&self) -> usize {
        let sockets = &self.context.sockets;
        let (longest, most) = match &self.place {
            Place::Ip(_) => (&sockets.udp_longest, Sockets::UDP_MAX_BYTES),
            Place::Path(_) => (&sockets.unixgram_longest, Sockets::UNIXGRAM_MAX_BYTES),
        };
        longest.seen().copied().unwrap_or(most) as usize
    }

    /// How many short datagrams may be in transit while the server takes none, and while the
    /// clients take no reply. Over UDP, the receive queue of the server limits this. Over a Unix
    /// path its send buffer does, which holds all replies that clients have not read (unix(7)).
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        let waiting = match &self.place {
            Place::Ip(_) => &self.context.sockets.udp_waiting,
            Place::Path(_) => &self.context.sockets.unixgram_unread,
        };
        waiting.seen().copied().unwrap_or(Sockets::WAITING_DATAGRAMS).max(1) as usize
    }

    /// Whether a datagram may be lost in the server's queue although the server takes each one.
    #[must_use]
    pub fn has_short_queue(&self) -> bool {
        let most = Sockets::WAITING_DATAGRAMS as usize;
        matches!(self.place, Place::Ip(_)) && self.queue_capacity() < most
    }

    /// A client that the server can reply to.
    ///
    /// # Errors
    /// `harness` when this host has no socket, port or path for it.
    pub fn client(&self) -> Result<Client, Failure> {
        let number = self.context.next_number();
        let path = matches!(self.place, Place::Path(_)).then(|| self.client_path(number));
        self.open_client(number, path)
    }

    /// Whether the server is on 127.0.0.0/8, where a client can choose its address.
    #[must_use]
    pub fn is_on_ipv4_loopback(&self) -> bool {
        matches!(&self.place, Place::Ip(at) if at.is_ipv4() && at.ip().is_loopback())
    }

    /// A UDP client at `address`. `None` if another socket uses the address, or this user may not
    /// use it.
    ///
    /// # Errors
    /// Those of [`Datagrams::client`].
    pub fn client_from(&self, address: SocketAddr) -> Result<Option<Client>, Failure> {
        let socket = match UdpSocket::bind(address) {
            Err(e) if is_address_unavailable(&e) => return Ok(None),
            bound => bound.map(Arc::new),
        };
        if let Ok(socket) = &socket {
            self.context.keep_socket(Arc::clone(socket));
        }
        let socket = socket.map(ClientSocket::Udp);
        self.make_client(self.context.next_number(), None, socket).map(Some)
    }

    /// A new client with the name of one that has left. `None` if another socket has taken the
    /// name. The client skips replies to its predecessor.
    ///
    /// # Errors
    /// Those of [`Datagrams::client`].
    pub fn successor(&self, gone: Predecessor) -> Result<Option<Client>, Failure> {
        let client = match &gone.name {
            Name::Address(address) => self.client_from(*address)?,
            Name::Path(path) => {
                // The path may have been removed already.
                let _ = std::fs::remove_file(path);
                Some(self.open_client(self.context.next_number(), Some(path.clone()))?)
            }
            Name::Nothing => None,
        };
        Ok(client.map(|client| Client { predecessor: Some(gone), ..client }))
    }

    /// A UDP client whose socket closes when the client is dropped, even with replies in transit.
    /// Sockets of other UDP clients stay open until the cell ends.
    ///
    /// # Errors
    /// Those of [`Datagrams::client`].
    pub fn brief_client(&self) -> Result<Client, Failure> {
        let socket = ClientSocket::open_on_second_address(&self.place);
        self.make_client(self.context.next_number(), None, socket)
    }

    /// Sends a UDP datagram of `length` bytes with source port 0, to which no reply is possible
    /// (RFC 768).
    ///
    /// # Errors
    /// `harness` when this host has no raw sockets, or the server is not on IPv4.
    pub fn send_from_no_port(&self, length: usize) -> Result<(), Failure> {
        let payload = Payload::new(Arc::clone(&self.context.key), self.context.next_number());
        send_from_no_port(&self.place, &payload.bytes(0, length))
            .map_err(|e| harness_failure("send from port 0", &e))
    }

    /// A client without a name, to which the server cannot reply. Only for Unix paths.
    ///
    /// # Errors
    /// Those of [`Datagrams::client`].
    pub fn unnamed_client(&self) -> Result<Client, Failure> {
        self.open_client(self.context.next_number(), None)
    }

    /// A path for a client. Every fourth is as long as all systems allow.
    fn client_path(&self, number: u32) -> PathBuf {
        /// The bytes that `sun_path` has on every system, without the zero at its end (unix(7)).
        const LONGEST: usize = 103;
        let path = self.folder.join(format!("client-{number}"));
        let missing = LONGEST.saturating_sub(path.as_os_str().len() + 1);
        if number.is_multiple_of(4) && missing > 0 {
            return self.folder.join(format!("client-{number}-{}", "x".repeat(missing)));
        }
        path
    }

    fn open_client(&self, number: u32, path: Option<PathBuf>) -> Result<Client, Failure> {
        let socket = ClientSocket::open(&self.place, path.as_ref());
        if let Ok(ClientSocket::Udp(socket)) = &socket {
            self.context.keep_socket(Arc::clone(socket));
        }
        self.make_client(number, path, socket)
    }

    fn make_client(
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
            next_position: 0,
            sent_datagrams: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            clock: Arc::clone(&self.context.clock),
            path,
            predecessor: None,
        })
    }

    /// Checks that the server still serves: a new client must get 1 KiB back within a second. A
    /// full queue may drop the probe, so it is sent again.
    ///
    /// # Errors
    /// `timeout`, `slow` or a payload failure.
    pub fn expect_service(&self) -> Result<(), Failure> {
        let mut probe = self.client()?;
        let deadline = self.clock().deadline_after(PROBE_LIMIT);
        let mut sent = Vec::new();
        while !deadline.is_over() {
            sent.push(probe.send(1024)?);
            let again = self.clock().deadline_after(PROBE_INTERVAL.min(deadline.left()));
            if let Some(reply) = probe.receive_reply(again)? {
                probe.match_reply(&mut sent, &reply)?;
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
    /// `refused` when nobody listens, `timeout` when the server's queue stays full.
    pub fn send(&mut self, length: usize) -> Result<Sent, Failure> {
        let (sent, bytes) = self.next_datagram(length);
        let deadline = self.clock.progress_deadline();
        let taken = self.clock.count_wait(|| {
            loop {
                match self.socket.send_to(&bytes, &self.address, deadline.left()) {
                    Err(e) if is_timeout(&e) && !deadline.is_over() => {}
                    Err(e) if is_queue_full(&e) && !deadline.is_over() => {
                        thread::sleep(FULL_QUEUE_PAUSE)
                    }
                    taken => return taken,
                }
            }
        });
        match taken {
            Ok(()) => {
                self.sent_datagrams.push(sent);
                Ok(sent)
            }
            Err(e) if is_timeout(&e) || is_queue_full(&e) => {
                Err(deadline.failure("the server to take a datagram"))
            }
            Err(e) => Err(send_failure(length, &e)),
        }
    }

    /// Sends a datagram with copies of a descriptor.
    ///
    /// # Errors
    /// `harness` when the system cannot pass descriptors.
    pub fn send_with_descriptors(
        &mut self,
        length: usize,
        passed: PassedEnd,
        copies: Copies,
    ) -> Result<Sent, Failure> {
        let (sent, bytes) = self.next_datagram(length);
        passed
            .send_to(self.socket.sock_ref(), &self.address, &bytes, copies)
            .map_err(|e| harness_failure("pass a descriptor", &e))?;
        self.sent_datagrams.push(sent);
        Ok(sent)
    }

    /// Sends a datagram if the server's queue has room for it within 10 ms.
    ///
    /// # Errors
    /// `refused` when nobody listens.
    pub fn try_send(&mut self, length: usize) -> Result<Option<Sent>, Failure> {
        let (sent, bytes) = self.next_datagram(length);
        match self.socket.send_to(&bytes, &self.address, ROOM_WAIT_LIMIT) {
            Ok(()) => {
                self.sent_datagrams.push(sent);
                Ok(Some(sent))
            }
            Err(e) if is_timeout(&e) || is_queue_full(&e) => Ok(None),
            Err(e) => Err(send_failure(length, &e)),
        }
    }

    fn next_datagram(&mut self, length: usize) -> (Sent, Vec<u8>) {
        let sent = Sent { position: self.next_position, length };
        self.next_position += (length.max(1)).next_multiple_of(RECORD_BYTES) as u64;
        (sent, self.payload.bytes(sent.position, length))
    }

    /// Closes the client but leaves its path in place. Replies may be in transit.
    #[must_use]
    pub fn leave(self) -> Predecessor {
        let name = match (self.address(), self.path) {
            (Some(address), _) => Name::Address(address),
            (None, Some(path)) => Name::Path(path),
            (None, None) => Name::Nothing,
        };
        Predecessor { name, payload: self.payload, sent_datagrams: self.sent_datagrams }
    }

    /// The address of a UDP client.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.sock_ref().local_addr().ok()?.as_socket()
    }

    /// Sends datagrams of `length` bytes as fast as possible until `stop` is set. Reads no reply.
    ///
    /// # Errors
    /// `harness` when the system cannot send.
    pub fn flood(&mut self, length: usize, stop: &AtomicBool) -> Result<(), Failure> {
        let bytes = self.payload.bytes(self.next_position, length);
        while !stop.load(Ordering::Relaxed) {
            match self.socket.sock_ref().send_to(&bytes, &self.address) {
                Ok(_) => {}
                Err(e) if is_timeout(&e) || is_queue_full(&e) => {}
                Err(e) => return Err(harness_failure("send many datagrams", &e)),
            }
        }
        Ok(())
    }

    /// Removes the client's path, so that the server can no longer reply to it.
    ///
    /// # Errors
    /// `harness` when the client has no path.
    pub fn remove_path(&self) -> Result<(), Failure> {
        let removed =
            self.path.as_ref().map_or(Err(ErrorKind::NotFound.into()), std::fs::remove_file);
        removed.map_err(|e| harness_failure("remove a client's path", &e))
    }

    /// Makes room in the client's send buffer for any datagram. On Linux, a datagram that needs
    /// fragments fails with ENOBUFS if it is more than twice as long as that buffer.
    ///
    /// # Errors
    /// `harness` when the system refuses.
    pub fn grow_send_buffer(&self) -> Result<(), Failure> {
        self.socket
            .sock_ref()
            .set_send_buffer_size(BUFFER_BYTES)
            .map_err(|e| harness_failure("grow a buffer", &e))
    }

    /// Makes the client's receive buffer so small that most replies are lost.
    ///
    /// # Errors
    /// `harness` when the system refuses.
    pub fn shrink_receive_buffer(&self) -> Result<(), Failure> {
        self.socket
            .sock_ref()
            .set_recv_buffer_size(2048)
            .map_err(|e| harness_failure("shrink a buffer", &e))
    }

    /// The next datagram of the server; `None` when the deadline is over. A datagram from another
    /// place is an error if its bytes are of this cell. Otherwise it is meant for a program that
    /// had the port before, and is skipped.
    fn receive_reply(&mut self, deadline: Deadline) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let (socket, buffer) = (&self.socket, &mut self.buffer);
            match self.clock.count_wait(|| socket.receive_from(buffer, deadline.left())) {
                Ok((length, from)) if from.as_ref() == Some(&self.place) => {
                    if let Some(gone) = &mut self.predecessor
                        && gone.take_reply(&self.buffer[..length])
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
                Err(e) if is_timeout(&e) && deadline.is_over() => return Ok(None),
                // Windows reports here that nobody listened when an earlier datagram arrived.
                Err(e) if is_timeout(&e) || e.kind() == ErrorKind::ConnectionReset => {}
                Err(e) => return Err(harness_failure("receive a datagram", &e)),
            }
        }
    }

    /// Whether the bytes echo a datagram of this client, or contain a stamp of this cell.
    fn is_ours(&self, bytes: &[u8]) -> bool {
        let is_echo = |sent: &Sent| bytes == self.payload.bytes(sent.position, sent.length);
        self.payload.is_of_this_cell(bytes) || self.sent_datagrams.iter().any(is_echo)
    }

    /// Removes from `sent` the datagram that `reply` echoes.
    fn match_reply(&self, sent: &mut Vec<Sent>, reply: &[u8]) -> Result<(), Failure> {
        let is_echo =
            |sent: &Sent| reply == self.payload.bytes(sent.position, sent.length).as_slice();
        if let Some(index) = sent.iter().position(is_echo) {
            sent.swap_remove(index);
            return Ok(());
        }
        Err(match sent.iter().min_by_key(|sent| sent.position) {
            Some(due) => self.mismatch_failure(*due, reply),
            None => {
                let mismatch = self.payload.classify(self.next_position, reply, self.next_position);
                let actual = format!("one of {} bytes: {}", reply.len(), mismatch.found);
                Failure::new(mismatch.kind, "no more datagrams", actual)
            }
        })
    }

    /// What is wrong with a reply, if the echo of `due` was expected.
    fn mismatch_failure(&self, due: Sent, reply: &[u8]) -> Failure {
        let Sent { position, length } = due;
        let same = self.payload.count_matching(position, reply);
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
        let mismatch = self.payload.classify(at, &reply[same..], self.next_position);
        let actual = format!("{} bytes; from byte {same} on: {}", reply.len(), mismatch.found);
        Failure::new(mismatch.kind, expected, actual)
    }
}

/// The failure to send a datagram of `length` bytes.
fn send_failure(length: usize, error: &io::Error) -> Failure {
    if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&error.kind()) {
        return Failure::new(FailureKind::Refused, "a server at its address", error.to_string());
    }
    harness_failure(&format!("send a datagram of {length} bytes"), error)
}

impl Predecessor {
    /// Whether the reply echoes a datagram of this client that was not echoed before.
    fn take_reply(&mut self, reply: &[u8]) -> bool {
        let is_echo = |sent: &Sent| reply == self.payload.bytes(sent.position, sent.length);
        let index = self.sent_datagrams.iter().position(is_echo);
        index.map(|index| self.sent_datagrams.swap_remove(index)).is_some()
    }
}
