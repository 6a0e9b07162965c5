//! Faults in a child process. The server itself looks healthy.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
#[cfg(unix)]
use rustix::io::FdFlags;

use super::{Fault, compute};
use crate::connection::{Connection, End};
use crate::hooks::{Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::settable(
        "child-leaks-descriptors",
        "Has a child process that opens a file for every 20th connection (settable) that ends \
         cleanly",
        20,
        |at| Box::new(TellsChild::of_fins(at)),
    ),
    Fault::new(
        "child-leaks-memory",
        "Has a child process that leaks 64 KiB of memory for each connection that fails",
        || Box::new(TellsChild::of_resets()),
    ),
    Fault::new(
        "child-spins",
        "Has a child process that computes forever once a connection has ended",
        || Box::new(TellsChild::of_ends()),
    ),
    Fault::new(
        "daemon-spins",
        "Leaves a daemon in its own session that computes for 30 s once a connection has ended",
        || Box::new(TellsChild::to_leave()),
    ),
    Fault::settable(
        "child-inherits",
        "Starts a process that inherits every 10th connection (settable), so that its client gets \
         no FIN (Unix only)",
        10,
        |at| Box::new(HoldsSockets { each: at, count: 0, holders: HashMap::new() }),
    ),
    Fault::new(
        "works-in-short-children",
        "Starts eight processes every 100 ms that compute for 20 ms, and waits for them",
        || Box::new(WorksInChildren { next: Instant::now() }),
    ),
    Fault::settable(
        "leaves-zombies",
        "Starts a process for every 5th connection (settable) that ends, and never waits for the \
         process",
        5,
        |at| Box::new(LeavesZombies { each: at, starts: |_| true, count: 0 }),
    ),
    Fault::settable(
        "leaves-zombies-on-reset",
        "Starts a process for every 5th connection (settable) that fails, and never waits for the \
         process",
        5,
        |at| {
            let starts = |end| end != End::Finished;
            Box::new(LeavesZombies { each: at, starts, count: 0 })
        },
    ),
];

/// The first argument of this program when it runs as a child.
pub(crate) const CHILD: &str = "child";

/// Commands for the child, each one byte on its standard input.
const OPEN_FILE: u8 = b'd';
const TAKE_64_KIB: u8 = b'm';
const SPIN: u8 = b's';
const COMPUTE: u8 = b'c';
const LEAVE: u8 = b'l';
const SPIN_A_WHILE: u8 = b'w';

/// How long the process computes that nobody can ask to stop.
const A_WHILE: Duration = Duration::from_secs(30);

/// Sends a command to a child process when some connections end.
struct TellsChild {
    child: Child,
    word: u8,
    tells: fn(End) -> bool,
    each: u64,
    /// Whether to send the command only once, for the first connection.
    once: bool,
    count: u64,
}

impl TellsChild {
    fn of_fins(each: u64) -> Self {
        Self::start(OPEN_FILE, each, |end| end == End::Finished)
    }

    fn of_resets() -> Self {
        Self::start(TAKE_64_KIB, 1, |end| end != End::Finished)
    }

    fn of_ends() -> Self {
        Self::start(SPIN, 1, |_| true)
    }

    fn to_leave() -> Self {
        let mut told = Self::start(LEAVE, 1, |_| true);
        told.once = true;
        told
    }

    fn start(word: u8, each: u64, tells: fn(End) -> bool) -> Self {
        let start =
            || Command::new(std::env::current_exe()?).arg(CHILD).stdin(Stdio::piped()).spawn();
        let child = start().expect("the fault needs a child process");
        Self { child, word, tells, each, once: false, count: 0 }
    }
}

impl Hooks for TellsChild {
    fn closed(&mut self, _connection: &mut Connection, end: End) {
        self.count += u64::from((self.tells)(end));
        let is_due = if self.once { self.count == 1 } else { self.count.is_multiple_of(self.each) };
        if (self.tells)(end)
            && is_due
            && let Some(pipe) = &mut self.child.stdin
        {
            // The write fails if the child is gone, which then leaks nothing.
            let _ = pipe.write_all(&[self.word]);
        }
    }
}

