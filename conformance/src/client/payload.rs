//! Stamped payload: every byte of a connection's stream is known from (seed, connection, position).
//!
//! The stream is a row of 16-byte records, each the scrambled pair (connection number, counter).
//! A record found anywhere says whose it is and where it belongs, so that a wrong byte can be
//! called lost, duplicated, reordered, stale, foreign, extra or altered.

use report::FailureKind;

/// Bytes in one record.
pub const RECORD_BYTES: usize = 16;

/// How far back a few old bytes are looked for.
const HISTORY_BYTES: u64 = 256 * 1024;

/// The stream of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    tag: u32,
    connection: u32,
}

/// What a wrong byte turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Lost, duplicated, reordered, stale, foreign, extra or altered.
    pub kind: FailureKind,
    /// What was found in its place, for a reader.
    pub found: String,
}

impl Payload {
    /// The stream that connection `connection` sends in a cell with this seed.
    #[must_use]
    pub fn new(seed: u64, connection: u32) -> Self {
        // Folded so that both halves of the seed count; zero would let zeroed memory decode.
        let folded = u32::try_from((seed ^ (seed >> 32)) & 0xffff_ffff).unwrap_or(0);
        Self { tag: folded ^ 0x5bd1_e995, connection }
    }

    /// Writes the bytes at `position..position + out.len()` of the stream.
    pub fn fill(&self, position: u64, out: &mut [u8]) {
        let record_bytes = RECORD_BYTES as u64;
        let mut counter = position / record_bytes;
        let mut skip = usize::try_from(position % record_bytes).unwrap_or(0);
        let mut rest = out;
        while !rest.is_empty() {
            let record = self.record(counter);
            let n = (RECORD_BYTES - skip).min(rest.len());
            rest[..n].copy_from_slice(&record[skip..skip + n]);
            rest = &mut rest[n..];
            counter += 1;
            skip = 0;
        }
    }

    /// Bytes `position..position + length` of the stream.
    #[must_use]
    pub fn bytes(&self, position: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(position, &mut bytes);
        bytes
    }

