//! The key of a cell: all payload derives from the key, and no payload reveals the key.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use report::Seed;

/// Bytes that are enciphered at once.
pub(crate) const BLOCK_BYTES: usize = 16;

/// A secret permutation of 128-bit numbers. Whoever has seen it applied to any number of them still
/// cannot say what becomes of another, so that no part of a stream gives away the rest.
#[derive(Clone)]
pub struct Key(Aes128);

impl Key {
    /// The key that a seed is.
    #[must_use]
    pub fn of(seed: Seed) -> Self {
        Self(Aes128::new(&Array(seed.bits().to_le_bytes())))
    }

    /// The key of a part of what has this seed: the same part gets the same bytes again.
    #[must_use]
    pub fn of_part(seed: Seed, name: &str) -> Self {
        // FNV-1a, so that it stays the same from one release of this program to the next.
        let hash =
            name.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
                (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            });
        Self::of(Seed::new(Self::of(seed).encipher(hash)))
    }

    /// What becomes of a number.
    #[must_use]
    pub fn encipher(&self, number: u128) -> u128 {
        let mut block = Array(number.to_le_bytes());
        self.0.encrypt_block(&mut block);
        u128::from_le_bytes(block.0)
    }

    /// Of what number this has become.
    #[must_use]
    pub fn decipher(&self, number: u128) -> u128 {
        let mut block = Array(number.to_le_bytes());
        self.0.decrypt_block(&mut block);
        u128::from_le_bytes(block.0)
    }

    /// Enciphers whole blocks in place, which is many times as fast as one after the other.
    pub fn encipher_all(&self, bytes: &mut [u8]) {
        let (blocks, rest) = Array::slice_as_chunks_mut(bytes);
        debug_assert!(rest.is_empty(), "a part of a block is left as it is");
        self.0.encrypt_blocks(blocks);
    }

    /// A random source for `purpose`. What is drawn from it may be seen: it says nothing of the
    /// key.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        // No stamp has this tag: see `Payload`.
        let number = self.encipher(u128::MAX << 64 | u128::from(purpose));
        fastrand::Rng::with_seed((number & u128::from(u64::MAX)) as u64)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}
