//! Streams that run until the server ends them: the traffic while a server is stopped or killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind};

use crate::client::connection::{Connection, End, ReadResult};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::clock::CellClock;

/// How often to check for the order to stop while no stream moves.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Streams on several connections, each until the server ends it.
#[derive(Debug)]
pub struct Streams {
    open: Vec<Stream>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Stream {
    connection: Connection,
    is_sending: bool,
    end: Option<End>,
}

impl Streams {
    /// Connects, and sends nothing yet.
    ///
    /// # Errors
    /// Those of [`Peer::connect_many`].
    pub fn start(peer: &Peer, count: u64) -> Result<Self, Failure> {
        let stream = |connection| Stream { connection, is_sending: true, end: None };
        let open = peer.connect_many(count)?.into_iter().map(stream).collect();
        Ok(Self { open, buffer: vec![0; 64 * 1024] })
    }

    /// Streams for `time`. No connection may end during that time.
    ///
    /// # Errors
    /// A payload failure, or `closed`.
    pub fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.take_turn(end.saturating_duration_since(Instant::now()))?;
            self.expect_open()?;
        }
        Ok(())
    }

    /// Streams until `stop` is set. No connection may end before that.
    ///
    /// # Errors
    /// A payload failure, or `closed`.
    pub fn run_until(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            self.take_turn(LOOK_INTERVAL)?;
            self.expect_open()?;
        }
        Ok(())
    }

    fn expect_open(&self) -> Result<(), Failure> {
        let Some(stream) = self.open.iter().find(|stream| stream.end.is_some()) else {
            return Ok(());
        };
        let actual = format!("{:?}", stream.end);
        Err(Failure::new(FailureKind::Closed, "open streams before the stop", actual))
    }

    /// Bytes that have come back, per stream.
    #[must_use]
    pub fn received_bytes(&self) -> Vec<u64> {
        self.open.iter().map(|stream| stream.connection.received_bytes()).collect()
    }

    /// Receives what is still in transit on each stream. None of it may be lost.
    ///
    /// # Errors
    /// A payload failure, `closed`, `reset`, or `timeout` when no stream makes progress.
    pub fn finish(mut self, clock: &CellClock) -> Result<(), Failure> {
        let connections = self.open.iter_mut().map(|stream| &mut stream.connection);
        let mut rest: Vec<Flow> =
            connections.map(|connection| Flow::new(connection, 0, 0)).collect();
        exchange(&mut rest, clock)
    }

    /// Streams until the server has ended every connection, and checks every byte that arrives. An
    /// end by reset is legal, because the server may leave bytes unread.
    ///
    /// # Errors
    /// A payload failure, or `timeout`.
    pub fn run_to_end(&mut self, clock: &CellClock) -> Result<(), Failure> {
        let mut deadline = clock.progress_deadline();
        while !self.open.is_empty() {
            if self.take_turn(deadline.left())? {
                deadline = clock.progress_deadline();
            } else if deadline.is_over() {
                let open = self.open.len();
                return Err(deadline.failure(&format!("the end of {open} streams")));
            }
            // The judge closes too: the server would wait for that until its drain deadline.
            self.open.retain(|stream| stream.end.is_none());
        }
        Ok(())
    }

    /// Gives each stream one turn. Waits at most `time` if none moves. Returns whether any moved.
    fn take_turn(&mut self, time: Duration) -> Result<bool, Failure> {
        let mut has_moved = false;
        for stream in self.open.iter_mut().filter(|stream| stream.end.is_none()) {
            has_moved |= stream.take_turn(&mut self.buffer)?;
        }
        if !has_moved {
            let sockets: Vec<_> = self
                .open
                .iter()
                .map(|stream| {
                    (stream.connection.socket(), Interest::from_unsent(stream.is_ready_to_send()))
                })
                .collect();
            wait_any(&sockets, time)?;
        }
        Ok(has_moved)
    }
}

impl Stream {
    /// The most bytes in transit; see [`Flow::window`].
    const WINDOW: u64 = 256 * 1024;

    fn is_ready_to_send(&self) -> bool {
        self.is_sending
            && self.connection.sent_bytes() - self.connection.received_bytes() < Self::WINDOW
    }

    fn take_turn(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        let mut has_moved = false;
        if self.is_ready_to_send() {
            match self.connection.try_send(16 * 1024) {
                Ok(n) => has_moved = n > 0,
                Err(e) if e.kind == FailureKind::Reset => self.is_sending = false,
                Err(e) => return Err(e),
            }
        }
        match self.connection.try_receive_into(buffer) {
            Ok(ReadResult::Bytes(_)) => has_moved = true,
            Ok(ReadResult::Nothing) => {}
            Ok(ReadResult::End) => self.end = Some(End::Fin),
            Err(e) if e.kind == FailureKind::Reset => self.end = Some(End::Reset),
            Err(e) => return Err(e),
        }
        Ok(has_moved || self.end.is_some())
    }
}
