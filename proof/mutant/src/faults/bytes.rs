//! Faults that spoil a connection's own bytes as they are read.

use crate::connection::{Connection, Over, Phase};
use crate::hooks::Hooks;

/// A read that is at least this large is one of a message that fills the buffer.
pub(super) const FULL_READ: usize = 4096;

pub(super) struct First1024Bytes {
    pub(super) at: u64,
}

impl Hooks for First1024Bytes {
    fn received(&mut self, connection: &mut Connection) {
        if is_full_read(connection, self.at) {
            connection.pending.truncate(connection.fresh + 1024);
        }
    }
}

pub(super) struct LosesTinyRead {
    pub(super) at: u64,
}

impl Hooks for LosesTinyRead {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() < 4 {
            connection.mark += 1;
            if connection.mark == self.at {
                connection.pending.truncate(connection.fresh);
            }
        }
    }
}

pub(super) struct TranslatesCrlf;

impl Hooks for TranslatesCrlf {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.pending.split_off(connection.fresh);
        let is_text = fresh.len() <= 1024;
        // An empty line, because two bytes turn up in anything that looks random.
        let keeps = |place: usize| !(is_text && fresh[place..].starts_with(b"\r\n\n"));
        connection.pending.extend((0..fresh.len()).filter(|&p| keeps(p)).map(|p| fresh[p]));
    }
}

pub(super) struct ObeysQuit;

impl Hooks for ObeysQuit {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().windows(4).any(|window| window == b"QUIT") {
            connection.drop_pending();
            connection.phase = Phase::Ended;
        }
    }
}

/// Flips the last byte that has come once a connection over some sockets has had so many.
pub(super) struct SpoilsOver {
    over: Over,
    at: u64,
}

impl SpoilsOver {
    pub(super) fn new(over: Over, at: Option<u64>) -> Self {
        Self { over, at: at.unwrap_or(100_000) }
    }
}

impl Hooks for SpoilsOver {
    fn received(&mut self, connection: &mut Connection) {
        if connection.over == self.over
            && connection.bytes_read >= self.at
            && connection.mark == 0
            && let Some(byte) = connection.fresh().last_mut()
        {
            *byte ^= 0x20;
            connection.mark = 1;
        }
    }
}

pub(super) struct FlipsLoneByte;

impl Hooks for FlipsLoneByte {
    fn received(&mut self, connection: &mut Connection) {
        if let [byte] = connection.fresh() {
            *byte ^= 0x20;
        }
    }
}

pub(super) struct EndsAfterMessages {
    pub(super) at: u64,
}

impl Hooks for EndsAfterMessages {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() < 8 {
            connection.mark += 1;
            if connection.mark == self.at {
                connection.phase = Phase::Ended;
            }
        }
    }
}

pub(super) struct SwapsChunks {
    pub(super) at: u64,
}

impl Hooks for SwapsChunks {
    fn received(&mut self, connection: &mut Connection) {
        if is_full_read(connection, self.at) {
            let fresh = connection.fresh();
            fresh.rotate_left(fresh.len() / 2);
        }
    }
}

pub(super) struct WritesStaleTail;

impl Hooks for WritesStaleTail {
    fn received(&mut self, connection: &mut Connection) {
        let bytes = connection.fresh().len();
        if bytes >= FULL_READ {
            connection.kept = connection.fresh()[..64].to_vec();
        } else if let Some(stale) = connection.kept.get(bytes..) {
            connection.pending.extend_from_slice(stale);
        }
    }
}

pub(super) struct LosesSmallMessage {
    pub(super) at: u64,
}

impl Hooks for LosesSmallMessage {
    fn received(&mut self, connection: &mut Connection) {
        if (6..=256).contains(&connection.fresh().len()) {
            connection.mark += 1;
            if connection.mark.is_multiple_of(self.at) {
                connection.pending.truncate(connection.fresh);
            }
        }
    }
}

pub(super) struct FlipsBit {
    pub(super) at: u64,
}

impl Hooks for FlipsBit {
    fn received(&mut self, connection: &mut Connection) {
        if passes_multiple(connection, self.at) {
            connection.fresh()[0] ^= 1;
        }
    }
}

pub(super) struct LosesReadAtWrap {
    pub(super) at: u64,
}

impl Hooks for LosesReadAtWrap {
    fn received(&mut self, connection: &mut Connection) {
        if passes_multiple(connection, self.at) {
            connection.pending.truncate(connection.fresh);
        }
    }
}

/// Whether this is the `step`th full read, or a multiple of that, of the only open connection. A
/// fault that spoils every stream would leave too few cases green to be told from another.
fn is_full_read(connection: &mut Connection, step: u64) -> bool {
    if connection.fresh().len() < FULL_READ {
        return false;
    }
    connection.mark += 1;
    connection.mark.is_multiple_of(step) && connection.beside == 0
}

/// Whether the count of the only open connection's bytes passes a multiple of `step` in this read.
fn passes_multiple(connection: &mut Connection, step: u64) -> bool {
    let before = connection.bytes_read - connection.fresh().len() as u64;
    before / step < connection.bytes_read / step && connection.beside == 0
}

pub(super) struct LosesByteAfterTiny;

impl Hooks for LosesByteAfterTiny {
    fn received(&mut self, connection: &mut Connection) {
        let bytes = connection.fresh().len() as u64;
        if bytes >= 400 && (1..=8).contains(&connection.mark) {
            connection.pending.pop();
        }
        connection.mark = bytes;
    }
}

pub(super) struct StripsMark;

impl Hooks for StripsMark {
    fn received(&mut self, connection: &mut Connection) {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let is_first = connection.bytes_read == connection.fresh().len() as u64;
        if is_first && connection.fresh().starts_with(MARK) {
            connection.pending.drain(connection.fresh..connection.fresh + MARK.len());
        }
    }
}
