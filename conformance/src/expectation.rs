//! What cases expect of a server's process within the limits of the cell. [`Process`] reads the
//! state of the process.

use std::thread;
use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::launcher::{Attempt, Launch, Server, ServerExit};
use harness::process::{Demand, Process, SOCKETS, SOCKETS_OF_RINGS};
use report::{Failure, FailureKind, Outside, Transport, outside};

use crate::client::peer::Peer;
use crate::clock::CellClock;

/// How often the state of a process is read while a deadline runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A server may have work left when it has nothing to wait for: a task that has panicked looks up
/// symbols for its backtrace.
const IDLE_WAIT_LIMIT: Duration = Duration::from_secs(1);
/// How long one measurement of the remaining work takes.
const LOOK_TIME: Duration = Duration::from_millis(50);

/// The number of descriptors after one served connection, once it no longer changes.
///
/// # Errors
/// Those of [`Peer::expect_service`], `harness`, or `timeout` when the number keeps changing.
pub fn descriptors_at_rest(process: &Process, peer: &Peer) -> Result<usize, Failure> {
    number_at_rest(peer, "descriptors", || process.descriptors())
}

/// Like [`descriptors_at_rest`], for threads.
///
/// # Errors
/// Those of [`descriptors_at_rest`].
pub fn threads_at_rest(process: &Process, peer: &Peer) -> Result<usize, Failure> {
    number_at_rest(peer, "threads", || Ok(process.threads()?.all))
}

fn number_at_rest(
    peer: &Peer,
    what: &str,
    look: impl Fn() -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    peer.expect_service()?;
    let deadline = peer.clock().progress_deadline();
    let mut last = look()?;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(50) {
        if deadline.is_over() {
            return Err(deadline.failure(&format!("a number of {what} that stays the same")));
        }
        thread::sleep(LOOK_INTERVAL);
        let now = look()?;
        if now != last {
            last = now;
            since = Instant::now();
        }
    }
    Ok(last)
}

/// The descriptors that a process holds at rest, to compare with what it holds after each crowd of
/// clients has left.
#[derive(Debug)]
pub struct DescriptorBaseline<'a> {
    process: &'a Process,
    clients: Transport,
    clock: &'a CellClock,
    limit: Duration,
    spare: usize,
    base: usize,
    sockets: Option<usize>,
    /// How many descriptors the first crowd left in a pool, and how many crowds have filled the
    /// pool further.
    first: Option<usize>,
    fillings: u32,
}

/// A pool grows to the largest number of clients that were connected at the same time, and each
/// crowd may raise that number. After this many crowds, each of which left more than half as much
/// as the first, it is a leak.
const MAX_FILLINGS: u32 = 4;

impl<'a> DescriptorBaseline<'a> {
    /// Takes the number that the process holds now. After each crowd, the process may hold `spare`
    /// more and must come back to that within `limit`.
    ///
    /// # Errors
    /// Those of [`descriptors_at_rest`].
    pub fn measure(
        process: &'a Process,
        peer: &'a Peer,
        spare: usize,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let base = descriptors_at_rest(process, peer)?;
        let clients = peer.transport();
        let sockets = sockets(process, clients)?;
        let clock = peer.clock();
        Ok(Self { process, clients, clock, limit, spare, base, sockets, first: None, fillings: 0 })
    }

    /// Waits until the server has freed the descriptors of a crowd that has left. The socket of a
    /// connection that stays open is a failure at once. Other descriptors call for another crowd
    /// first: they may be in a pool, such as the pipes that Go keeps for splice(2), or the server
    /// may have opened them for itself, such as a socket to a log daemon.
    ///
    /// # Errors
    /// `descriptors` when more are left.
    pub fn await_freed(&mut self) -> Result<Pool, Failure> {
        let most = self.base + self.spare.max(self.first.unwrap_or(0) / 2);
        let more = match expect_descriptors(self.process, most, self.limit, self.clock) {
            Ok(()) => return Ok(Pool::Unchanged),
            Err(failure) if failure.kind != FailureKind::Descriptors => return Err(failure),
            Err(more) => more,
        };
        self.fillings += 1;
        // If the system does not tell the kinds of descriptors, a pool looks like a leak.
        let is_pool = self
            .sockets
            .zip(sockets(self.process, self.clients)?)
            .is_some_and(|(before, now)| now <= before + self.spare);
        if !is_pool || self.fillings == MAX_FILLINGS {
            return Err(more);
        }
        let now = self.process.descriptors()?;
        self.first.get_or_insert(now.saturating_sub(self.base));
        self.base = now;
        Ok(Pool::Filled)
    }

    /// Lets one crowd come and go, and further crowds as long as they may have filled a pool.
    ///
    /// # Errors
    /// `descriptors`, or the failure of `crowd`.
    pub fn expect_freed(
        &mut self,
        mut crowd: impl FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        crowd()?;
        while self.await_freed()? == Pool::Filled {
            crowd()?;
        }
        Ok(())
    }
}

/// What a crowd left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Nothing new.
    Unchanged,
    /// Descriptors that are not sockets of connections.
    Filled,
}

