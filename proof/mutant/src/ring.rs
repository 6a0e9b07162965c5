//! A small echo server on one `io_uring` ring, in several styles, and a ring that completes one
//! operation per call. Both serve faults and odd servers in which it matters what carries the
//! bytes. The server has TCP only, and a stop cuts its connections.
#![expect(unsafe_code, reason = "the kernel is given entries with pointers and descriptors")]

use std::io::{self, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, SubmissionQueue, Submitter, opcode, squeue};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::event::epoll::{Event, EventData, EventFlags};
use socket2::Socket;

/// Entries of the submission queue, and of the ring's file table.
const ENTRIES: u32 = 1024;
const BUFFER_BYTES: usize = 4096;
/// How long the kernel thread of a ring with SQPOLL looks for entries before it sleeps.
const POLLED_MILLISECONDS: u32 = 20;

/// How the server uses its ring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// The ring is used by its registered index, and its descriptor is another file.
    pub(crate) hides: bool,
    /// The ring only waits for readability. System calls read and write.
    pub(crate) only_polls: bool,
    /// A thread waits for the same sockets in an epoll instance, and ignores the events.
    pub(crate) shows_epoll: bool,
    /// Connections have no descriptors. They are in the ring's file table.
    pub(crate) keeps_in_table: bool,
    /// A connection stays in the file table after a reset.
    pub(crate) leaks_resets: bool,
    /// A kernel thread polls the submission queue (SQPOLL).
    pub(crate) is_polled: bool,
    /// The server waits for completions in an epoll instance, through an eventfd.
    pub(crate) waits_in_epoll: bool,
}

/// The operation of an entry, in the upper half of its user data. The lower half is a slot.
const ACCEPT: u64 = 1 << 32;
const RECEIVE: u64 = 2 << 32;
const SEND: u64 = 3 << 32;
const STOP: u64 = 4 << 32;
const CLOSE: u64 = 5 << 32;

struct Connection {
    place: Place,
    /// The kernel writes into it during a receive, so it must not move.
    buffer: Box<[u8; BUFFER_BYTES]>,
    filled: usize,
    sent: usize,
}

/// A connection's descriptor, or its index in the ring's file table.
enum Place {
    Descriptor(OwnedFd),
    Table(u32),
}

/// Serves until `is_stopped` returns true.
pub(crate) fn serve(
    style: Style,
    listeners: &[&Socket],
    mut poll: Poll,
    is_stopped: impl Fn() -> bool,
) -> io::Result<()> {
    let mut builder = IoUring::<squeue::Entry>::builder();
    if style.is_polled {
        builder.setup_sqpoll(POLLED_MILLISECONDS);
    }
    let mut ring = builder.build(ENTRIES)?;
    let descriptor = ring.as_raw_fd();
    let (mut submitter, queue, mut completions) = ring.split();
    if style.keeps_in_table {
        submitter.register_files_sparse(ENTRIES)?;
    }
    if style.hides {
        submitter.register_ring_fd()?;
        hide(descriptor)?;
    }
    let mut events = Events::with_capacity(16);
    let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK)?;
    if style.waits_in_epoll {
        submitter.register_eventfd(bell.as_raw_fd())?;
        let source = &bell.as_raw_fd();
        poll.registry().register(&mut SourceFd(source), Token(1), Interest::READABLE)?;
    }
    let shown = if style.shows_epoll { Some(waited_in()?) } else { None };
    let mut server = Server { style, queue, connections: ManuallyDrop::default(), shown };
    for (index, listener) in listeners.iter().enumerate() {
        server.accept(listener, index)?;
    }
    server.push(&opcode::PollAdd::new(Fd(poll.as_raw_fd()), 1).build(), STOP)?;
    while !is_stopped() {
        server.queue.sync();
        if style.waits_in_epoll {
            submitter.submit()?;
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let _ = rustix::io::read(&bell, &mut [0; 8]);
        } else {
            wait(&submitter)?;
        }
        completions.sync();
        for completion in &mut completions {
            server.completed(listeners, completion.user_data(), completion.result())?;
        }
    }
    Ok(())
}

fn wait(submitter: &Submitter<'_>) -> io::Result<()> {
    match submitter.submit_and_wait(1) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Puts another file under the descriptor of a ring whose descriptor is registered.
fn hide(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: the ring owns the descriptor, and stays its only owner because of `forget` below.
    // From here on the ring is used by its registered index; when it is dropped, it closes the
    // other file.
    let mut taken = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let file = std::fs::File::open("/dev/null")?;
    let done = rustix::io::dup2(&file, &mut taken);
    std::mem::forget(taken);
    Ok(done?)
}

/// An epoll instance in which a thread waits for as long as the process lives.
fn waited_in() -> io::Result<mio::Registry> {
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    std::thread::spawn(move || {
        let mut events = Events::with_capacity(16);
        loop {
            let _ = poll.poll(&mut events, None);
        }
    });
    Ok(registry)
}

struct Server<'a> {
    style: Style,
    queue: SubmissionQueue<'a>,
    /// Never freed: receives may be in flight when the server ends, and the ring outlives it.
    connections: ManuallyDrop<Vec<Option<Connection>>>,
    shown: Option<mio::Registry>,
}

