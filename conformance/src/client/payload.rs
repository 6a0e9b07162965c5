//! Payload: every byte of a connection's stream follows from the key, the connection's number and
//! the position, so the judge can tell what went wrong with a wrong byte.

use std::sync::Arc;

use report::FailureKind;

use crate::key::{BLOCK_BYTES, Key};

pub const RECORD_BYTES: usize = BLOCK_BYTES;

/// How far back to look for a few old bytes that do not fill a record.
const HISTORY_BYTES: u64 = 256 * 1024;

/// The first bits of every stamp. The value does not matter, because it is never sent in clear.
const TAG: u32 = 0x5bd1_e995;

/// The stream of one connection.
///
/// A stamped stream consists of 16-byte records. Each is the enciphered pair of connection number
/// and counter. Without the key the stream looks random, and no part of it reveals what follows.
/// With the key, any record tells which connection it belongs to and where. So the judge can tell
/// whether bytes were lost, duplicated, reordered or altered, or are stale, foreign or extra. Other
/// streams carry the content that a case gives them.
#[derive(Clone, Debug)]
pub struct Payload {
    key: Arc<Key>,
    connection: u32,
    /// What the stream repeats, if it is not stamped.
    content: Option<Arc<[u8]>>,
}

/// What is wrong at a position of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Lost, duplicated, reordered, stale, foreign, extra or altered.
    pub kind: FailureKind,
    /// What was found there, as text.
    pub found: String,
}

impl Payload {
    /// The stamped stream of a connection in the cell with this key.
    #[must_use]
    pub fn new(key: Arc<Key>, connection: u32) -> Self {
        Self { key, connection, content: None }
    }

    /// Makes the stream repeat `content`, which must not be empty.
    pub fn use_content(&mut self, content: Arc<[u8]>) {
        debug_assert!(!content.is_empty(), "a stream of nothing");
        self.content = Some(content);
    }

    /// Writes the bytes at `position..position + out.len()` of the stream.
    pub fn fill(&self, position: u64, out: &mut [u8]) {
        if let Some(content) = &self.content {
            return repeat(content, position, out);
        }
        let record_bytes = RECORD_BYTES as u64;
        let skip = usize::try_from(position % record_bytes).unwrap_or(0);
        let mut counter = position / record_bytes;
        let mut rest = out;
        if skip > 0 {
            let n = (RECORD_BYTES - skip).min(rest.len());
            rest[..n].copy_from_slice(&self.record(counter)[skip..skip + n]);
            rest = &mut rest[n..];
            counter += 1;
        }
        let (whole, part) = rest.split_at_mut(rest.len() / RECORD_BYTES * RECORD_BYTES);
        for record in whole.chunks_exact_mut(RECORD_BYTES) {
            record.copy_from_slice(&self.stamp(counter).to_le_bytes());
            counter += 1;
        }
        self.key.encipher_all(whole);
        part.copy_from_slice(&self.record(counter)[..part.len()]);
    }

    /// The bytes at `position..position + length` of the stream.
    #[must_use]
    pub fn bytes(&self, position: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(position, &mut bytes);
        bytes
    }

    /// How many leading bytes of `got` equal the stream at `position`.
    #[must_use]
    pub fn count_matching(&self, position: u64, got: &[u8]) -> usize {
        let mut expected = [0; 4096];
        let mut done = 0;
        for chunk in got.chunks(expected.len()) {
            let expected = &mut expected[..chunk.len()];
            self.fill(position + done as u64, expected);
            if expected != chunk {
                let same = chunk.iter().zip(expected.iter()).take_while(|(a, b)| a == b).count();
                return done + same;
            }
            done += chunk.len();
        }
        done
    }

    /// Whether the bytes contain a stamp of any connection of this cell.
    #[must_use]
    pub fn is_of_this_cell(&self, bytes: &[u8]) -> bool {
        bytes.windows(RECORD_BYTES).any(|window| self.decode(window).is_some())
    }