impl Drop for TellsChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that hold a connection's socket, by its slot. Dropping a `Child` closes its
/// standard input, which ends the process.
struct HoldsSockets {
    each: u64,
    count: u64,
    holders: HashMap<usize, Child>,
}

impl Hooks for HoldsSockets {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.mark == 0 {
            self.count += 1;
            connection.mark = 1;
            if self.count.is_multiple_of(self.each)
                && let Ok(holder) = inheriting(&connection.stream)
            {
                connection.mark = 2;
                self.holders.insert(connection.slot, holder);
            }
        }
        Gate::Go
    }

    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        // Without shutdown(2), close(2) sends the FIN, and only for the last descriptor.
        if connection.mark == 2 { Gate::Close } else { Gate::Go }
    }
}

impl Drop for HoldsSockets {
    fn drop(&mut self) {
        for holder in self.holders.values_mut() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// Starts a process that inherits this socket.
#[cfg(unix)]
fn inheriting(stream: &TcpStream) -> io::Result<Child> {
    let inherited = |flags| rustix::io::fcntl_setfd(stream, flags);
    inherited(FdFlags::empty())?;
    let mut command = Command::new(std::env::current_exe()?);
    let started = command.arg(CHILD).stdin(Stdio::piped()).spawn();
    inherited(FdFlags::CLOEXEC)?;
    started
}

#[cfg(not(unix))]
fn inheriting(_stream: &TcpStream) -> io::Result<Child> {
    Err(io::ErrorKind::Unsupported.into())
}

struct LeavesZombies {
    each: u64,
    starts: fn(End) -> bool,
    count: u64,
}

impl Hooks for LeavesZombies {
    fn closed(&mut self, _connection: &mut Connection, end: End) {
        self.count += u64::from((self.starts)(end));
        if (self.starts)(end) && self.count.is_multiple_of(self.each) {
            // The child's standard input is at its end, so the child ends at once. Dropping a
            // `Child` does not wait for the process.
            let program = std::env::current_exe();
            let child = program
                .and_then(|program| Command::new(program).arg(CHILD).stdin(Stdio::null()).spawn());
            drop(child);
        }
    }
}

struct WorksInChildren {
    next: Instant,
}

impl Hooks for WorksInChildren {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        if Instant::now() >= self.next {
            // A process that cannot be started does not compute.
            let _ = work_in_children();
            self.next = Instant::now() + Duration::from_millis(100);
        }
        let left = self.next.saturating_duration_since(Instant::now());
        Some(planned.map_or(left, |planned| planned.min(left)))
    }
}

fn work_in_children() -> io::Result<()> {
    let mut children = Vec::new();
    for _ in 0..8 {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(CHILD).stdin(Stdio::piped()).spawn()?;
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(&[COMPUTE])?;
        }
        children.push(child);
    }
    children.iter_mut().try_for_each(|child| child.wait().map(drop))
}

/// Obeys the commands on standard input until its end.
pub(crate) fn be_child() -> io::Result<()> {
    let (mut files, mut memory) = (Vec::new(), Vec::new());
    for word in io::stdin().lock().bytes() {
        match word? {
            OPEN_FILE => files.push(File::open(std::env::current_exe()?)?),
            // Not zeros: zeroed pages take no memory until something writes to them.
            TAKE_64_KIB => memory.push(vec![0xa5_u8; 64 * 1024]),
            SPIN => loop {
                std::hint::spin_loop();
            },
            COMPUTE => compute(20),
            LEAVE => leave()?,
            SPIN_A_WHILE => return spin_alone(),
            _ => {}
        }
    }
    Ok(())
}

/// Starts a process that computes, and exits without waiting for it.
fn leave() -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg(CHILD).stdin(Stdio::piped()).spawn()?;
    if let Some(pipe) = &mut child.stdin {
        pipe.write_all(&[SPIN_A_WHILE])?;
    }
    // Ends the process that would wait for the child.
    std::process::exit(0);
}

/// Computes in a new session.
fn spin_alone() -> io::Result<()> {
    #[cfg(unix)]
    rustix::process::setsid()?;
    let end = Instant::now() + A_WHILE;
    while Instant::now() < end {
        compute(1);
    }
    Ok(())
}
