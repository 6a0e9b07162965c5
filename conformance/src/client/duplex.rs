//! Sending and receiving at the same time on any number of connections, in one thread.

use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::wait::{Interest, wait_any};
use report::Failure;

use crate::client::connection::{Connection, ReadResult};
use crate::clock::CellClock;

/// The most writes, and the most reads, on one connection before the others get their turn.
const CALLS_PER_TURN: usize = 32;

/// One connection's part of a duplex exchange.
#[derive(Debug)]
pub struct Flow<'a> {
    connection: &'a mut Connection,
    goal: u64,
    writes: Pieces,
    reads: Pieces,
    pauses: Option<Pauses>,
    window: u64,
    resume_at: Option<Instant>,
    ending: Option<Ending>,
    random: fastrand::Rng,
}

/// How far the end of a flow is: FIN to be sent, FIN sent, FIN answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Due,
    Sent,
    Answered,
}

/// How many bytes each call passes.
#[derive(Clone, Copy, Debug)]
pub enum Pieces {
    /// Always this many bytes.
    Fixed(usize),
    /// A random number of bytes from 1 to this.
    RandomUpTo(usize),
}

/// Random pauses of a reader.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// On average, one in this many reads is followed by a pause.
    pub reads_per_pause: u32,
    /// The longest pause.
    pub longest: Duration,
}

impl<'a> Flow<'a> {
    /// Sends `bytes` more on a connection and receives everything that is then outstanding.
    #[must_use]
    pub fn new(connection: &'a mut Connection, bytes: u64, seed: u64) -> Self {
        let goal = connection.sent_bytes() + bytes;
        let random = fastrand::Rng::with_seed(seed ^ u64::from(connection.number()));
        let whole = Pieces::Fixed(64 * 1024);
        Self {
            connection,
            goal,
            writes: whole,
            reads: whole,
            pauses: None,
            window: u64::MAX,
            resume_at: None,
            ending: None,
            random,
        }
    }

    /// Sets how many bytes each write passes to the kernel.
    #[must_use]
    pub fn writes(mut self, writes: Pieces) -> Self {
        self.writes = writes;
        self
    }

    /// Sets how many bytes each read asks for.
    #[must_use]
    pub fn reads(mut self, reads: Pieces) -> Self {
        self.reads = reads;
        self
    }

    #[must_use]
    pub fn pauses(mut self, pauses: Pauses) -> Self {
        self.pauses = Some(pauses);
        self
    }

    /// Stops sending while this many bytes are in transit, so that all flows progress together.
    /// Without it, one flow after the other would move a socket buffer at a time.
    #[must_use]
    pub fn window(mut self, bytes: u64) -> Self {
        self.window = bytes;
        self
    }

    /// Sends FIN once everything has come back. The flow is done once the server has answered FIN.
    #[must_use]
    pub fn with_fin(mut self) -> Self {
        self.ending = Some(Ending::Due);
        self
    }

    /// How many bytes may be sent now.
    fn sendable(&self) -> u64 {
        let (sent, received) = (self.connection.sent_bytes(), self.connection.received_bytes());
        (self.goal - sent).min(self.window.saturating_sub(sent - received))
    }

    fn is_done(&self) -> bool {
        let is_echoed = self.connection.received_bytes() == self.goal;
        is_echoed && matches!(self.ending, None | Some(Ending::Answered))
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.ending == Some(Ending::Due) && self.connection.received_bytes() == self.goal {
            self.ending = Some(Ending::Sent);
            self.connection.finish_sending()?;
        }
        Ok(())
    }

    fn interest(&mut self) -> Option<Interest> {
        if self.resume_at.is_some_and(|at| at <= Instant::now()) {
            self.resume_at = None;
        }
        let sends = self.sendable() > 0;
        match (sends, self.resume_at.is_none()) {
            _ if self.is_done() => None,
            (true, true) => Some(Interest::Both),
            (true, false) => Some(Interest::Write),
            (false, true) => Some(Interest::Read),
            (false, false) => None,
        }
    }