    /// Finds out what is wrong with `tail`, which arrived at `position` of this connection. The
    /// first byte of `tail` is wrong. `sent` is how many bytes had been sent.
    #[must_use]
    pub fn classify(&self, position: u64, tail: &[u8], sent: u64) -> Mismatch {
        if self.content.is_some() {
            return self.classify_content(position, tail, sent);
        }
        let found = |kind, found: String| Mismatch { kind, found };
        for (shift, window) in tail.windows(RECORD_BYTES).enumerate() {
            let Some((connection, counter)) = self.decode(window) else { continue };
            if connection != self.connection {
                let text = format!("bytes of connection {connection}");
                return found(FailureKind::Foreign, text);
            }
            let belongs = counter * RECORD_BYTES as u64;
            let stands = position + shift as u64;
            return match belongs.cmp(&stands) {
                std::cmp::Ordering::Equal => {
                    found(FailureKind::Altered, format!("{shift} changed bytes, then right ones"))
                }
                std::cmp::Ordering::Greater => {
                    self.classify_later(position, &tail[shift..], belongs)
                }
                std::cmp::Ordering::Less => {
                    self.classify_earlier(position, tail, shift, belongs, sent)
                }
            };
        }
        self.classify_partial_record(position, tail, sent)
    }

    /// Like [`Payload::classify`], for a stream without stamps. Content may repeat, so this takes
    /// the nearest explanation.
    fn classify_content(&self, position: u64, tail: &[u8], sent: u64) -> Mismatch {
        /// A match of this many bytes is no coincidence.
        const RUN: usize = 32;
        if position >= sent {
            return self.classify_partial_record(position, tail, sent);
        }
        let run = &tail[..tail.len().min(RUN)];
        let left = usize::try_from((sent - position).min(HISTORY_BYTES)).unwrap_or(RUN);
        let due = self.bytes(position, left);
        if let Some(skipped) = due.windows(run.len().max(1)).position(|window| window == run) {
            let found = format!("what follows {skipped} bytes that do not come");
            return Mismatch { kind: FailureKind::Lost, found };
        }
        let is_right =
            |at: usize| tail.get(at..at + RUN).is_some_and(|run| due[at..].starts_with(run));
        let changed = (1..RUN.min(due.len())).find(|at| is_right(*at));
        let due = &due[..left.min(RUN)];
        if changed.is_none()
            && let Some(put_in) = tail.windows(due.len()).position(|window| window == due)
        {
            let found = format!("{put_in} bytes that nobody sent: {}", hex(&tail[..put_in]));
            return Mismatch { kind: FailureKind::Extra, found };
        }
        Mismatch { kind: FailureKind::Altered, found: format!("bytes {}", hex(tail)) }
    }

    /// `tail` belongs further on in the stream. The bytes in between are lost, unless they arrive
    /// later.
    fn classify_later(&self, position: u64, tail: &[u8], belongs: u64) -> Mismatch {
        let gap = position..belongs;
        let comes_later = tail.windows(RECORD_BYTES).filter_map(|window| self.decode(window)).any(
            |(connection, counter)| {
                connection == self.connection
                    && gap.contains(&(counter * RECORD_BYTES as u64 + RECORD_BYTES as u64 - 1))
            },
        );
        let (kind, fate) = if comes_later {
            (FailureKind::Reordered, "which come later")
        } else {
            (FailureKind::Lost, "which do not come")
        };
        let skipped = belongs - position;
        Mismatch { kind, found: format!("bytes from {belongs}, past about {skipped} {fate}") }
    }

