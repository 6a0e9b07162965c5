//! What everything in one cell shares: the size of the case, the key, the clock, and the count of
//! connections.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use report::sockets::Sockets;

use crate::clock::CellClock;
use crate::key::Key;
use crate::profile::Profile;

#[derive(Debug)]
pub struct Context {
    /// The size of the case in this profile.
    pub size: u64,
    /// All payload of the cell derives from this key.
    pub key: Arc<Key>,
    pub profile: Profile,
    pub clock: Arc<CellClock>,
    /// What the kernel of this host does with sockets.
    pub sockets: Arc<Sockets>,
    connections: Arc<AtomicU32>,
    kept_sockets: Arc<Mutex<Vec<Arc<UdpSocket>>>>,
}

impl Context {
    #[must_use]
    pub fn new(size: u64, key: Key, profile: Profile, clock: CellClock, sockets: &Sockets) -> Self {
        Self {
            size,
            key: Arc::new(key),
            profile,
            clock: Arc::new(clock),
            sockets: Arc::new(sockets.clone()),
            connections: Arc::default(),
            kept_sockets: Arc::default(),
        }
    }

    /// A part of this cell, with the `quick` profile. It continues the cell's count of connections,
    /// so that bytes of one part are recognised as foreign in another.
    #[must_use]
    pub fn quick_part(&self, size: u64) -> Self {
        Self {
            size,
            key: Arc::clone(&self.key),
            profile: Profile::Quick,
            clock: Arc::clone(&self.clock),
            sockets: Arc::clone(&self.sockets),
            connections: Arc::clone(&self.connections),
            kept_sockets: Arc::clone(&self.kept_sockets),
        }
    }

    /// Keeps a socket open until the cell and its server have ended. If the socket were closed
    /// earlier, a client of another cell could get its port, and then this server's replies.
    pub(crate) fn keep_socket(&self, socket: Arc<UdpSocket>) {
        self.kept_sockets.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    }

    /// How many clients have connected since the last one that is known to be served. The server
    /// may still have to accept this many.
    pub(crate) fn unaccepted_clients(&self) -> u32 {
        let connected = self.connections.load(Ordering::Relaxed);
        connected.saturating_sub(self.clock.accepted_count())
    }

    /// The number for the next connection or client of this cell.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// A random source that depends only on the key and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.key.random(purpose)
    }
}