impl Server<'_> {
    fn push(&mut self, entry: &squeue::Entry, user_data: u64) -> io::Result<()> {
        push(&mut self.queue, &entry.clone().user_data(user_data))
    }

    fn accept(&mut self, listener: &Socket, index: usize) -> io::Result<()> {
        let listener = Fd(listener.as_raw_fd());
        let entry = opcode::Accept::new(listener, std::ptr::null_mut(), std::ptr::null_mut());
        let entry = if self.style.keeps_in_table {
            entry.file_index(Some(DestinationSlot::auto_target())).build()
        } else {
            // SOCK_CLOEXEC has the same value as O_CLOEXEC.
            entry.flags(rustix::fs::OFlags::CLOEXEC.bits().cast_signed()).build()
        };
        self.push(&entry, ACCEPT | index as u64)
    }

    fn completed(&mut self, listeners: &[&Socket], user_data: u64, result: i32) -> io::Result<()> {
        let slot = (user_data & 0xffff_ffff) as usize;
        match user_data & !0xffff_ffff {
            ACCEPT => {
                self.accept(listeners[slot], slot)?;
                if result >= 0 { self.admit(result) } else { Ok(()) }
            }
            RECEIVE if self.style.only_polls => self.echo_by_call(slot),
            RECEIVE if result > 0 => {
                if let Some(Some(connection)) = self.connections.get_mut(slot) {
                    (connection.filled, connection.sent) = (result.unsigned_abs() as usize, 0);
                }
                self.send(slot)
            }
            SEND if result > 0 => {
                let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
                connection.sent += result.unsigned_abs() as usize;
                if connection.sent < connection.filled {
                    self.send(slot)
                } else {
                    self.receive(slot)
                }
            }
            RECEIVE | SEND => self.close(slot, result),
            _ => Ok(()),
        }
    }

    fn admit(&mut self, accepted: i32) -> io::Result<()> {
        let place = if self.style.keeps_in_table {
            Place::Table(accepted.unsigned_abs())
        } else {
            // SAFETY: the kernel has just created this descriptor for the completed accept, and
            // nobody else owns it.
            let descriptor = unsafe { OwnedFd::from_raw_fd(accepted) };
            socket2::SockRef::from(&descriptor).set_tcp_nodelay(true)?;
            Place::Descriptor(descriptor)
        };
        if let (Some(registry), Place::Descriptor(descriptor)) = (&self.shown, &place) {
            let source = &descriptor.as_raw_fd();
            registry.register(&mut SourceFd(source), Token(0), Interest::READABLE)?;
        }
        let buffer = Box::new([0; BUFFER_BYTES]);
        let connection = Some(Connection { place, buffer, filled: 0, sent: 0 });
        let free = self.connections.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.connections.len());
        if slot == self.connections.len() {
            self.connections.push(connection);
        } else {
            self.connections[slot] = connection;
        }
        self.receive(slot)
    }

    fn receive(&mut self, slot: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
        let buffer = connection.buffer.as_mut_ptr();
        let entry = match &connection.place {
            Place::Descriptor(descriptor) if self.style.only_polls => {
                opcode::PollAdd::new(Fd(descriptor.as_raw_fd()), 1).build()
            }
            Place::Descriptor(descriptor) => {
                opcode::Recv::new(Fd(descriptor.as_raw_fd()), buffer, BUFFER_BYTES as u32).build()
            }
            Place::Table(index) => {
                opcode::Recv::new(Fixed(*index), buffer, BUFFER_BYTES as u32).build()
            }
        };
        self.push(&entry, RECEIVE | slot as u64)
    }

    fn send(&mut self, slot: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
        let rest = &connection.buffer[connection.sent..connection.filled];
        let (start, length) = (rest.as_ptr(), rest.len() as u32);
        let entry = match &connection.place {
            Place::Descriptor(descriptor) => {
                opcode::Send::new(Fd(descriptor.as_raw_fd()), start, length).build()
            }
            Place::Table(index) => opcode::Send::new(Fixed(*index), start, length).build(),
        };
        self.push(&entry, SEND | slot as u64)
    }

    fn echo_by_call(&mut self, slot: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
        let Place::Descriptor(descriptor) = &connection.place else { return Ok(()) };
        let mut stream = TcpStream::from(descriptor.try_clone()?);
        let buffer = &mut connection.buffer[..];
        let echoed = stream.read(buffer).and_then(|bytes| {
            stream.write_all(&buffer[..bytes])?;
            Ok(bytes)
        });
        if echoed.is_ok_and(|bytes| bytes > 0) { self.receive(slot) } else { self.close(slot, 0) }
    }

    fn close(&mut self, slot: usize, result: i32) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return Ok(());
        };
        match connection.place {
            Place::Table(_) if result < 0 && self.style.leaks_resets => Ok(()),
            Place::Table(index) => self.push(&opcode::Close::new(Fixed(index)).build(), CLOSE),
            Place::Descriptor(descriptor) => {
                drop(descriptor);
                Ok(())
            }
        }
    }
}

