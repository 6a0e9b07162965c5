//! What cases expect of a server's process within the cell's limits. [`Process`] reads what the
//! process shows.

use std::thread;
use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::launcher::{Attempt, Ended, Launch, Server};
use harness::process::{Demand, Process, SOCKETS, SOCKETS_OF_RINGS};
use report::{Failure, FailureKind, Outside, Transport, outside};

use crate::client::peer::Peer;
use crate::clock::CellClock;

/// How often a state of a process is looked at while a deadline runs.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A server may still have work to do when it has nothing to wait for: a task that has panicked
/// looks up symbols for its backtrace.
const WORK_LEFT: Duration = Duration::from_secs(1);
/// So long it is looked at to see whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// The number of descriptors at rest: after one served connection, and no longer changing.
///
/// # Errors
/// As [`Peer::serves`], `harness`, or `timeout` when the number keeps changing.
pub fn descriptors_at_rest(process: &Process, peer: &Peer) -> Result<usize, Failure> {
    number_at_rest(peer, "descriptors", || process.descriptors())
}

/// The number of threads at rest, as [`descriptors_at_rest`].
///
/// # Errors
/// As [`descriptors_at_rest`].
pub fn threads_at_rest(process: &Process, peer: &Peer) -> Result<usize, Failure> {
    number_at_rest(peer, "threads", || Ok(process.threads()?.all))
}

fn number_at_rest(
    peer: &Peer,
    what: &str,
    look: impl Fn() -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    peer.serves()?;
    let deadline = peer.clock().progress();
    let mut last = look()?;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(50) {
        if deadline.is_over() {
            return Err(deadline.failure(&format!("a number of {what} that stays the same")));
        }
        thread::sleep(LOOK_EVERY);
        let now = look()?;
        if now != last {
            last = now;
            since = Instant::now();
        }
    }
    Ok(last)
}

/// The descriptors that a process holds while none of a crowd of clients is left.
#[derive(Debug)]
pub struct AtRest<'a> {
    process: &'a Process,
    clients: Transport,
    clock: &'a CellClock,
    limit: Duration,
    spare: usize,
    base: usize,
    sockets: Option<usize>,
    /// What the first crowd has left in a pool, and how many crowds have filled it further.
    first: Option<usize>,
    fillings: u32,
}

/// A pool is as large as the most clients that were ever there at once, and each crowd may reach a
/// new number. After so many crowds, each of which left half as much as the first, it is a leak.
const FILLINGS: u32 = 4;

impl<'a> AtRest<'a> {
    /// Those that it holds now. After a crowd there may be `spare` more, and within `limit` it must
    /// be back there.
    ///
    /// # Errors
    /// As [`descriptors_at_rest`].
    pub fn now(
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

    /// Waits until a crowd that has gone has left nothing behind. What it leaves in a pool, as Go
    /// keeps pipes for splice(2), or has made the server open for itself, such as a socket to a log
    /// daemon, is not held against the server at once: another crowd is to come. The socket of a
    /// connection is.
    ///
    /// # Errors
    /// `descriptors` when more are left.
    pub fn settle(&mut self) -> Result<Pool, Failure> {
        let most = self.base + self.spare.max(self.first.unwrap_or(0) / 2);
        let more = match expect_descriptors(self.process, most, self.limit, self.clock) {
            Ok(()) => return Ok(Pool::Settled),
            Err(failure) if failure.kind != FailureKind::Descriptors => return Err(failure),
            Err(more) => more,
        };
        self.fillings += 1;
        // Where kinds are not told, a pool looks like a leak.
        let is_pool = self
            .sockets
            .zip(sockets(self.process, self.clients)?)
            .is_some_and(|(before, now)| now <= before + self.spare);
        if !is_pool || self.fillings == FILLINGS {
            return Err(more);
        }
        let now = self.process.descriptors()?;
        self.first.get_or_insert(now.saturating_sub(self.base));
        self.base = now;
        Ok(Pool::Filled)
    }

    /// Lets a crowd come and go, and others for as long as they may have filled a pool.
    ///
    /// # Errors
    /// `descriptors`, or what `crowd` fails with.
    pub fn expect_freed(
        &mut self,
        mut crowd: impl FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        crowd()?;
        while self.settle()? == Pool::Filled {
            crowd()?;
        }
        Ok(())
    }
}

/// What a crowd that has gone may have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Nothing new.
    Settled,
    /// Descriptors that are no sockets.
    Filled,
}

