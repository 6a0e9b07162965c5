//! The key of a cell. All payload derives from it, and no payload reveals it.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use report::Seed;

/// The size of one cipher block.
pub(crate) const BLOCK_BYTES: usize = 16;

/// A secret permutation of 128-bit numbers. Knowing the results for any set of numbers does not
/// help to predict the result for another number, so no part of a stream reveals the rest.
#[derive(Clone)]
pub struct Key(Aes128);

impl Key {
    #[must_use]
    pub fn from_seed(seed: Seed) -> Self {
        Self(Aes128::new(&Array(seed.bits().to_le_bytes())))
    }

    /// The key of a named part of a check. The same seed and name always give the same bytes.
    #[must_use]
    pub fn for_part(seed: Seed, name: &str) -> Self {
        // FNV-1a, because the hash must be the same in every release of this program.
        let hash =
            name.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
                (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            });
        Self::from_seed(Seed::new(Self::from_seed(seed).encipher(hash)))
    }

    #[must_use]
    pub fn encipher(&self, number: u128) -> u128 {
        let mut block = Array(number.to_le_bytes());
        self.0.encrypt_block(&mut block);
        u128::from_le_bytes(block.0)
    }

    /// The inverse of [`Key::encipher`].
    #[must_use]
    pub fn decipher(&self, number: u128) -> u128 {
        let mut block = Array(number.to_le_bytes());
        self.0.decrypt_block(&mut block);
        u128::from_le_bytes(block.0)
    }

    /// Enciphers whole blocks in place, many times as fast as one block after the other.
    pub fn encipher_all(&self, bytes: &mut [u8]) {
        let (blocks, rest) = Array::slice_as_chunks_mut(bytes);
        debug_assert!(rest.is_empty(), "a part of a block is left as it is");
        self.0.encrypt_blocks(blocks);
    }

    /// A random source for `purpose`. A server may see what is drawn from it: that does not reveal
    /// the key.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        // The tag of a stamp differs from these upper bits (see `Payload`), so this number is never
        // a stamp.
        let number = self.encipher(u128::MAX << 64 | u128::from(purpose));
        fastrand::Rng::with_seed((number & u128::from(u64::MAX)) as u64)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}
