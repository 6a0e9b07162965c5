//! Faults of the optional parts of the contract: work in the wrong place, and cancelled operations
//! that lose a client or bytes.

use std::time::Duration;

use super::{Burst, Fault, limit};
use crate::capability::Worker;
use crate::connection::Connection;
use crate::hooks::{Admission, Hooks};
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("works-in-loop", "Does the CPU work of a message in the loop", || {
        Box::new(WorksInLoop)
    }),
    Fault::process(
        "ignores-cancel",
        "Announces the capability `cancel`, and cancels nothing",
        &IgnoresCancel,
    ),
    Fault::new(
        "work-is-a-nap",
        "Waits for as long as the CPU work of a message would take, and does not do it",
        || Box::new(WorkIsANap),
    ),
    Fault::settable(
        "forgets-jobs",
        "Does the CPU work of two messages (settable) per second, and never answers the others",
        2,
        |at| Box::new(ForgetsJobs::beyond(limit(at))),
    ),
    Fault::new(
        "loses-late-accept",
        "Forgets a client that arrives in the second half of the limit of `--cancel accept`",
        || Box::new(LosesLateAccept),
    ),
    Fault::new(
        "loses-late-read",
        "Loses a read of fewer than 16 bytes in the second half of the limit of `--cancel read`",
        || Box::new(LosesLateRead),
    ),
];

struct WorksInLoop;

impl Hooks for WorksInLoop {
    fn worker(&mut self, _asked: Worker) -> Worker {
        Worker::Loop
    }
}

struct IgnoresCancel;

impl ProcessHooks for IgnoresCancel {
    fn cancels(&self) -> bool {
        false
    }
}

struct WorkIsANap;

impl Hooks for WorkIsANap {
    fn worker(&mut self, _asked: Worker) -> Worker {
        Worker::Clock
    }
}

struct ForgetsJobs {
    room: usize,
    jobs: Burst,
}

impl ForgetsJobs {
    fn beyond(room: usize) -> Self {
        Self { room, jobs: Burst::new(Duration::from_secs(1)) }
    }
}

impl Hooks for ForgetsJobs {
    fn worker(&mut self, asked: Worker) -> Worker {
        if self.jobs.count() > self.room { Worker::Nobody } else { asked }
    }
}

struct LosesLateAccept;

impl Hooks for LosesLateAccept {
    fn accepted_late(&mut self) -> Admission {
        Admission::Ignore
    }
}

struct LosesLateRead;

impl Hooks for LosesLateRead {
    fn received_late(&mut self, connection: &mut Connection) {
        if connection.fresh().len() < 16 {
            connection.pending.truncate(connection.fresh);
        }
    }
}