/// How many sockets of connections a process holds, where that is told.
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
/// `descriptors` when it does not come down.
pub fn expect_descriptors(
    process: &Process,
    base: usize,
    limit: Duration,
    clock: &CellClock,
) -> Result<(), Failure> {
    let deadline = clock.within(limit);
    loop {
        let now = process.descriptors()?;
        if now <= base {
            // One look late is in time.
            let took = deadline.elapsed().min(clock.scaled(limit));
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
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until `look` sees at most `most`, within `limit`. `what` they are.
///
/// # Errors
/// `kind` when there are more.
pub fn expect_at_most(
    kind: FailureKind,
    what: &str,
    most: usize,
    limit: Duration,
    clock: &CellClock,
    look: impl Fn() -> Result<usize, Failure>,
) -> Result<(), Failure> {
    let deadline = clock.within(limit);
    loop {
        let now = look()?;
        if now <= most || deadline.is_over() {
            return clock.judge(kind, what, now as f64, most as f64);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until the process uses no more than `limit` of one core, at most for a second. The
/// caller then judges what it uses from there on.
///
/// # Errors
/// `harness` when the system does not tell.
pub fn let_finish(process: &Process, limit: f64) -> Result<(), Failure> {
    let deadline = Deadline::after(WORK_LEFT);
    loop {
        let before = process.demand()?;
        thread::sleep(LOOK);
        if process.demand()?.share_since(&before) <= limit || deadline.is_over() {
            return Ok(());
        }
    }
}

/// Judges the CPU time that the process uses in `time`, as a share of one core.
///
/// # Errors
/// `cpu` above `limit`.
pub fn expect_quiet(
    process: &Process,
    time: Duration,
    limit: f64,
    clock: &CellClock,
) -> Result<(), Failure> {
    let before = process.demand()?;
    thread::sleep(time);
    judge_demand(process, &before, limit, clock)
}

/// Judges the CPU time used since `before`, as a share of one core: of the time in which the
/// process could have one, so that a server that spins is seen beside others that do.
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

/// The server, which must have become ready. Not every server can do what it was asked: one that
/// ends with a status has not crashed.
///
/// # Errors
/// `exit-status` when it refused, else as [`Launch::expect_ready`].
pub fn expect_obedience(launch: Launch) -> Result<Server, Failure> {
    if let Launch::Ended(Attempt { ended: Ended::Code(code), stderr, .. }) = &launch {
        let expected = "a server that does as asked";
        let actual = outside!("exit {}: {}", code, Outside::join(stderr, "; "));
        return Err(Failure::new(FailureKind::ExitStatus, expected, actual));
    }
    launch.expect_ready()
}

/// What a graceful end may take beyond the drain.
pub const GRACE_BEYOND_DRAIN: Duration = Duration::from_secs(2);

/// How soon a server must have freed connections that have ended.
pub const FREED_WITHIN: Duration = Duration::from_secs(2);

/// Waits for a server's graceful end within `limit`, judged as a time.
///
/// # Errors
/// `timeout`, `exit-status` for anything but 0, `crash` for a signal, `slow`.
pub fn expect_graceful_end(
    server: &Server,
    limit: Duration,
    clock: &CellClock,
) -> Result<(), Failure> {
    let deadline = clock.within(limit);
    match server.wait(deadline, "exit 0 after the stop signal")? {
        Ended::Code(0) => clock.judge_time("the server's end", deadline.elapsed(), limit),
        Ended::Code(code) => {
            Err(Failure::new(FailureKind::ExitStatus, "exit 0", format!("exit {code}")))
        }
        Ended::Signal(signal) => {
            Err(Failure::new(FailureKind::Crash, "exit 0", format!("death by signal {signal}")))
        }
    }
}

/// What a case found that wants this server to go on: if it has died, that is what is wrong,
/// however it looked from the wire.
///
/// # Errors
/// `crash` when it has ended, else what was found.
pub fn expect_survival<T>(
    server: &Server,
    found: Result<T, Failure>,
    clock: &CellClock,
) -> Result<T, Failure> {
    server.survives(found, |limit| clock.within(limit))
}