/// How many sockets of connections a process holds, if the system tells.
fn sockets(process: &Process, clients: Transport) -> Result<Option<usize>, Failure> {
    let kinds = process.descriptor_kinds()?;
    let count = |kind| kinds.get(kind).copied().unwrap_or(0);
    if kinds.is_empty() {
        return Ok(None);
    }
    let sockets = count(SOCKETS) + count(SOCKETS_OF_RINGS);
    Ok(Some(sockets.saturating_sub(process.own_sockets(clients)?)))
}

/// Waits until the process holds at most `base` descriptors, within `limit`.
///
/// # Errors
/// `descriptors` when it still holds more.
pub fn expect_descriptors(
    process: &Process,
    base: usize,
    limit: Duration,
    clock: &CellClock,
) -> Result<(), Failure> {
    let deadline = clock.deadline_after(limit);
    loop {
        let now = process.descriptors()?;
        if now <= base {
            // A look just after the limit still counts as in time.
            let took = deadline.elapsed().min(clock.scale(limit));
            return clock.judge_time("descriptors back at base", took, limit);
        }
        if deadline.is_over() {
            let expected = format!("at most {base} descriptors after {limit:?}");
            let kinds = process.descriptor_kinds()?;
            let kinds: Vec<String> =
                kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let of =
                if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
            return Err(Failure::new(FailureKind::Descriptors, expected, format!("{now}{of}")));
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until `look` returns at most `most`, within `limit`. `what` names the things counted.
///
/// # Errors
/// `kind` when there are still more.
pub fn expect_at_most(
    kind: FailureKind,
    what: &str,
    most: usize,
    limit: Duration,
    clock: &CellClock,
    look: impl Fn() -> Result<usize, Failure>,
) -> Result<(), Failure> {
    let deadline = clock.deadline_after(limit);
    loop {
        let now = look()?;
        if now <= most || deadline.is_over() {
            return clock.judge(kind, what, now as f64, most as f64);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until the process uses at most `limit` of one core, for at most a second. The caller then
/// judges what the process uses from there on.
///
/// # Errors
/// `harness` when the system does not tell.
pub fn wait_for_idle(process: &Process, limit: f64) -> Result<(), Failure> {
    let deadline = Deadline::after(IDLE_WAIT_LIMIT);
    loop {
        let before = process.demand()?;
        thread::sleep(LOOK_TIME);
        if process.demand()?.share_since(&before) <= limit || deadline.is_over() {
            return Ok(());
        }
    }
}

/// Judges the CPU time that the process uses during `time`, as a share of one core.
///
/// # Errors
/// `cpu` above `limit`.
pub fn expect_low_cpu(
    process: &Process,
    time: Duration,
    limit: f64,
    clock: &CellClock,
) -> Result<(), Failure> {
    let before = process.demand()?;
    thread::sleep(time);
    judge_demand(process, &before, limit, clock)
}

/// Judges the CPU time used since `before`, as a share of one core. Only time in which the process
/// could have a core counts, so a spinning server is found even next to others that spin.
///
/// # Errors
/// `cpu` above `limit`.
pub fn judge_demand(
    process: &Process,
    before: &Demand,
    limit: f64,
    clock: &CellClock,
) -> Result<(), Failure> {
    let share = process.demand()?.share_since(before);
    clock.judge(FailureKind::Cpu, "share of one core", share, limit)
}

/// Expects that the server became ready. A server that ends with an exit status could not do what
/// it was asked; it has not crashed.
///
/// # Errors
/// `exit-status` when it ended with a status, else those of [`Launch::expect_ready`].
pub fn expect_started(launch: Launch) -> Result<Server, Failure> {
    if let Launch::Ended(Attempt { exit: ServerExit::Code(code), stderr, .. }) = &launch {
        let expected = "a server that does as asked";
        let actual = outside!("exit {}: {}", code, Outside::join(stderr, "; "));
        return Err(Failure::new(FailureKind::ExitStatus, expected, actual));
    }
    launch.expect_ready()
}

/// How long a graceful end may take, in addition to the drain.
pub const GRACE_BEYOND_DRAIN: Duration = Duration::from_secs(2);

/// How soon a server must free connections that have ended.
pub const FREE_TIME_LIMIT: Duration = Duration::from_secs(2);

/// Waits for the server's graceful end and judges how long it took.
///
/// # Errors
/// `timeout`, `exit-status` for a status other than 0, `crash` for a signal, `slow`.
pub fn expect_graceful_end(
    server: &Server,
    limit: Duration,
    clock: &CellClock,
) -> Result<(), Failure> {
    let deadline = clock.deadline_after(limit);
    match server.wait(deadline, "exit 0 after the stop signal")? {
        ServerExit::Code(0) => clock.judge_time("the server's end", deadline.elapsed(), limit),
        ServerExit::Code(code) => {
            Err(Failure::new(FailureKind::ExitStatus, "exit 0", format!("exit {code}")))
        }
        ServerExit::Signal(signal) => {
            Err(Failure::new(FailureKind::Crash, "exit 0", format!("death by signal {signal}")))
        }
    }
}

/// Passes on what a case found about a server that must keep running. If the server has died, that
/// is the failure, whatever the client saw.
///
/// # Errors
/// `crash` when the server has ended, else what was found.
pub fn expect_survival<T>(
    server: &Server,
    found: Result<T, Failure>,
    clock: &CellClock,
) -> Result<T, Failure> {
    server.expect_running(found, |limit| clock.deadline_after(limit))
}
