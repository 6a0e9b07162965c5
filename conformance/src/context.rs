//! What everything in one cell shares: the case's size, the key, the clock, and the numbers of its
//! connections.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use report::sockets::Sockets;

use crate::clock::CellClock;
use crate::key::Key;
use crate::profile::Profile;

/// What is the same for everything in one cell.
#[derive(Debug)]
pub struct Context {
    /// The size of the case's table row for the profile.
    pub size: u64,
    /// What the payload of the cell follows from.
    pub key: Arc<Key>,
    /// The profile.
    pub profile: Profile,
    /// The cell's clock.
    pub clock: Arc<CellClock>,
    /// What the host's kernel does with sockets.
    pub sockets: Arc<Sockets>,
    connections: Arc<AtomicU32>,
    kept: Arc<Mutex<Vec<Arc<UdpSocket>>>>,
}

impl Context {
    /// A cell that starts now.
    #[must_use]
    pub fn new(size: u64, key: Key, profile: Profile, clock: CellClock, sockets: &Sockets) -> Self {
        Self {
            size,
            key: Arc::new(key),
            profile,
            clock: Arc::new(clock),
            sockets: Arc::new(sockets.clone()),
            connections: Arc::default(),
            kept: Arc::default(),
        }
    }

    /// A part of this cell, as small as in `quick`. It goes on counting this cell's connections, so
    /// that bytes of one part that turn up in another are known as foreign.
    #[must_use]
    pub fn quick_part(&self, size: u64) -> Self {
        Self {
            size,
            key: Arc::clone(&self.key),
            profile: Profile::Quick,
            clock: Arc::clone(&self.clock),
            sockets: Arc::clone(&self.sockets),
            connections: Arc::clone(&self.connections),
            kept: Arc::clone(&self.kept),
        }
    }

    /// Keeps a socket open until the cell has ended, and its server with it. If it were closed
    /// before, a client of another cell could get its port and, with that, this server's replies.
    pub(crate) fn keep(&self, socket: Arc<UdpSocket>) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    }

    /// How many clients have connected since the last of which it is known that it was served: so
    /// many the server may still have to accept.
    pub(crate) fn owed(&self) -> u32 {
        let connected = self.connections.load(Ordering::Relaxed);
        connected.saturating_sub(self.clock.served())
    }

    /// A number for the next connection, or client, of this cell.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// A random source that depends on nothing but the key and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.key.random(purpose)
    }
}
