//! What messages contain. The contents can be computed again, so every byte that comes back is
//! compared without keeping what was sent. A message is a stamp of 16 bytes, which names the
//! connection and the message, and then pieces of a random block. Each message, and each 4 KiB of
//! it, begins at another place in the block.
//!
//! The stamp is encrypted, so a server cannot compute the next one, nor answer a message that it
//! has not received. The places are only mixed with a secret, which is cheaper. A server that has
//! learnt the block can compute the rest of a piece from its first bytes, which helps it no more
//! than reading the rest.

use std::fmt;
use std::ops::Range;

use aes::cipher::{Array, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128, Block};
use report::Seed;

/// Length of the stamp at the start of a message. A shorter message is the start of its stamp.
pub const STAMP_BYTES: usize = 16;

const PIECE_BYTES: usize = 4096;
/// Number of places in the block at which a piece can begin; a power of two.
const SHIFTS: usize = 4096;
/// Marks the plain text of a stamp. It has 32 bits, so that the bytes of another load are
/// almost never taken for a stamp.
const STAMP: u32 = 0;
/// Marks the plain text of the block, and of the secret for the places.
const BLOCK: u32 = u32::MAX;
/// An odd number without a pattern.
const ODD_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes and checks the messages of all connections of a load.
#[derive(Clone, Debug)]
pub struct Payload {
    key: Aes128,
    /// Mixed into the places at which pieces begin.
    secret: u64,
    block: Vec<u8>,
    sizes: Vec<u32>,
}

/// Identifies a message in its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number of the connection in its load.
    pub connection: u32,
    /// Number of the message on its connection, from 0.
    pub counter: u64,
}

impl Payload {
    /// The lengths of a connection's messages rotate through `sizes`.
    #[must_use]
    pub fn new(seed: Seed, sizes: &[u32]) -> Self {
        let key = Aes128::new(&Array(seed.bits().to_le_bytes()));
        let mut block = vec![0; SHIFTS + PIECE_BYTES];
        let (records, _) = Array::slice_as_chunks_mut(&mut block);
        for (number, record) in records.iter_mut().enumerate() {
            *record = plain_text(BLOCK, Message { connection: 0, counter: number as u64 });
        }
        key.encrypt_blocks(records);
        let mut secret = plain_text(BLOCK, Message { connection: 1, counter: 0 });
        key.encrypt_block(&mut secret);
        let secret = u128::from_le_bytes(secret.0) as u64;
        Self { key, secret, block, sizes: sizes.to_vec() }
    }

    /// Length of a message in bytes.
    #[must_use]
    pub fn length(&self, message: Message) -> usize {
        if let [only] = self.sizes.as_slice() {
            return *only as usize;
        }
        let turn = message.counter.wrapping_add(u64::from(message.connection));
        self.sizes[(turn % self.sizes.len() as u64) as usize] as usize
    }

    /// Fills `out` with the bytes of a message that begin at `offset`.
    pub fn fill(&self, message: Message, offset: usize, out: &mut [u8]) {
        self.for_each_piece(message, offset, out.len(), |range, bytes| {
            out[range].copy_from_slice(bytes)
        });
    }

    /// Checks that `got` equals the bytes at `offset` of a message. `got` must not reach beyond the
    /// message's end.
    ///
    /// # Errors
    /// Index in `got` of the first wrong byte.
    pub fn check(&self, message: Message, offset: usize, got: &[u8]) -> Result<(), usize> {
        let mut is_right = true;
        self.for_each_piece(message, offset, got.len(), |range, bytes| {
            is_right &= got[range] == *bytes
        });
        if is_right {
            return Ok(());
        }
        let mut expected = vec![0; got.len()];
        self.fill(message, offset, &mut expected);
        Err(got.iter().zip(&expected).take_while(|(got, expected)| got == expected).count())
    }

    /// Returns the message that begins with these bytes, if they begin with a stamp of this load.
    #[must_use]
    pub fn decode(&self, bytes: &[u8]) -> Option<Message> {
        let mut block = Array(*bytes.first_chunk::<STAMP_BYTES>()?);
        self.key.decrypt_block(&mut block);
        let number = u128::from_le_bytes(block.0);
        let message = Message { connection: (number >> 64) as u32, counter: number as u64 };
        (block == plain_text(STAMP, message)).then_some(message)
    }

