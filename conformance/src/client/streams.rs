//! Streams that run until the server ends them: the traffic while a server is stopped or killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind};

use crate::client::connection::{Connection, End, Read1};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::clock::CellClock;

/// How often it is looked whether streams are to stop while none of them moves.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Streams on several connections, up to the end that the server gives them.
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
    /// Connects and sends nothing yet.
    ///
    /// # Errors
    /// As [`Peer::connect_many`].
    pub fn start(peer: &Peer, count: u64) -> Result<Self, Failure> {
        let stream = |connection| Stream { connection, is_sending: true, end: None };
        let open = peer.connect_many(count)?.into_iter().map(stream).collect();
        Ok(Self { open, buffer: vec![0; 64 * 1024] })
    }

    /// Streams for a while, in which no connection may end.
    ///
    /// # Errors
    /// A payload failure, or `closed`.
    pub fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end.saturating_duration_since(Instant::now()))?;
            self.expect_open()?;
        }
        Ok(())
    }

    /// Streams until told to stop; until then no connection may end.
    ///
    /// # Errors
    /// A payload failure, or `closed`.
    pub fn run_until(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            self.turn(LOOK_EVERY)?;
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

    /// Bytes that have come back on each stream.
    #[must_use]
    pub fn received(&self) -> Vec<u64> {
        self.open.iter().map(|stream| stream.connection.received()).collect()
    }

    /// Receives what is on its way on each stream, and nothing more may be lost.
    ///
    /// # Errors
    /// A payload failure, `closed`, `reset`, or `timeout` when no stream makes progress.
    pub fn finish(mut self, clock: &CellClock) -> Result<(), Failure> {
        let connections = self.open.iter_mut().map(|stream| &mut stream.connection);
        let mut rest: Vec<Flow> =
            connections.map(|connection| Flow::new(connection, 0, 0)).collect();
        exchange(&mut rest, clock)
    }

    /// Streams until every connection has ended. All that still comes is checked; an end by reset
    /// is legal, because the server may leave bytes unread.
    ///
    /// # Errors
    /// A payload failure, or `timeout`.
    pub fn run_to_end(&mut self, clock: &CellClock) -> Result<(), Failure> {
        let mut deadline = clock.progress();
        while !self.open.is_empty() {
            if self.turn(deadline.left())? {
                deadline = clock.progress();
            } else if deadline.is_over() {
                let open = self.open.len();
                return Err(deadline.failure(&format!("the end of {open} streams")));
            }
            // The judge closes too: the server waits for that until its drain time is over.
            self.open.retain(|stream| stream.end.is_none());
        }
        Ok(())
    }

    /// One turn for each stream, after waiting at most `time` if nothing moves. Whether anything
    /// did.
    fn turn(&mut self, time: Duration) -> Result<bool, Failure> {
        let mut has_moved = false;
        for stream in self.open.iter_mut().filter(|stream| stream.end.is_none()) {
            has_moved |= stream.turn(&mut self.buffer)?;
        }
        if !has_moved {
            let sockets: Vec<_> = self
                .open
                .iter()
                .map(|stream| (stream.connection.socket(), Interest::of(stream.sends_now())))
                .collect();
            wait_any(&sockets, time)?;
        }
        Ok(has_moved)
    }
}

impl Stream {
    /// Bytes on their way at most, as [`crate::client::duplex::Flow::window`] has it.
    const WINDOW: u64 = 256 * 1024;

    fn sends_now(&self) -> bool {
        self.is_sending && self.connection.sent() - self.connection.received() < Self::WINDOW
    }

    fn turn(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        let mut has_moved = false;
        if self.sends_now() {
            match self.connection.try_send(16 * 1024) {
                Ok(n) => has_moved = n > 0,
                Err(e) if e.kind == FailureKind::Reset => self.is_sending = false,
                Err(e) => return Err(e),
            }
        }
        match self.connection.try_receive_into(buffer) {
            Ok(Read1::Bytes(_)) => has_moved = true,
            Ok(Read1::Nothing) => {}
            Ok(Read1::End) => self.end = Some(End::Fin),
            Err(e) if e.kind == FailureKind::Reset => self.end = Some(End::Reset),
            Err(e) => return Err(e),
        }
        Ok(has_moved || self.end.is_some())
    }
}
