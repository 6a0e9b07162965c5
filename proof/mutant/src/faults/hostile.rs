//! What no suite is about and a server may do all the same: what must not cost the judge its time
//! or its memory.

use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::hooks::{Gate, Hooks};

/// What is written at a time to a client that has not asked.
const UNASKED_BYTES: usize = 64 * 1024;

pub(super) struct FloodsClients;

impl Hooks for FloodsClients {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.pending.is_empty() {
            connection.pending.resize(UNASKED_BYTES, b'?');
        }
        Gate::Go
    }

    fn wrote(&mut self, connection: &mut Connection) {
        if connection.written == connection.pending.len() {
            connection.drop_pending();
            connection.pending.resize(UNASKED_BYTES, b'?');
        }
    }
}

pub(super) struct Drips;

impl Hooks for Drips {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let due = connection.last_read + Duration::from_secs(connection.written as u64);
        if due <= Instant::now() { Gate::Go } else { Gate::Until(due) }
    }

    fn write_limit(&mut self, _connection: &Connection) -> usize {
        1
    }
}
