//! Faults of fairness: one client, or one kind of work, gets what belongs to the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::Fault;
use super::bytes::FULL_READ;
use crate::connection::{Connection, End};
use crate::hooks::{Admission, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::settable(
        "blocks-workers",
        "Deals connections to 100 workers (settable); one blocked write stalls all connections of \
         its worker",
        100,
        |at| Box::new(BlocksWorkers::new(at)),
    ),
    Fault::new(
        "starves-beside-hot",
        "Serves the other connections 1.05 s late while one sends full buffers",
        || Box::new(StarvesBesideHot::default()),
    ),
    Fault::new("feeds-three", "Serves no other connection while three send full buffers", || {
        Box::new(FeedsThree::default())
    }),
    Fault::new(
        "favours-first",
        "Gives the oldest connection that sends full buffers far more turns than the others",
        || Box::new(FavoursFirst::default()),
    ),
    Fault::new(
        "slow-to-accept",
        "Sleeps 3 ms after each `accept` while 8 to 64 connections are open",
        || Box::new(SlowToAccept),
    ),
    Fault::new(
        "slow-beside-many",
        "Sleeps 2 ms at each step while 400 to 600 other connections are open",
        || Box::new(SlowBesideMany),
    ),
    Fault::new(
        "freezes-beside-many",
        "Freezes for 900 ms after each 320 ms while more than 400 other connections are open",
        || Box::new(FreezesBesideMany::default()),
    ),
];

/// The connections that have sent a full buffer within [`Hot::SPAN`].
#[derive(Default)]
pub(super) struct Hot(HashMap<usize, Instant>);

impl Hot {
    const SPAN: Duration = Duration::from_millis(500);

    fn note(&mut self, connection: &mut Connection) {
        if connection.fresh().len() >= FULL_READ {
            self.insert(connection.slot);
        }
    }

    /// Marks a connection that has just sent much.
    pub(super) fn insert(&mut self, slot: usize) {
        self.0.insert(slot, Instant::now());
    }

    pub(super) fn forget(&mut self, slot: usize) {
        self.0.remove(&slot);
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter(|(_, since)| since.elapsed() < Self::SPAN).map(|(slot, _)| *slot)
    }
}

/// Delays a read by `time` after it has become possible, once per read.
fn late_by(time: Duration, connection: &mut Connection) -> Gate {
    let now = u64::try_from(connection.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
    if connection.mark == 0 {
        connection.mark = now + u64::try_from(time.as_millis()).unwrap_or(0);
    }
    if now >= connection.mark {
        connection.mark = 0;
        return Gate::Go;
    }
    Gate::Until(Instant::now() + Duration::from_millis(connection.mark - now))
}

#[derive(Default)]
struct StarvesBesideHot {
    hot: Hot,
}

impl Hooks for StarvesBesideHot {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if !connection.pending.is_empty() {
            return Gate::Wait;
        }
        let is_hot = self.hot.slots().any(|slot| slot == connection.slot);
        if is_hot || !connection.ready.readable || self.hot.slots().next().is_none() {
            return Gate::Go;
        }
        late_by(Duration::from_millis(1050), connection)
    }

    fn received(&mut self, connection: &mut Connection) {
        self.hot.note(connection);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.hot.forget(connection.slot);
    }
}

#[derive(Default)]
struct FeedsThree {
    hot: Hot,
}

impl Hooks for FeedsThree {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if !connection.pending.is_empty() {
            return Gate::Wait;
        }
        let is_hot = self.hot.slots().any(|slot| slot == connection.slot);
        if is_hot || self.hot.slots().count() < 3 {
            return Gate::Go;
        }
        Gate::Until(Instant::now() + Duration::from_millis(50))
    }

    fn received(&mut self, connection: &mut Connection) {
        self.hot.note(connection);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.hot.forget(connection.slot);
    }
}

#[derive(Default)]
struct FavoursFirst {
    hot: Hot,
}

impl Hooks for FavoursFirst {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if !connection.pending.is_empty() {
            return Gate::Wait;
        }
        if connection.ready.readable && self.hot.slots().any(|slot| slot < connection.slot) {
            return late_by(Duration::from_millis(20), connection);
        }
        Gate::Go
    }

    fn received(&mut self, connection: &mut Connection) {
        self.hot.note(connection);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.hot.forget(connection.slot);
    }
}

struct SlowToAccept;

impl Hooks for SlowToAccept {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        if (8..=64).contains(&open) {
            std::thread::sleep(Duration::from_millis(3));
        }
        Admission::Serve
    }
}

struct SlowBesideMany;

impl Hooks for SlowBesideMany {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if (400..=600).contains(&connection.beside) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Gate::Go
    }
}

/// The end of the last freeze.
#[derive(Default)]
struct FreezesBesideMany(Option<Instant>);

impl Hooks for FreezesBesideMany {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let last = *self.0.get_or_insert_with(Instant::now);
        if connection.beside > 400 && last.elapsed() > Duration::from_millis(320) {
            std::thread::sleep(Duration::from_millis(900));
            self.0 = Some(Instant::now());
        }
        Gate::Go
    }
}

/// The worker of each connection, by slot, and the slot that blocks each blocked worker.
struct BlocksWorkers {
    workers: u64,
    dealt: u64,
    worker_of: HashMap<usize, u64>,
    blocked: HashMap<u64, usize>,
}

impl BlocksWorkers {
    fn new(workers: u64) -> Self {
        Self { workers, dealt: 0, worker_of: HashMap::new(), blocked: HashMap::new() }
    }
}

impl Hooks for BlocksWorkers {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let slot = connection.slot;
        let worker = *self.worker_of.entry(slot).or_insert_with(|| {
            self.dealt += 1;
            self.dealt % self.workers
        });
        match self.blocked.get(&worker) {
            Some(by) if *by != slot => Gate::Until(Instant::now() + Duration::from_millis(10)),
            Some(_) | None => Gate::Go,
        }
    }

    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        if let Some(worker) = self.worker_of.get(&connection.slot) {
            self.blocked.insert(*worker, connection.slot);
        }
        Gate::Wait
    }

    fn wrote(&mut self, connection: &mut Connection) {
        self.blocked.retain(|_, slot| *slot != connection.slot);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.worker_of.remove(&connection.slot);
        self.blocked.retain(|_, slot| *slot != connection.slot);
    }
}
