//! A connection's turn: read, write what was read, and only then read again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use crate::capability::{Job, Moment, Work};
use crate::connection::{Connection, End, Phase};
use crate::hooks::{Gate, Hooks};

/// Steps per turn: few enough that no connection starves the others.
const STEPS_PER_TURN: usize = 16;

/// The outcome of a step or a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Progress,
    /// There is nothing to do before the next event.
    Wait,
    /// The connection needs another turn in the next pass.
    Again,
    Close(End),
}

impl Connection {
    /// Takes steps until the connection must wait, or until it is the turn of the others.
    pub(crate) fn turn(&mut self, hooks: &mut dyn Hooks, scratch: &mut [u8]) -> Step {
        for _ in 0..STEPS_PER_TURN {
            match self.step(hooks, scratch) {
                Step::Progress => {}
                end @ (Step::Wait | Step::Again | Step::Close(_)) => return end,
            }
        }
        Step::Again
    }

    fn step(&mut self, hooks: &mut dyn Hooks, scratch: &mut [u8]) -> Step {
        if let Some(job) = &self.job {
            if !job.is_done() {
                return self.passed(Gate::Until(Instant::now() + Job::LOOK_EVERY));
            }
            self.job = None;
        }
        let gate = hooks.step(self);
        if gate != Gate::Go {
            return self.passed(gate);
        }
        if !self.pending.is_empty() && self.ready.writable {
            return self.write(hooks);
        }
        match self.phase {
            Phase::Open => self.read(hooks, scratch),
            Phase::Ended | Phase::Stopping if !self.pending.is_empty() => Step::Wait,
            Phase::Ended => {
                // This fails if the client is already gone. The connection has ended either way.
                hooks.shut_down(&self.stream.shutdown(Shutdown::Write));
                Step::Close(End::Finished)
            }
            Phase::Stopping => match self.stream.shutdown(Shutdown::Write) {
                Ok(()) => {
                    self.phase = Phase::Discarding;
                    Step::Progress
                }
                Err(_) => Step::Close(End::WriteFailed),
            },
            Phase::Discarding => self.discard(scratch),
        }
    }

    fn write(&mut self, hooks: &mut dyn Hooks) -> Step {
        let gate = hooks.may_write(self);
        if gate != Gate::Go {
            return self.passed(gate);
        }
        let end = self.pending.len().min(self.written.saturating_add(hooks.write_limit(self)));
        match self.stream.write(&self.pending[self.written..end]) {
            Ok(bytes) => {
                self.written += bytes;
                self.blocked_since = None;
                hooks.wrote(self);
                if self.written == self.pending.len() {
                    self.drop_pending();
                }
                Step::Progress
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::Progress,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready.writable = false;
                self.blocked_since.get_or_insert_with(Instant::now);
                let gate = hooks.blocked(self);
                // The next step asks whether to read, and waits while anything is pending.
                if gate == Gate::Wait { Step::Progress } else { self.passed(gate) }
            }
            Err(_) => Step::Close(End::WriteFailed),
        }
    }

    fn read(&mut self, hooks: &mut dyn Hooks, scratch: &mut [u8]) -> Step {
        let gate = hooks.may_read(self);
        if gate != Gate::Go {
            return self.passed(gate);
        }
        if !self.ready.readable {
            return self.await_input();
        }
        let limit = hooks.read_limit(self, scratch.len());
        let buffer = &mut scratch[..limit];
        let done = hooks.read(self, buffer);
        match done.unwrap_or_else(|| self.stream.read(buffer)) {
            Ok(0) => {
                let gate = hooks.peer_ended(self);
                if gate == Gate::Go {
                    self.phase = Phase::Ended;
                }
                self.passed(gate)
            }
            Ok(bytes) => {
                self.fresh = self.pending.len();
                self.pending.extend_from_slice(&scratch[..bytes]);
                self.bytes_read += bytes as u64;
                if self.reads.complete() == Moment::Late {
                    hooks.received_late(self);
                }
                hooks.received(self);
                if let Some(work) = self.work {
                    self.job = Work { worker: hooks.worker(work.worker), ..work }.begin();
                }
                self.last_read = Instant::now();
                self.was_drained = false;
                Step::Progress
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.read_failed(&error);
                self.await_input()
            }
            Err(error) => self.read_failed(&error),
        }
    }

    /// Waits for input, or until the read is to be cancelled and started again.
    fn await_input(&mut self) -> Step {
        if self.reads.cancel_if_over() {
            self.ready.readable = true;
            return Step::Progress;
        }
        self.wake_at = self.reads.cancelled_at().or(self.wake_at);
        Step::Wait
    }

    fn discard(&mut self, scratch: &mut [u8]) -> Step {
        if !self.ready.readable {
            return Step::Wait;
        }
        match self.stream.read(scratch) {
            Ok(0) => Step::Close(End::Finished),
            Ok(_) => Step::Progress,
            Err(error) => self.read_failed(&error),
        }
    }

    fn read_failed(&mut self, error: &io::Error) -> Step {
        if error.kind() == ErrorKind::Interrupted {
            return Step::Progress;
        }
        if error.kind() != ErrorKind::WouldBlock {
            return Step::Close(End::ReadFailed);
        }
        self.ready.readable = false;
        self.was_drained = true;
        Step::Wait
    }

    /// The step that follows from a hook's answer. [`Gate::Go`] means to continue.
    fn passed(&mut self, gate: Gate) -> Step {
        match gate {
            Gate::Go => Step::Progress,
            Gate::Wait => Step::Wait,
            Gate::Until(moment) => {
                self.wake_at = Some(moment);
                Step::Wait
            }
            Gate::Again => Step::Again,
            Gate::Close => Step::Close(End::Finished),
        }
    }
}
