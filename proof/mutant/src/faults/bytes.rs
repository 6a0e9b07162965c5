//! Faults that spoil a connection's own bytes as they are read.

use super::Fault;
use crate::connection::{Connection, Over, Phase};
use crate::hooks::Hooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::settable(
        "first-1024-bytes",
        "Echoes only 1024 bytes of every 300th full read (settable) on the only open connection",
        300,
        |at| Box::new(First1024Bytes { at }),
    ),
    Fault::settable(
        "loses-tiny-read",
        "Loses the 100th read (settable) of fewer than 4 bytes on a connection",
        100,
        |at| Box::new(LosesTinyRead { at }),
    ),
    Fault::new(
        "translates-crlf",
        "Turns CR LF LF into LF LF in a read of at most 1024 bytes",
        || Box::new(TranslatesCrlf),
    ),
    Fault::new("obeys-quit", "Closes a connection that sends QUIT", || Box::new(ObeysQuit)),
    Fault::new("strips-mark", "Strips a byte order mark from the start of a connection", || {
        Box::new(StripsMark)
    }),
    Fault::new("flips-lone-byte", "Flips a bit of a byte that arrives alone", || {
        Box::new(FlipsLoneByte)
    }),
    Fault::settable(
        "ends-after-messages",
        "Ends a connection after 500 reads (settable) of fewer than 8 bytes",
        500,
        |at| Box::new(EndsAfterMessages { at }),
    ),
    Fault::settable(
        "swaps-chunks",
        "Swaps the halves of every 300th full read (settable) on the only open connection",
        300,
        |at| Box::new(SwapsChunks { at }),
    ),
    Fault::new(
        "writes-stale-tail",
        "Pads a read of fewer than 64 bytes with bytes that an earlier full read left in the \
         buffer",
        || Box::new(WritesStaleTail),
    ),
    Fault::settable(
        "loses-small-message",
        "Loses every 100th read (settable) of 6 to 256 bytes on a connection",
        100,
        |at| Box::new(LosesSmallMessage { at }),
    ),
    Fault::settable(
        "flips-bit",
        "Flips one bit every 8 MiB (settable) on the only open connection",
        8 << 20,
        |at| Box::new(FlipsBit { at }),
    ),
    Fault::settable(
        "loses-read-at-wrap",
        "Loses the read in which the only open connection passes a multiple of 4 MiB (settable)",
        4 << 20,
        |at| Box::new(LosesReadAtWrap { at }),
    ),
    Fault::settable(
        "wraps-at-4-gib",
        "Loses the read in which the only open connection passes a multiple of 4 GiB (settable)",
        1 << 32,
        |at| Box::new(LosesReadAtWrap { at }),
    ),
    Fault::new(
        "loses-byte-after-tiny",
        "Loses the last byte of a read of at least 400 bytes that follows one of at most 8 bytes",
        || Box::new(LosesByteAfterTiny),
    ),
    Fault::settable(
        "spoils-unix",
        "Spoils one byte of a Unix connection after its first 100,000 bytes (settable)",
        100_000,
        |at| Box::new(SpoilsOver::new(Over::Unix, at)),
    ),
    Fault::settable(
        "spoils-ipv6",
        "Spoils one byte of a connection over IPv6 after its first 100,000 bytes (settable)",
        100_000,
        |at| Box::new(SpoilsOver::new(Over::Ipv6, at)),
    ),
];

/// Bytes. A read of at least this size has filled a buffer of the default size.
pub(super) const FULL_READ: usize = 4096;

struct First1024Bytes {
    at: u64,
}

impl Hooks for First1024Bytes {
    fn received(&mut self, connection: &mut Connection) {
        if is_full_read(connection, self.at) {
            connection.pending.truncate(connection.fresh + 1024);
        }
    }
}

struct LosesTinyRead {
    at: u64,
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

struct TranslatesCrlf;

impl Hooks for TranslatesCrlf {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.pending.split_off(connection.fresh);
        let is_text = fresh.len() <= 1024;
        // Three bytes, because two of them occur by chance in random data.
        let keeps = |place: usize| !(is_text && fresh[place..].starts_with(b"\r\n\n"));
        connection.pending.extend((0..fresh.len()).filter(|&p| keeps(p)).map(|p| fresh[p]));
    }
}

struct ObeysQuit;

impl Hooks for ObeysQuit {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().windows(4).any(|window| window == b"QUIT") {
            connection.drop_pending();
            connection.phase = Phase::Ended;
        }
    }
}

/// Flips a bit once, in the first read that takes a connection over this transport to `at` bytes.
struct SpoilsOver {
    over: Over,
    at: u64,
}

impl SpoilsOver {
    fn new(over: Over, at: u64) -> Self {
        Self { over, at }
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

struct FlipsLoneByte;

impl Hooks for FlipsLoneByte {
    fn received(&mut self, connection: &mut Connection) {
        if let [byte] = connection.fresh() {
            *byte ^= 0x20;
        }
    }
}

struct EndsAfterMessages {
    at: u64,
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

struct SwapsChunks {
    at: u64,
}

impl Hooks for SwapsChunks {
    fn received(&mut self, connection: &mut Connection) {
        if is_full_read(connection, self.at) {
            let fresh = connection.fresh();
            fresh.rotate_left(fresh.len() / 2);
        }
    }
}

struct WritesStaleTail;

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

struct LosesSmallMessage {
    at: u64,
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

struct FlipsBit {
    at: u64,
}

impl Hooks for FlipsBit {
    fn received(&mut self, connection: &mut Connection) {
        if passes_multiple(connection, self.at) {
            connection.fresh()[0] ^= 1;
        }
    }
}

struct LosesReadAtWrap {
    at: u64,
}

impl Hooks for LosesReadAtWrap {
    fn received(&mut self, connection: &mut Connection) {
        if passes_multiple(connection, self.at) {
            connection.pending.truncate(connection.fresh);
        }
    }
}

/// Whether this is a full read whose number is a multiple of `step`, on the only open connection. A
/// fault that spoiled every stream would leave too few cases green to tell it from others.
fn is_full_read(connection: &mut Connection, step: u64) -> bool {
    if connection.fresh().len() < FULL_READ {
        return false;
    }
    connection.mark += 1;
    connection.mark.is_multiple_of(step) && connection.beside == 0
}

/// Whether this read takes the only open connection past a multiple of `step` bytes.
fn passes_multiple(connection: &mut Connection, step: u64) -> bool {
    let before = connection.bytes_read - connection.fresh().len() as u64;
    before / step < connection.bytes_read / step && connection.beside == 0
}

struct LosesByteAfterTiny;

impl Hooks for LosesByteAfterTiny {
    fn received(&mut self, connection: &mut Connection) {
        let bytes = connection.fresh().len() as u64;
        if bytes >= 400 && (1..=8).contains(&connection.mark) {
            connection.pending.pop();
        }
        connection.mark = bytes;
    }
}

struct StripsMark;

impl Hooks for StripsMark {
    fn received(&mut self, connection: &mut Connection) {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let is_first = connection.bytes_read == connection.fresh().len() as u64;
        if is_first && connection.fresh().starts_with(MARK) {
            connection.pending.drain(connection.fresh..connection.fresh + MARK.len());
        }
    }
}
