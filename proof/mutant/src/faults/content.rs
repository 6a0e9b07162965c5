//! Faults that interpret the bytes, as text, commands, frames or data to compress, and faults at
//! one length of a read.

use super::Fault;
use crate::connection::{Connection, Over, Phase};
use crate::hooks::Hooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("loses-zero-page", "Loses a read of at least 4096 bytes that are all zero", || {
        Box::new(Reading(loses_zero_page))
    }),
    Fault::new("collapses-runs", "Keeps only 255 bytes of a read that repeats one byte", || {
        Box::new(Reading(collapses_runs))
    }),
    Fault::new("limits-lines", "Closes a connection that sends 64 KiB without a line feed", || {
        Box::new(LimitsLines)
    }),
    Fault::new(
        "cuts-long-words",
        "Keeps only 1000 bytes of a read that has only letters and digits",
        || Box::new(Reading(cuts_long_words)),
    ),
    Fault::new(
        "strips-lone-return",
        "Strips a carriage return from the end of a read of at least 8 bytes of plain text",
        || Box::new(Reading(strips_lone_return)),
    ),
    Fault::new(
        "obeys-telnet",
        "Drops the second of two bytes 0xFF that arrive alone, as if the first escaped it",
        || Box::new(Reading(obeys_telnet)),
    ),
    Fault::new("obeys-shutdown", "Closes a connection whose read is exactly `shutdown\\n`", || {
        Box::new(Reading(obeys_shutdown))
    }),
    Fault::new(
        "refuses-long-frames",
        "Closes a connection when a read begins with the frame length 2,147,483,647",
        || Box::new(Reading(refuses_long_frames)),
    ),
    Fault::new(
        "skips-empty-frames",
        "Drops a read of four zero bytes, as if it were the length of an empty frame",
        || Box::new(Reading(skips_empty_frames)),
    ),
    Fault::new(
        "loses-eighth-bit",
        "Changes a byte in a read of at least 500 7-bit bytes that are not plain text",
        || Box::new(Reading(loses_eighth_bit)),
    ),
    Fault::settable(
        "knows-the-stamp",
        "Spoils every 100th read of at least 1 KiB (settable), unless the connection began with a \
         predictable stamp",
        100,
        |at| Box::new(KnowsTheStamp { at }),
    ),
    Fault::new("spoils-unix-zeros", "Spoils a read of at least 100 zeros over a Unix path", || {
        Box::new(Reading(spoils_unix_zeros))
    }),
    Fault::new(
        "spoils-126",
        "Spoils a read of 126 bytes, the first length that a short WebSocket frame cannot have",
        || Box::new(AtLength(126)),
    ),
    Fault::new("spoils-1500", "Spoils a read of 1500 bytes", || Box::new(AtLength(1500))),
    Fault::new("spoils-4097", "Spoils a read of 4097 bytes", || Box::new(AtLength(4097))),
    Fault::new("spoils-12288", "Spoils a read of 12,288 bytes, which is three pages", || {
        Box::new(AtLength(12_288))
    }),
    Fault::new("spoils-25000", "Spoils a read of 25,000 bytes", || Box::new(AtLength(25_000))),
];

/// Spoils a read depending on its bytes alone.
struct Reading(fn(&mut Connection));

impl Hooks for Reading {
    fn received(&mut self, connection: &mut Connection) {
        (self.0)(connection);
    }
}

fn loses_zero_page(connection: &mut Connection) {
    let fresh = connection.fresh();
    if fresh.len() >= 4096 && fresh.iter().all(|byte| *byte == 0) {
        connection.pending.truncate(connection.fresh);
    }
}

fn collapses_runs(connection: &mut Connection) {
    let fresh = connection.fresh();
    if fresh.len() > 255 && fresh.iter().all(|byte| *byte == fresh[0]) {
        connection.pending.truncate(connection.fresh + 255);
    }
}

struct LimitsLines;

impl Hooks for LimitsLines {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh();
        let bytes = fresh.len() as u64;
        let behind = fresh.iter().rev().position(|byte| *byte == b'\n');
        connection.mark = behind.map_or(connection.mark + bytes, |behind| behind as u64);
        if connection.mark >= 64 * 1024 {
            connection.drop_pending();
            connection.phase = Phase::Ended;
        }
    }
}