    /// Calls `piece` with the `length` bytes at `offset` of a message, one piece at a time, and
    /// with the range of each piece among them.
    #[inline]
    fn for_each_piece(
        &self,
        message: Message,
        offset: usize,
        length: usize,
        mut piece: impl FnMut(Range<usize>, &[u8]),
    ) {
        let mut at = 0;
        if offset < STAMP_BYTES {
            let mut stamp = plain_text(STAMP, message);
            self.key.encrypt_block(&mut stamp);
            at = (STAMP_BYTES - offset).min(length);
            piece(0..at, &stamp[offset..offset + at]);
        }
        while at < length {
            let rest = offset + at - STAMP_BYTES;
            let within = rest % PIECE_BYTES;
            let shift = self.shift(message, (rest / PIECE_BYTES) as u64);
            let end = length.min(at + PIECE_BYTES - within);
            let from = shift + within;
            piece(at..end, &self.block[from..from + end - at]);
            at = end;
        }
    }

    /// Where in the block a piece of a message begins.
    #[inline]
    fn shift(&self, message: Message, piece: u64) -> usize {
        let number = message.counter.wrapping_add(piece.wrapping_mul(ODD_FACTOR));
        let number = number ^ u64::from(message.connection) << 32 ^ self.secret;
        let mixed = number.wrapping_mul(ODD_FACTOR);
        let mixed = (mixed ^ mixed >> 32 ^ self.secret).wrapping_mul(ODD_FACTOR);
        (mixed >> 40) as usize % SHIFTS
    }
}

/// The plain text of a stamp, or of 16 bytes of the block.
fn plain_text(what: u32, message: Message) -> Block {
    let Message { connection, counter } = message;
    let number = u128::from(what) << 96 | u128::from(connection) << 64 | u128::from(counter);
    Array(number.to_le_bytes())
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of connection {}", self.counter, self.connection)
    }
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
        let payload = Payload::new(Seed::new(1), &[100]);
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
        let payload = Payload::new(Seed::new(2), &[100]);
        for at in 0..100 {
            let mut wrong = bytes(&payload, MESSAGE);
            wrong[at] ^= 1;
            assert_eq!(payload.check(MESSAGE, 0, &wrong), Err(at));
        }
    }

    #[test]
    fn a_stamp_says_whose_message_it_is() {
        let payload = Payload::new(Seed::new(3), &[64]);
        for counter in [0, 1, 255, u64::from(u32::MAX) + 1] {
            let message = Message { counter, ..MESSAGE };
            assert_eq!(payload.decode(&bytes(&payload, message)), Some(message));
        }
        assert_eq!(Payload::new(Seed::new(4), &[64]).decode(&bytes(&payload, MESSAGE)), None);
        assert_eq!(payload.decode(&[0; 15]), None);
    }

    #[test]
    fn neighbours_differ_in_the_stamp_and_behind_it() {
        let payload = Payload::new(Seed::new(5), &[64]);
        let one = bytes(&payload, MESSAGE);
        let other = bytes(&payload, Message { counter: MESSAGE.counter + 1, ..MESSAGE });
        assert_ne!(one[..STAMP_BYTES], other[..STAMP_BYTES]);
        assert_ne!(one[STAMP_BYTES..], other[STAMP_BYTES..]);
    }

    #[test]
    fn pieces_of_long_messages_are_not_alike() {
        const LENGTH: usize = 20 * PIECE_BYTES;
        let payload = Payload::new(Seed::new(7), &[LENGTH as u32]);
        let mut seen = std::collections::BTreeSet::new();
        let messages = [MESSAGE, Message { connection: 8, ..MESSAGE }];
        for message in messages {
            let bytes = bytes(&payload, message);
            seen.extend(bytes[STAMP_BYTES..].chunks_exact(PIECE_BYTES).map(|piece| piece.to_vec()));
            for cut in [1, STAMP_BYTES, 5000, 9 * PIECE_BYTES, LENGTH - 1] {
                assert_eq!(payload.check(message, cut, &bytes[cut..]), Ok(()), "{cut}");
                assert_eq!(payload.check(message, 0, &bytes[..cut]), Ok(()), "{cut}");
            }
        }
        // By chance, two pieces may begin at the same place.
        assert!(seen.len() > 2 * 19 - 4, "{}", seen.len());
    }

    #[test]
    fn lengths_take_turns() {
        let payload = Payload::new(Seed::new(6), &[1, 20]);
        let lengths: Vec<usize> =
            (0..4).map(|counter| payload.length(Message { connection: 1, counter })).collect();
        assert_eq!(lengths, [20, 1, 20, 1]);
        assert_eq!(bytes(&payload, Message { connection: 1, counter: 1 }).len(), 1);
    }
}
