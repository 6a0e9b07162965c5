//! Faults of servers with `io_uring` rings: rings that carry no connections, and servers that use
//! another driver than they announce. On systems other than Linux they do nothing.

use std::io;

#[cfg(not(target_os = "linux"))]
use mio::net::TcpStream;

use super::Fault;
use super::starting::SaysIoUring;
use crate::connection::Connection;
use crate::hooks::Hooks;
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "waits-in-ring",
        "Has an idle thread that waits in one ring, and a second idle ring (Linux only)",
        || Box::new(Idle::waited_in()),
    ),
    Fault::new(
        "polled-ring",
        "Has an idle ring that a kernel thread polls (SQPOLL; Linux only)",
        || Box::new(Idle::polled()),
    ),
    Fault::new(
        "nop-pump",
        "Announces io_uring and serves without it, but completes a no-op in a ring per message \
         (Linux only)",
        || Box::new(Pumps::nops()),
    )
    .with_process(&SaysIoUring),
    Fault::new(
        "read-pump",
        "Announces io_uring and serves without it, but reads a file through a ring per message \
         (Linux only)",
        || Box::new(Pumps::bytes(false)),
    )
    .with_process(&SaysIoUring),
    Fault::process(
        "polls-by-ring",
        "Announces io_uring, but uses its ring only to wait for readability (Linux only)",
        &OnRing { says_ring: true, style: POLLS },
    ),
    Fault::process(
        "hidden-ring",
        "Announces epoll, but serves on a ring that has no descriptor (Linux only)",
        &OnRing { says_ring: false, style: HIDDEN },
    ),
    Fault::process(
        "shows-epoll",
        "Announces epoll, where a thread waits for its sockets, but serves them on a hidden ring \
         (Linux only)",
        &OnRing { says_ring: false, style: SHOWS_EPOLL },
    ),
    Fault::process(
        "shows-epoll-by-a-bell",
        "Announces epoll, but a hidden ring serves its sockets; one epoll instance waits for the \
         sockets and for the ring's completions (Linux only)",
        &OnRing { says_ring: false, style: SHOWS_EPOLL_BY_BELL },
    ),
    Fault::process(
        "leaks-direct",
        "Keeps connections in the file table of a ring, and leaks them there after a reset (Linux \
         only)",
        &OnRing { says_ring: true, style: LEAKS },
    ),
];

/// Servers that do what they announce, but use their rings in an unusual way.
pub(super) const ODD: &[Fault] = &[
    Fault::new(
        "odd-fills-epoll-by-ring",
        "Modifies its epoll instance through a ring at every message (Linux only)",
        || Box::new(FillsEpoll::default()),
    ),
    Fault::new(
        "odd-reads-file-by-ring",
        "Reads a file at every message, through a ring that a kernel thread polls (Linux only)",
        || Box::new(Pumps::bytes(true)),
    ),
    Fault::new(
        "odd-waits-in-hidden-ring",
        "Has an idle thread that waits in a ring without a descriptor (Linux only)",
        || Box::new(Idle::hidden()),
    ),
    Fault::process(
        "odd-ring-without-descriptor",
        "Serves on a ring that has no descriptor (Linux only)",
        &OnRing { says_ring: true, style: HIDDEN },
    ),
    Fault::process(
        "odd-ring-polled",
        "Serves on a ring that a kernel thread polls (SQPOLL; Linux only)",
        &OnRing { says_ring: true, style: POLLED },
    ),
    Fault::process(
        "odd-ring-waited-for-in-epoll",
        "Serves on a ring, and waits for its completions in epoll (Linux only)",
        &OnRing { says_ring: true, style: BELL },
    ),
    Fault::process(
        "odd-ring-with-file-table",
        "Serves on a ring, and keeps its connections in the file table of the ring (Linux only)",
        &OnRing { says_ring: true, style: DIRECT },
    ),
];

/// The styles that both tables use.
#[cfg(target_os = "linux")]
mod styles {
    pub(super) use crate::ring::Style;