    /// `tail` arrived before: the bytes just before `position` again, or older bytes.
    fn classify_earlier(
        &self,
        position: u64,
        tail: &[u8],
        shift: usize,
        belongs: u64,
        sent: u64,
    ) -> Mismatch {
        // The stream may simply continue after inserted bytes.
        let surplus = usize::try_from(position + shift as u64 - belongs).unwrap_or(tail.len());
        if let Some(rest) = tail.get(surplus..)
            && self.count_matching(position, rest) >= RECORD_BYTES.min(rest.len()).max(1)
        {
            return self.classify_partial_record(position, &tail[..surplus], sent.min(position));
        }
        // The old bytes may begin in the middle of a record.
        let start = belongs.saturating_sub(shift as u64);
        let lead = usize::try_from(belongs - start).unwrap_or(0);
        let run = &tail[shift - lead..];
        let length = self.count_matching(start, run) as u64;
        let text = format!("{length} bytes from {start} once more");
        // The repeated bytes may come in pieces and begin anywhere. They are a duplicate if they
        // reach `position`, and stale otherwise.
        let is_repeat = start + length >= position;
        let kind = if is_repeat { FailureKind::Duplicated } else { FailureKind::Stale };
        Mismatch { kind, found: text }
    }

    /// For a tail with no whole record.
    fn classify_partial_record(&self, position: u64, tail: &[u8], sent: u64) -> Mismatch {
        let length = tail.len() as u64;
        if let Some(start) = self.find_earlier(position, tail) {
            let text = format!("{length} bytes from {start} once more");
            let is_repeat = start + length == position;
            let kind = if is_repeat { FailureKind::Duplicated } else { FailureKind::Stale };
            return Mismatch { kind, found: text };
        }
        if position >= sent {
            let text = format!("{length} bytes that nobody sent: {}", hex(tail));
            return Mismatch { kind: FailureKind::Extra, found: text };
        }
        Mismatch { kind: FailureKind::Altered, found: format!("bytes {}", hex(tail)) }
    }

    /// Where the stream before `position` contains these bytes. Fewer than 4 bytes prove nothing.
    fn find_earlier(&self, position: u64, bytes: &[u8]) -> Option<u64> {
        let start = position.saturating_sub(HISTORY_BYTES);
        let history = self.bytes(start, usize::try_from(position - start).ok()?);
        let found = history.windows(bytes.len().max(1)).rposition(|window| window == bytes)?;
        (bytes.len() >= 4).then_some(start + found as u64)
    }

    fn stamp(&self, counter: u64) -> u128 {
        u128::from(TAG) << 96 | u128::from(self.connection) << 64 | u128::from(counter)
    }

    fn record(&self, counter: u64) -> [u8; RECORD_BYTES] {
        self.key.encipher(self.stamp(counter)).to_le_bytes()
    }

    /// The connection and counter of a whole record of this cell.
    fn decode(&self, bytes: &[u8]) -> Option<(u32, u64)> {
        let stamp = self.key.decipher(u128::from_le_bytes(bytes.try_into().ok()?));
        let tag = u32::try_from(stamp >> 96).ok()?;
        let connection = u32::try_from((stamp >> 64) & 0xffff_ffff).ok()?;
        let counter = u64::try_from(stamp & u128::from(u64::MAX)).ok()?;
        (tag == TAG).then_some((connection, counter))
    }
}

/// Writes the bytes at `position` of an endless repetition of `content`.
fn repeat(content: &[u8], position: u64, out: &mut [u8]) {
    let mut from = usize::try_from(position % content.len() as u64).unwrap_or(0);
    let mut rest = out;
    while !rest.is_empty() {
        let n = (content.len() - from).min(rest.len());
        rest[..n].copy_from_slice(&content[from..from + n]);
        rest = &mut rest[n..];
        from = 0;
    }
}

/// The first 16 bytes as hexadecimal text, for failures.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
    let more = if bytes.len() > 16 { " ..." } else { "" };
    format!("{}{more}", shown.join(" "))
}

#[cfg(test)]
mod tests {
    use report::Seed;

    use super::*;

    fn new_payload(seed: u128, connection: u32) -> Payload {
        Payload::new(Arc::new(Key::from_seed(Seed::new(seed))), connection)
    }

