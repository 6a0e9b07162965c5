//! Faults that show when the kernel refuses a thread, or in which threads do the work.

use std::thread;
use std::time::Duration;

use mio::net::TcpStream;

use super::Fault;
use crate::capability::Worker;
use crate::connection::Connection;
use crate::hooks::{Admission, Hooks};
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "panics-without-thread",
        "Panics when it cannot start a thread for a new client",
        || Box::new(NeedsThread(Refused::Panics)),
    ),
    Fault::new(
        "spins-without-thread",
        "Closes a client for which it cannot start a thread, and retries without a pause",
        || Box::new(SpinsWithoutThread::default()),
    ),
    Fault::new(
        "deaf-without-thread",
        "Stops accepting once it could not start a thread for a client",
        || Box::new(DeafWithoutThread::default()),
    ),
    Fault::new(
        "forgets-without-thread",
        "Forgets a client for which it cannot start a thread, and does not close it",
        || Box::new(NeedsThread(Refused::Forgets)),
    ),
    Fault::new(
        "stop-needs-thread",
        "Exits with status 1 at a stop if it cannot start a thread",
        || Box::new(StopNeedsThread),
    ),
    Fault::new(
        "work-panics-without-thread",
        "Panics when it cannot start a thread for the CPU work of a message",
        || Box::new(WorkNeedsThread(Refused::Panics)),
    ),
    Fault::new(
        "work-waits-for-thread",
        "Blocks the loop until it can start a thread for the CPU work of a message",
        || Box::new(WorkNeedsThread(Refused::Waits)),
    ),
    Fault::new(
        "work-forgotten-without-thread",
        "Never answers a message if it cannot start a thread for its CPU work",
        || Box::new(WorkNeedsThread(Refused::Forgets)),
    ),
    Fault::process("one-worker", "Announces two workers, but only one does work", &OneWorker),
];

/// What the server does if it cannot start a thread.
#[derive(Clone, Copy)]
enum Refused {
    Panics,
    Forgets,
    Waits,
}

fn has_thread() -> bool {
    thread::Builder::new().spawn(|| {}).is_ok()
}

struct NeedsThread(Refused);

impl Hooks for NeedsThread {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        match self.0 {
            _ if has_thread() => Admission::Serve,
            Refused::Panics => panic!("there is always a thread"),
            Refused::Forgets | Refused::Waits => Admission::Ignore,
        }
    }
}

#[derive(Default)]
struct SpinsWithoutThread {
    asks: bool,
}

impl Hooks for SpinsWithoutThread {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        self.asks &= !has_thread();
        if self.asks { Some(Duration::ZERO) } else { planned }
    }

    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.asks |= !has_thread();
        if self.asks { Admission::Close } else { Admission::Serve }
    }
}

#[derive(Default)]
struct DeafWithoutThread {
    is_deaf: bool,
}

impl Hooks for DeafWithoutThread {
    fn may_accept(&mut self, _open: usize) -> bool {
        !self.is_deaf
    }

    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.is_deaf = !has_thread();
        if self.is_deaf { Admission::Close } else { Admission::Serve }
    }
}

struct StopNeedsThread;

impl Hooks for StopNeedsThread {
    fn stop_begins(&mut self, _connections: &mut [Option<Connection>]) {
        if !has_thread() {
            std::process::exit(1);
        }
    }
}

struct WorkNeedsThread(Refused);

impl Hooks for WorkNeedsThread {
    fn worker(&mut self, asked: Worker) -> Worker {
        match self.0 {
            _ if has_thread() => asked,
            Refused::Panics => panic!("there is always a thread"),
            Refused::Forgets => Worker::Nobody,
            Refused::Waits => {
                while !has_thread() {
                    thread::sleep(Duration::from_millis(10));
                }
                asked
            }
        }
    }
}

struct OneWorker;

impl ProcessHooks for OneWorker {
    fn announced_workers(&self, _workers: u32) -> u32 {
        2
    }
}