    /// How many leading bytes of `got` are those at `position` of the stream.
    #[must_use]
    pub fn matching(&self, position: u64, got: &[u8]) -> usize {
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

    /// Says what `tail` is, the bytes that came at `position` of this connection, the first of
    /// which is wrong, when `sent` bytes had been sent.
    #[must_use]
    pub fn classify(&self, position: u64, tail: &[u8], sent: u64) -> Mismatch {
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
                std::cmp::Ordering::Greater => self.ahead(position, &tail[shift..], belongs),
                std::cmp::Ordering::Less => self.behind(position, tail, shift, belongs, sent),
            };
        }
        self.short(position, tail, sent)
    }

    /// Bytes that belong further on: what stands between was lost, unless it comes later.
    fn ahead(&self, position: u64, tail: &[u8], belongs: u64) -> Mismatch {
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

    /// Bytes that had come before: a repeat of the run just before, or left over from long ago.
    fn behind(
        &self,
        position: u64,
        tail: &[u8],
        shift: usize,
        belongs: u64,
        sent: u64,
    ) -> Mismatch {
        // The stream may simply go on behind something that was put in.
        let surplus = usize::try_from(position + shift as u64 - belongs).unwrap_or(tail.len());
        if let Some(rest) = tail.get(surplus..)
            && self.matching(position, rest) >= RECORD_BYTES.min(rest.len()).max(1)
        {
            return self.short(position, &tail[..surplus], sent.min(position));
        }
        // The old run may begin in the middle of a record.
        let start = belongs.saturating_sub(shift as u64);
        let lead = usize::try_from(belongs - start).unwrap_or(0);
        let run = &tail[shift - lead..];
        let length = self.matching(start, run) as u64;
        let text = format!("{length} bytes from {start} once more");
        // A run may repeat more than what stood just before, in pieces: what counts is that it
        // reaches up to where the stream had got.
        let is_repeat = start + length >= position;
        let kind = if is_repeat { FailureKind::Duplicated } else { FailureKind::Stale };
        Mismatch { kind, found: text }
    }

    /// Too few bytes for a whole record.
    fn short(&self, position: u64, tail: &[u8], sent: u64) -> Mismatch {
        let length = tail.len() as u64;
        if let Some(start) = self.find_behind(position, tail) {
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

    /// Where the stream before `position` has these bytes; too few of them prove nothing.
    fn find_behind(&self, position: u64, bytes: &[u8]) -> Option<u64> {
        let start = position.saturating_sub(HISTORY_BYTES);
        let history = self.bytes(start, usize::try_from(position - start).ok()?);
        let found = history.windows(bytes.len().max(1)).rposition(|window| window == bytes)?;
        (bytes.len() >= 4).then_some(start + found as u64)
    }

    fn record(&self, counter: u64) -> [u8; RECORD_BYTES] {
        let stamp =
            u128::from(self.tag) << 96 | u128::from(self.connection) << 64 | u128::from(counter);
        scramble(stamp).to_le_bytes()
    }

    /// The (connection, counter) of a whole record of this cell.
    fn decode(&self, bytes: &[u8]) -> Option<(u32, u64)> {
        let stamp = unscramble(u128::from_le_bytes(bytes.try_into().ok()?));
        let tag = u32::try_from(stamp >> 96).ok()?;
        let connection = u32::try_from((stamp >> 64) & 0xffff_ffff).ok()?;
        let counter = u64::try_from(stamp & u128::from(u64::MAX)).ok()?;
        (tag == self.tag).then_some((connection, counter))
    }
}

/// The first bytes of something unexpected, for a reader.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
    let more = if bytes.len() > 16 { " ..." } else { "" };
    format!("{}{more}", shown.join(" "))
}

// An invertible mix (odd multipliers, xor-shifts by half the width), so that neighbouring stamps
// share no bytes and a stray byte is not right by accident.
const MULTIPLIERS: [u128; 2] =
    [0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835, 0xd1b5_4a32_d192_ed03_a3b1_9535_4a39_b70d];
const INVERSES: [u128; 2] = [inverse(MULTIPLIERS[0]), inverse(MULTIPLIERS[1])];

fn scramble(mut x: u128) -> u128 {
    x ^= x >> 64;
    x = x.wrapping_mul(MULTIPLIERS[0]);
    x ^= x >> 64;
    x = x.wrapping_mul(MULTIPLIERS[1]);
    x ^ (x >> 64)
}

fn unscramble(mut x: u128) -> u128 {
    x ^= x >> 64;
    x = x.wrapping_mul(INVERSES[1]);
    x ^= x >> 64;
    x = x.wrapping_mul(INVERSES[0]);
    x ^ (x >> 64)
}

/// The inverse of an odd number modulo 2^128, by Newton's iteration (each step doubles the bits).
const fn inverse(odd: u128) -> u128 {
    let mut x = odd;
    let mut step = 0;
    while step < 7 {
        x = x.wrapping_mul(2u128.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(tail: &[u8], position: u64, sent: u64) -> FailureKind {
        Payload::new(7, 3).classify(position, tail, sent).kind
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let payload = Payload::new(1, 2);
        let whole = payload.bytes(0, 1000);
        for cut in [1, 7, 16, 17, 999] {
            let mut parts = payload.bytes(0, cut);
            parts.extend(payload.bytes(cut as u64, 1000 - cut));
            assert_eq!(parts, whole);
        }
        assert_eq!(payload.matching(0, &whole), 1000);
        assert_ne!(Payload::new(2, 2).bytes(0, 64), whole[..64]);
    }

    #[test]
    fn a_wrong_byte_gets_its_name() {
        let own = Payload::new(7, 3);
        assert_eq!(kind(&own.bytes(500, 64), 400, 1000), FailureKind::Lost);
        let swapped = [own.bytes(432, 32), own.bytes(400, 32)].concat();
        assert_eq!(kind(&swapped, 400, 1000), FailureKind::Reordered);
        assert_eq!(kind(&own.bytes(336, 64), 400, 400), FailureKind::Duplicated);
        assert_eq!(kind(&own.bytes(100, 64), 400, 400), FailureKind::Stale);
        assert_eq!(kind(&Payload::new(7, 9).bytes(0, 64), 400, 1000), FailureKind::Foreign);
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