fn cuts_long_words(connection: &mut Connection) {
    let fresh = connection.fresh();
    let is_varied = fresh.iter().any(|byte| *byte != fresh[0]);
    if fresh.len() > 1000 && is_varied && fresh.iter().all(u8::is_ascii_alphanumeric) {
        connection.pending.truncate(connection.fresh + 1000);
    }
}

fn strips_lone_return(connection: &mut Connection) {
    if let [text @ .., b'\r'] = connection.fresh()
        && text.len() >= 7
        && text.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b' ')
    {
        connection.pending.pop();
    }
}

fn obeys_telnet(connection: &mut Connection) {
    if connection.fresh() == [0xff, 0xff] {
        connection.pending.pop();
    }
}

fn obeys_shutdown(connection: &mut Connection) {
    if connection.fresh() == b"shutdown\n" {
        connection.drop_pending();
        connection.phase = Phase::Ended;
    }
}

fn refuses_long_frames(connection: &mut Connection) {
    if connection.fresh().starts_with(&[0x7f, 0xff, 0xff, 0xff]) {
        connection.drop_pending();
        connection.phase = Phase::Ended;
    }
}

fn skips_empty_frames(connection: &mut Connection) {
    if connection.fresh() == [0; 4] {
        connection.pending.truncate(connection.fresh);
    }
}

fn loses_eighth_bit(connection: &mut Connection) {
    let fresh = connection.fresh();
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let is_low = fresh.len() >= 500 && fresh.iter().all(u8::is_ascii);
    if is_low && fresh.iter().any(|byte| *byte > 1) && !fresh.iter().all(is_text) {
        fresh[0] ^= 1;
    }
}

fn spoils_unix_zeros(connection: &mut Connection) {
    let is_unix = connection.over == Over::Unix;
    let fresh = connection.fresh();
    if is_unix && fresh.len() >= 100 && fresh.iter().all(|byte| *byte == 0) {
        fresh[0] = 1;
    }
}

/// Flips a bit of each read of this length. The buffer is large enough for such reads.
struct AtLength(usize);

impl Hooks for AtLength {
    fn buffer_bytes(&self, asked: usize) -> usize {
        asked.max(64 * 1024)
    }

    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh();
        if fresh.len() == self.0 {
            fresh[self.0 - 1] ^= 0x20;
        }
    }
}

struct KnowsTheStamp {
    at: u64,
}

impl Hooks for KnowsTheStamp {
    fn received(&mut self, connection: &mut Connection) {
        let bytes = connection.fresh().len();
        if connection.bytes_read == bytes as u64 {
            let first: Option<[u8; 16]> = connection.fresh().first_chunk().copied();
            let number = first.map_or(u128::MAX, |first| unscramble(u128::from_le_bytes(first)));
            // The stamp of the first record on one of the first 100,000 connections of a cell.
            let is_stamp = number & u128::from(u64::MAX) == 0 && (number >> 64) as u32 <= 100_000;
            connection.mark = if is_stamp { 0 } else { 1 };
        }
        if connection.mark > 0 && bytes >= 1024 {
            connection.mark += 1;
            if (connection.mark - 1).is_multiple_of(self.at) {
                connection.fresh().rotate_left(bytes / 2);
            }
        }
    }
}

/// The stamp before it was scrambled with public constants.
fn unscramble(mut x: u128) -> u128 {
    const MULTIPLIERS: [u128; 2] =
        [0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835, 0xd1b5_4a32_d192_ed03_a3b1_9535_4a39_b70d];
    for multiplier in [MULTIPLIERS[1], MULTIPLIERS[0]] {
        x ^= x >> 64;
        x = x.wrapping_mul(inverse(multiplier));
    }
    x ^ (x >> 64)
}

/// The inverse of an odd number modulo 2^128, by Newton's iteration (each step doubles the bits).
fn inverse(odd: u128) -> u128 {
    (0..7).fold(odd, |x, _| x.wrapping_mul(2_u128.wrapping_sub(odd.wrapping_mul(x))))
}
