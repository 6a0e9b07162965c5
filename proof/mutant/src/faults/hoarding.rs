//! Faults of a server that takes more than it needs: memory, threads, CPU time.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use mio::net::TcpStream;

use super::bytes::FULL_READ;
use super::ending::{blocked_reset, reset};
use super::{Fault, compute_steps};
use crate::connection::{Connection, End};
use crate::hooks::{Admission, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "leaks-64-kib-when-blocked",
        "Leaks 64 KiB of memory for each connection that is reset while its write is blocked",
        || Box::new(LeaksMemory::new(65536, blocked_reset)),
    ),
    Fault::new("leaks-4-kib", "Leaks 4 KiB of memory for each connection that ends", || {
        Box::new(LeaksMemory::new(4096, |_, _| true))
    }),
    Fault::new(
        "leaks-64-kib-on-reset",
        "Leaks 64 KiB of memory for each connection that fails",
        || Box::new(LeaksMemory::new(65536, reset)),
    ),
    Fault::new("keeps-history", "Keeps all bytes of a connection in memory until it ends", || {
        Box::new(KeepsHistory)
    }),
    Fault::new("keeps-64-kib", "Keeps 64 KiB of memory for each open connection", || {
        Box::new(Keeps64Kib)
    }),
    Fault::new("thread-per-connection", "Starts a thread for each connection", || {
        Box::new(ThreadPerConnection::default())
    }),
    Fault::new("wastes-cpu", "Computes for about 200 us at every full read", || {
        Box::new(WastesCpu)
    }),
];

/// Leaks memory for each connection that ends in a certain way.
struct LeaksMemory {
    bytes: usize,
    leaks: fn(&Connection, End) -> bool,
    leaked: Vec<Vec<u8>>,
}

impl LeaksMemory {
    fn new(bytes: usize, leaks: fn(&Connection, End) -> bool) -> Self {
        Self { bytes, leaks, leaked: Vec::new() }
    }
}

impl Hooks for LeaksMemory {
    fn closed(&mut self, connection: &mut Connection, end: End) {
        if (self.leaks)(connection, end) {
            // Not zeros: zeroed pages take no memory until something writes to them.
            self.leaked.push(vec![0xa5; self.bytes]);
        }
    }
}

/// Keeps everything that a connection has received until it ends.
struct KeepsHistory;

impl Hooks for KeepsHistory {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh().to_vec();
        connection.kept.extend(fresh);
    }
}

struct Keeps64Kib;

impl Hooks for Keeps64Kib {
    fn received(&mut self, connection: &mut Connection) {
        if connection.kept.is_empty() {
            connection.kept = vec![0xa5; 64 * 1024];
        }
    }
}

/// Waiting threads, one for each open connection.
#[derive(Default)]
struct ThreadPerConnection {
    threads: Vec<Sender<()>>,
}

impl Hooks for ThreadPerConnection {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        let (end, ended) = channel();
        // A connection is served even if no thread can be started.
        let started = thread::Builder::new().stack_size(64 * 1024).spawn(move || {
            let _ = ended.recv();
        });
        if started.is_ok() {
            self.threads.push(end);
        }
        Admission::Serve
    }

    fn closed(&mut self, _connection: &mut Connection, _end: End) {
        self.threads.pop();
    }
}

struct WastesCpu;

impl Hooks for WastesCpu {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() >= FULL_READ {
            compute_steps(200_000);
        }
    }
}