    /// Moves what can be moved now. Returns how many bytes were sent and received.
    fn take_turn(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut moved = 0;
        for _ in 0..CALLS_PER_TURN {
            let left = self.sendable();
            let piece = self.writes.next_length(&mut self.random) as u64;
            let n = if left > 0 { self.connection.try_send(piece.min(left))? } else { 0 };
            moved += n;
            if n == 0 {
                break;
            }
        }
        for _ in 0..CALLS_PER_TURN {
            if self.is_done() || self.resume_at.is_some() {
                break;
            }
            let piece = self.reads.next_length(&mut self.random).min(buffer.len());
            match self.connection.try_receive_into(&mut buffer[..piece])? {
                ReadResult::Bytes(n) => moved += n,
                ReadResult::Nothing => break,
                ReadResult::End
                    if self.ending == Some(Ending::Sent)
                        && self.connection.received_bytes() == self.goal =>
                {
                    self.ending = Some(Ending::Answered);
                    moved += 1;
                }
                ReadResult::End => return Err(self.connection.early_end_failure(self.goal)),
            }
            self.finish()?;
            if let Some(pauses) = self.pauses
                && self.random.u32(0..pauses.reads_per_pause) == 0
            {
                let pause = pauses.longest.mul_f64(self.random.f64());
                self.resume_at = Some(Instant::now() + pause);
            }
        }
        Ok(moved)
    }
}

impl Pieces {
    fn next_length(self, random: &mut fastrand::Rng) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::RandomUpTo(bytes) => random.usize(1..=bytes),
        }
    }
}

/// Runs all flows to their end.
///
/// # Errors
/// The first payload failure, `closed`, `reset`, or `timeout` when no flow makes progress.
pub fn exchange(flows: &mut [Flow], clock: &CellClock) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 * 1024];
    let mut deadline = clock.progress_deadline();
    let mut open: Vec<usize> = (0..flows.len()).filter(|&i| !flows[i].is_done()).collect();
    while !open.is_empty() {
        let mut moved = 0;
        for &index in &open {
            moved += flows[index].take_turn(&mut buffer)?;
        }
        open.retain(|&index| !flows[index].is_done());
        if moved > 0 {
            clock.extend_on_progress(&mut deadline, moved);
            continue;
        }
        if deadline.is_over() {
            let first = &mut flows[open[0]];
            let missing = first.goal - first.connection.received_bytes();
            return Err(first.connection.overdue_failure(missing, &deadline));
        }
        clock.count_wait(|| wait_for_progress(flows, &open, deadline.left()))?;
    }
    Ok(())
}

/// Runs the first `count` flows to their end, by the deadline. The other flows move at the same
/// time and stop wherever they are then.
///
/// # Errors
/// The first payload failure, `closed`, `reset`, or `timeout` when the deadline is over.
pub fn exchange_until_first_done(
    flows: &mut [Flow],
    count: usize,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut moved = 0;
        for flow in flows.iter_mut() {
            moved += flow.take_turn(&mut buffer)?;
        }
        let unserved = flows[..count].iter().filter(|flow| !flow.is_done());
        let unserved: Vec<Option<Ending>> = unserved.map(|flow| flow.ending).collect();
        if unserved.is_empty() {
            return Ok(());
        }
        if deadline.is_over() {
            let what = if unserved.contains(&Some(Ending::Sent)) { "the end" } else { "the echo" };
            return Err(deadline.failure(&format!("{what} of {} connections", unserved.len())));
        }
        if moved == 0 {
            let open: Vec<usize> = (0..flows.len()).filter(|&i| !flows[i].is_done()).collect();
            wait_for_progress(flows, &open, deadline.left())?;
        }
    }
}

/// Waits until a flow can move, the pause of a reader ends, or `left` is over.
fn wait_for_progress(flows: &mut [Flow], open: &[usize], left: Duration) -> Result<(), Failure> {
    let wanted: Vec<(usize, Interest)> =
        open.iter().filter_map(|&i| flows[i].interest().map(|interest| (i, interest))).collect();
    let resumes = open.iter().filter_map(|&i| flows[i].resume_at).min();
    let time = resumes.map_or(left, |at| at.saturating_duration_since(Instant::now()).min(left));
    let sockets: Vec<_> =
        wanted.iter().map(|&(i, interest)| (flows[i].connection.socket(), interest)).collect();
    wait_any(&sockets, time).map(drop)
}
