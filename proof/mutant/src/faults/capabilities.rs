//! Faults of the optional parts of the contract: work in the wrong place, and what a cancelled
//! operation takes with it.

use std::time::Duration;

use super::Burst;
use crate::capability::Worker;
use crate::connection::Connection;
use crate::hooks::{Admission, Hooks};

pub(super) struct WorksInLoop;

impl Hooks for WorksInLoop {
    fn worker(&mut self, _asked: Worker) -> Worker {
        Worker::Loop
    }
}

pub(super) struct ForgetsJobs {
    room: usize,
    jobs: Burst,
}

impl ForgetsJobs {
    pub(super) fn beyond(room: usize) -> Self {
        Self { room, jobs: Burst::within(Duration::from_secs(1)) }
    }
}

impl Hooks for ForgetsJobs {
    fn worker(&mut self, asked: Worker) -> Worker {
        if self.jobs.count() > self.room { Worker::Nobody } else { asked }
    }
}

pub(super) struct LosesLateAccept;

impl Hooks for LosesLateAccept {
    fn accepted_late(&mut self) -> Admission {
        Admission::Ignore
    }
}

pub(super) struct LosesLateRead;

impl Hooks for LosesLateRead {
    fn received_late(&mut self, connection: &mut Connection) {
        if connection.fresh().len() < 16 {
            connection.pending.truncate(connection.fresh);
        }
    }
}