fn push(queue: &mut SubmissionQueue<'_>, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: the entry points to nothing that the kernel still uses after the memory is gone. A
    // connection's buffer is in a box, and stays in its slot until the completion arrives; a
    // [`Pump`] waits for the completion of each entry.
    let pushed = unsafe { queue.push(entry) };
    pushed.map_err(io::Error::other)
}

/// A ring that completes one operation per call.
pub(crate) struct Pump {
    ring: IoUring,
    /// /dev/zero, which always has a byte to read.
    zero: std::fs::File,
    byte: Box<[u8; 1]>,
    /// The epoll instances that the process had when the ring was opened.
    epolls: Vec<RawFd>,
}

impl Pump {
    pub(crate) fn new(is_polled: bool) -> io::Result<Self> {
        let mut builder = IoUring::<squeue::Entry>::builder();
        if is_polled {
            builder.setup_sqpoll(POLLED_MILLISECONDS);
        }
        let zero = std::fs::File::open("/dev/zero")?;
        Ok(Self { ring: builder.build(8)?, zero, byte: Box::new([0]), epolls: epolls()? })
    }

    pub(crate) fn nop(&mut self) -> io::Result<i32> {
        self.complete(&opcode::Nop::new().build())
    }

    pub(crate) fn read_byte(&mut self) -> io::Result<i32> {
        let buffer = self.byte.as_mut_ptr();
        self.complete(&opcode::Read::new(Fd(self.zero.as_raw_fd()), buffer, 1).build())
    }

    /// Has each epoll instance of this process change its watch of `socket` to what it already is.
    /// Instances that do not watch the socket complete with an error, which is ignored.
    pub(crate) fn watch_again(
        &mut self,
        socket: &mio::net::TcpStream,
        slot: usize,
    ) -> io::Result<()> {
        const EPOLL_CTL_MOD: i32 = 3;

        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        // The kernel copies the event when it takes the entry, which is before `complete` returns.
        let event = Event { flags, data: EventData::new_u64(slot as u64) };
        for epoll in self.epolls.clone() {
            let (socket, event) = (Fd(socket.as_raw_fd()), (&raw const event).cast());
            self.complete(&opcode::EpollCtl::new(Fd(epoll), socket, EPOLL_CTL_MOD, event).build())?;
        }
        Ok(())
    }

    fn complete(&mut self, entry: &squeue::Entry) -> io::Result<i32> {
        push(&mut self.ring.submission(), entry)?;
        loop {
            if let Some(completion) = self.ring.completion().next() {
                return Ok(completion.result());
            }
            wait(&self.ring.submitter())?;
        }
    }
}

/// The descriptors of this process's epoll instances.
fn epolls() -> io::Result<Vec<RawFd>> {
    let mut epolls = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // `read_link` fails for a descriptor that has been closed meanwhile.
        let is_epoll = std::fs::read_link(entry.path())
            .is_ok_and(|link| link.as_os_str() == "anon_inode:[eventpoll]");
        epolls.extend(entry.file_name().to_str().filter(|_| is_epoll).map(str::parse::<RawFd>));
    }
    epolls.into_iter().collect::<Result<_, _>>().map_err(io::Error::other)
}

/// Starts a thread that waits in a ring for an event that never comes, for as long as the process
/// lives. The ring has an operation in flight, so the kernel counts the thread as waiting for I/O.
pub(crate) fn wait_in_ring(hides: bool) {
    std::thread::spawn(move || -> io::Result<()> {
        let mut empty = IoUring::new(8)?;
        let descriptor = empty.as_raw_fd();
        let silent = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let (mut submitter, mut queue, _completions) = empty.split();
        push(&mut queue, &opcode::PollAdd::new(Fd(silent.as_raw_fd()), 1).build())?;
        queue.sync();
        if hides {
            submitter.register_ring_fd()?;
            hide(descriptor)?;
        }
        loop {
            // A signal ends the wait, but not the thread.
            let _ = submitter.submit_and_wait(1);
        }
    });
}
