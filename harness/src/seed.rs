//! Seeds, from which follows all that is random in a check or a measurement.

use std::fmt;

/// A text that is no seed. The sentence says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedError;

/// A seed for who was given none.
#[must_use]
pub fn random() -> u64 {
    // Short enough to be typed.
    fastrand::u64(1..1_000_000)
}

/// Reads a seed as a result or an error shows it.
///
/// # Errors
/// [`SeedError`].
pub fn parse(text: &str) -> Result<u64, SeedError> {
    text.parse().map_err(|_| SeedError)
}

impl std::error::Error for SeedError {}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a number, such as 42")
    }
}
