//! Seeds, from which everything random in a check or a measurement derives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 128 bits: more than anybody can guess or try. Written as hexadecimal digits, because a JSON
/// number holds only 53 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Seed(u128);

/// Where the seed of a check comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedSource {
    /// The system's random source: nobody outside the judge's process knew the seed before the end.
    #[default]
    Random,
    /// A command line or an environment, where the server could have read the seed.
    Given,
}

/// The error for a text that is no seed. Its sentence says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedError;

impl Seed {
    #[must_use]
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// A different seed for each number, for repetitions.
    #[must_use]
    pub const fn with_offset(self, number: u32) -> Self {
        Self(self.0.wrapping_add(number as u128))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({self})")
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        // The parser of numbers would accept a sign.
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parsed = u128::from_str_radix(text, 16).ok().filter(|_| is_hex && text.len() <= 32);
        parsed.map(Self).ok_or(SeedError)
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

impl TryFrom<String> for Seed {
    type Error = SeedError;

    fn try_from(text: String) -> Result<Self, SeedError> {
        text.parse()
    }
}

impl std::error::Error for SeedError {}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write 1 to 32 hexadecimal digits, such as 42 or c0ffee")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for bits in [0, 1, 0x42, u128::MAX, u128::MAX / 3] {
            let seed = Seed::new(bits);
            assert_eq!(seed.to_string().len(), 32);
            assert_eq!(seed.to_string().parse(), Ok(seed));
        }
        assert_eq!("42".parse(), Ok(Seed::new(0x42)));
    }

    #[test]
    fn what_is_no_seed_is_refused() {
        for text in ["", "+1", "-1", "0x1", "seed", " 1", &"1".repeat(33)] {
            assert_eq!(text.parse::<Seed>(), Err(SeedError), "{text}");
        }
    }
}
