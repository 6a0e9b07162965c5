//! What is in a message, so that every byte that comes back can be compared without keeping what
//! was sent: 16 bytes that say whose message it is and which, then a piece of a random block that
//! begins somewhere else for each message.

use std::fmt;

/// Bytes of the stamp at the start of a message; a shorter message has its first bytes.
pub const STAMP_BYTES: usize = 16;

/// Places in the block at which the rest of a message can begin; a power of two.
const SHIFTS: usize = 4096;
/// The half of a stamp's first word that does not say whose it is, but which load's, so that bytes
/// of another are hardly ever taken for one.
const LOW: u64 = 0xffff_ffff;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const ODD_INVERSE: u64 = inverse(ODD);

/// The messages of all connections of a load.
#[derive(Clone, Debug)]
pub struct Payload {
    key: u64,
    block: Vec<u8>,
    sizes: Vec<u32>,
}

/// A message: whose it is, and which of the connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number of the connection in its load.
    pub connection: u32,
    /// Number of the message on its connection, from 0.
    pub counter: u64,
}

impl Payload {
    /// Messages of these lengths in turn, made from a seed.
    #[must_use]
    pub fn new(seed: u64, sizes: &[u32]) -> Self {
        let longest = sizes.iter().copied().max().unwrap_or(0) as usize;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut block = vec![0; SHIFTS + longest];
        random.fill(&mut block);
        Self { key: random.u64(..), block, sizes: sizes.to_vec() }
    }

    /// Bytes of a message.
    #[must_use]
    pub fn length(&self, message: Message) -> usize {
        if let [only] = self.sizes.as_slice() {
            return *only as usize;
        }
        let turn = message.counter.wrapping_add(u64::from(message.connection));
        self.sizes[(turn % self.sizes.len() as u64) as usize] as usize
    }

    /// Writes the bytes of a message from `offset` on, as many as `out` has room for.
    pub fn fill(&self, message: Message, offset: usize, out: &mut [u8]) {
        let (stamp, rest) = self.parts(message);
        let in_stamp = STAMP_BYTES.saturating_sub(offset).min(out.len());
        if in_stamp > 0 {
            out[..in_stamp].copy_from_slice(&stamp[offset..offset + in_stamp]);
        }
        let from = offset + in_stamp;
        let out = &mut out[in_stamp..];
        out.copy_from_slice(&rest[from..from + out.len()]);
    }

    /// Whether `got` is what stands at `offset` of a message, up to its end at the most.
    ///
    /// # Errors
    /// Index of the first byte that is another.
    pub fn check(&self, message: Message, offset: usize, got: &[u8]) -> Result<(), usize> {
        let (stamp, rest) = self.parts(message);
        let in_stamp = STAMP_BYTES.saturating_sub(offset).min(got.len());
        let from = offset + in_stamp;
        let (head, tail) = got.split_at(in_stamp);
        let is_right = (head.is_empty() || head == &stamp[offset..from])
            && tail == &rest[from..from + tail.len()];
        if is_right {
            return Ok(());
        }
        let mut expected = vec![0; got.len()];
        self.fill(message, offset, &mut expected);
        Err(got.iter().zip(&expected).take_while(|(got, expected)| got == expected).count())
    }

    /// Whose message begins with these bytes, if they are a stamp of this load.
    #[must_use]
    pub fn decode(&self, bytes: &[u8]) -> Option<Message> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let second = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        let identity = u64::from_le_bytes(*first) ^ second.rotate_left(23);
        let counter = (second ^ self.key).wrapping_mul(ODD_INVERSE);
        let connection = (identity >> 32) as u32;
        (identity & LOW == self.key & LOW).then_some(Message { connection, counter })
    }

    /// The stamp, and what a message would be without one.
    fn parts(&self, message: Message) -> ([u8; STAMP_BYTES], &[u8]) {
        let second = message.counter.wrapping_mul(ODD) ^ self.key;
        let identity = u64::from(message.connection) << 32 | (self.key & LOW);
        let first = identity ^ second.rotate_left(23);
        let mut stamp = [0; STAMP_BYTES];
        stamp[..8].copy_from_slice(&first.to_le_bytes());
        stamp[8..].copy_from_slice(&second.to_le_bytes());
        let shift = ((first ^ second) >> 20) as usize % SHIFTS;
        (stamp, &self.block[shift..])
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of connection {}", self.counter, self.connection)
    }
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Message = Message { connection: 7, counter: 1_000_003 };

    fn bytes(payload: &Payload, message: Message) -> Vec<u8> {
        let mut bytes = vec![0; payload.length(message)];
        payload.fill(message, 0, &mut bytes);
        bytes
    }

    #[test]
    fn a_message_is_the_same_in_pieces_and_as_a_whole() {
        let payload = Payload::new(1, &[100]);
        let whole = bytes(&payload, MESSAGE);
        for cut in 0..whole.len() {
            let mut pieces = vec![0; whole.len()];
            let (head, tail) = pieces.split_at_mut(cut);
            payload.fill(MESSAGE, 0, head);
            payload.fill(MESSAGE, cut, tail);
            assert_eq!(pieces, whole);
            assert_eq!(payload.check(MESSAGE, 0, &whole[..cut]), Ok(()));
            assert_eq!(payload.check(MESSAGE, cut, &whole[cut..]), Ok(()));
        }
    }

    #[test]
    fn any_byte_that_is_another_is_found() {
        let payload = Payload::new(2, &[100]);
        for at in 0..100 {
            let mut wrong = bytes(&payload, MESSAGE);
            wrong[at] ^= 1;
            assert_eq!(payload.check(MESSAGE, 0, &wrong), Err(at));
        }
    }

    #[test]
    fn a_stamp_says_whose_message_it_is() {
        let payload = Payload::new(3, &[64]);
        for counter in [0, 1, 255, u64::from(u32::MAX) + 1] {
            let message = Message { counter, ..MESSAGE };
            assert_eq!(payload.decode(&bytes(&payload, message)), Some(message));
        }
        assert_eq!(Payload::new(4, &[64]).decode(&bytes(&payload, MESSAGE)), None);
        assert_eq!(payload.decode(&[0; 15]), None);
    }

    #[test]
    fn neighbours_differ_in_the_stamp_and_behind_it() {
        let payload = Payload::new(5, &[64]);
        let one = bytes(&payload, MESSAGE);
        let other = bytes(&payload, Message { counter: MESSAGE.counter + 1, ..MESSAGE });
        assert_ne!(one[..STAMP_BYTES], other[..STAMP_BYTES]);
        assert_ne!(one[STAMP_BYTES..], other[STAMP_BYTES..]);
    }

    #[test]
    fn lengths_take_turns() {
        let payload = Payload::new(6, &[1, 20]);
        let lengths: Vec<usize> =
            (0..4).map(|counter| payload.length(Message { connection: 1, counter })).collect();
        assert_eq!(lengths, [20, 1, 20, 1]);
        assert_eq!(bytes(&payload, Message { connection: 1, counter: 1 }).len(), 1);
    }
}