    fn kind(tail: &[u8], position: u64, sent: u64) -> FailureKind {
        new_payload(7, 3).classify(position, tail, sent).kind
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let payload = new_payload(1, 2);
        let whole = payload.bytes(0, 1000);
        for cut in [1, 7, 16, 17, 999] {
            let mut parts = payload.bytes(0, cut);
            parts.extend(payload.bytes(cut as u64, 1000 - cut));
            assert_eq!(parts, whole);
        }
        assert_eq!(payload.count_matching(0, &whole), 1000);
        assert_ne!(new_payload(2, 2).bytes(0, 64), whole[..64]);
    }

    #[test]
    fn nothing_in_a_stream_repeats_or_is_shared() {
        let records = |payload: Payload| {
            let bytes = payload.bytes(0, 4096);
            bytes.chunks(8).map(<[u8]>::to_vec).collect::<std::collections::BTreeSet<_>>()
        };
        let own = records(new_payload(7, 3));
        assert_eq!(own.len(), 512);
        for other in [new_payload(7, 4), new_payload(8, 3), new_payload(7 | 1 << 127, 3)] {
            assert!(own.is_disjoint(&records(other)));
        }
    }

    #[test]
    fn a_content_repeats_and_its_wrong_bytes_have_names() {
        let mut payload = new_payload(1, 2);
        payload.use_content(b"0123456789"[..].into());
        assert_eq!(payload.bytes(8, 15), b"890123456789012");
        assert_eq!(payload.count_matching(3, b"34567x"), 5);
        assert_eq!(payload.classify(8, b"x", 100).kind, FailureKind::Altered);
        assert_eq!(payload.classify(8, b"1234567", 100).kind, FailureKind::Lost);
        let mut changed = payload.bytes(8, 64);
        changed[0] ^= 1;
        assert_eq!(payload.classify(8, &changed, 100).kind, FailureKind::Altered);
        let put_in = [b"--", &payload.bytes(8, 64)[..]].concat();
        assert_eq!(payload.classify(8, &put_in, 100).kind, FailureKind::Extra);
        assert_eq!(payload.classify(100, b"x", 100).kind, FailureKind::Extra);
    }

    #[test]
    fn stamps_tell_the_bytes_of_a_cell_from_those_of_others() {
        let own = new_payload(7, 3);
        assert!(own.is_of_this_cell(&new_payload(7, 9).bytes(24, 64)), "another connection's");
        assert!(!own.is_of_this_cell(&new_payload(8, 3).bytes(0, 64)), "another cell's");
        assert!(!own.is_of_this_cell(b"short"), "no whole stamp");
    }

    #[test]
    fn a_wrong_byte_gets_its_name() {
        let own = new_payload(7, 3);
        assert_eq!(kind(&own.bytes(500, 64), 400, 1000), FailureKind::Lost);
        let swapped = [own.bytes(432, 32), own.bytes(400, 32)].concat();
        assert_eq!(kind(&swapped, 400, 1000), FailureKind::Reordered);
        assert_eq!(kind(&own.bytes(336, 64), 400, 400), FailureKind::Duplicated);
        assert_eq!(kind(&own.bytes(100, 64), 400, 400), FailureKind::Stale);
        assert_eq!(kind(&new_payload(7, 9).bytes(0, 64), 400, 1000), FailureKind::Foreign);
        assert_eq!(kind(b"!", 400, 400), FailureKind::Extra);
        assert_eq!(kind(b"welcome to the echo server", 0, 0), FailureKind::Extra);
        let put_in = [&b"!"[..], &own.bytes(400, 64)[..]].concat();
        assert_eq!(kind(&put_in, 400, 400), FailureKind::Extra);
        assert_eq!(kind(&own.bytes(401, 64), 400, 1000), FailureKind::Lost);
        let mut flipped = own.bytes(400, 64);
        flipped[0] ^= 1;
        assert_eq!(kind(&flipped, 400, 1000), FailureKind::Altered);
    }
}