    const PLAIN: Style = Style {
        hides: false,
        only_polls: false,
        shows_epoll: false,
        keeps_in_table: false,
        leaks_resets: false,
        is_polled: false,
        waits_in_epoll: false,
    };
    pub(super) const POLLS: Style = Style { only_polls: true, ..PLAIN };
    pub(super) const HIDDEN: Style = Style { hides: true, ..PLAIN };
    pub(super) const SHOWS_EPOLL: Style = Style { shows_epoll: true, ..HIDDEN };
    pub(super) const SHOWS_EPOLL_BY_BELL: Style = Style { waits_in_epoll: true, ..SHOWS_EPOLL };
    pub(super) const DIRECT: Style = Style { keeps_in_table: true, ..PLAIN };
    pub(super) const LEAKS: Style = Style { leaks_resets: true, ..DIRECT };
    pub(super) const POLLED: Style = Style { is_polled: true, ..PLAIN };
    pub(super) const BELL: Style = Style { waits_in_epoll: true, ..PLAIN };
}

/// Without rings, a server that should use one serves in the usual way.
#[cfg(not(target_os = "linux"))]
mod styles {
    pub(super) struct Style;

    pub(super) const POLLS: Style = Style;
    pub(super) const HIDDEN: Style = Style;
    pub(super) const SHOWS_EPOLL: Style = Style;
    pub(super) const SHOWS_EPOLL_BY_BELL: Style = Style;
    pub(super) const DIRECT: Style = Style;
    pub(super) const LEAKS: Style = Style;
    pub(super) const POLLED: Style = Style;
    pub(super) const BELL: Style = Style;
}

use styles::{BELL, DIRECT, HIDDEN, LEAKS, POLLED, POLLS, SHOWS_EPOLL, SHOWS_EPOLL_BY_BELL, Style};

struct OnRing {
    says_ring: bool,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no ring"))]
    style: Style,
}

impl ProcessHooks for OnRing {
    fn claims_ring(&self) -> bool {
        self.says_ring
    }

    #[cfg(target_os = "linux")]
    fn ring_style(&self) -> Option<Style> {
        Some(self.style)
    }
}

/// A ring that carries no connections.
struct Idle {
    _ring: Option<Pump>,
}

impl Idle {
    fn polled() -> Self {
        Self { _ring: opened(Pump::new(true)) }
    }

    fn waited_in() -> Self {
        wait_in_ring(false);
        Self { _ring: opened(Pump::new(false)) }
    }

    fn hidden() -> Self {
        wait_in_ring(true);
        Self { _ring: None }
    }
}

impl Hooks for Idle {}

/// A ring that completes one operation for each message that another driver has received.
struct Pumps {
    ring: Option<Pump>,
    reads: bool,
}

impl Pumps {
    fn nops() -> Self {
        Self { ring: opened(Pump::new(false)), reads: false }
    }

    fn bytes(is_polled: bool) -> Self {
        Self { ring: opened(Pump::new(is_polled)), reads: true }
    }
}

impl Hooks for Pumps {
    fn received(&mut self, _connection: &mut Connection) {
        if let Some(ring) = &mut self.ring {
            let done = if self.reads { ring.read_byte() } else { ring.nop() };
            opened(done);
        }
    }
}

/// Modifies epoll instances through a ring. libuv does that to save system calls.
#[derive(Default)]
struct FillsEpoll {
    ring: Option<Pump>,
}

impl Hooks for FillsEpoll {
    fn received(&mut self, connection: &mut Connection) {
        // Opened only here: it has to find the epoll instance, which must exist by then.
        if self.ring.is_none() {
            self.ring = opened(Pump::new(false));
        }
        if let Some(ring) = &mut self.ring {
            opened(ring.watch_again(&connection.stream, connection.slot));
        }
    }
}

fn opened<T>(ring: io::Result<T>) -> Option<T> {
    ring.inspect_err(|error| eprintln!("no ring: {error}")).ok()
}

#[cfg(target_os = "linux")]
use crate::ring::{Pump, wait_in_ring};

#[cfg(not(target_os = "linux"))]
struct Pump;

#[cfg(not(target_os = "linux"))]
impl Pump {
    fn new(_is_polled: bool) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn nop(&mut self) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_byte(&mut self) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn watch_again(&mut self, _socket: &TcpStream, _slot: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(target_os = "linux"))]
fn wait_in_ring(_hides: bool) {}
