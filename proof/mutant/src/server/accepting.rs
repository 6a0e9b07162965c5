//! Accepting: from whom, how many at a time, and what an error leads to.

use std::io::{self, ErrorKind};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Poll, Token};

use super::{AcceptAt, BACK_OFF, Server};
use crate::capability::{Attempts, Moment, Work};
use crate::connection::{Connection, Over};
use crate::hooks::{Admission, AfterAcceptError};
use crate::listener::is_of_one_connection;
use crate::log;

impl Server {
    pub(super) fn accept(&mut self, limit: usize) {
        if let AcceptAt::Moment(moment) = self.accept_at
            && Instant::now() < moment
        {
            return;
        }
        self.accept_at = AcceptAt::Event;
        if self.accepts.cancel_if_over() {
            self.listeners.iter_mut().for_each(|listening| listening.ready = true);
        }
        for index in 0..self.listeners.len() {
            self.accept_from(index, limit);
        }
    }

    pub(super) fn accept_from(&mut self, index: usize, limit: usize) {
        for _ in 0..limit {
            if !self.listeners[index].ready || !self.hooks.may_accept(self.open()) {
                return;
            }
            match self.listeners[index].listener.accept() {
                Ok((stream, over)) => self.admit(stream, over, self.listeners[index].work),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.listeners[index].ready = false;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return self.accept_failed(index, &error),
            }
        }
        self.accept_at = AcceptAt::NextPass;
    }

    fn accept_failed(&mut self, index: usize, error: &io::Error) {
        match self.hooks.accept_failed(error) {
            AfterAcceptError::BackOff => {
                log::line(format_args!("accept failed, waiting a little: {error}"));
                self.accept_at = AcceptAt::Moment(Instant::now() + BACK_OFF);
            }
            AfterAcceptError::Retry => self.accept_at = AcceptAt::NextPass,
            AfterAcceptError::Park => self.listeners[index].ready = false,
            AfterAcceptError::TurnAway => {
                // As libuv does: with the spare descriptor it accepts a client, and closes it.
                self.spare = None;
                let _ = self.listeners[index].listener.accept();
                self.spare = Poll::new().ok();
                self.accept_at = AcceptAt::NextPass;
            }
        }
    }

    fn admit(&mut self, mut stream: TcpStream, over: Over, work: Option<Work>) {
        self.accepted += 1;
        let admission = match self.accepts.complete() {
            Moment::Early => self.hooks.accepted(&mut stream, self.open()),
            Moment::Late => self.hooks.accepted_late(),
        };
        if admission == Admission::Close {
            return;
        }
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let interest = self.hooks.interest();
        if admission == Admission::Serve
            && let Err(error) = self.poll.registry().register(&mut stream, Token(slot), interest)
        {
            log::line(format_args!("cannot watch a connection: {error}"));
            if slot < self.slots.len() {
                self.free.push(slot);
            }
            return;
        }
        let reads = Attempts::within(self.read_limit);
        let connection = Some(Connection { work, reads, ..Connection::new(slot, stream, over) });
        if slot == self.slots.len() {
            self.slots.push(connection);
        } else {
            self.slots[slot] = connection;
        }
    }
}
