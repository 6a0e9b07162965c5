//! The seed of a check or a measurement: the user's, or a random one.

use std::hash::{BuildHasher as _, RandomState};

use report::{Seed, SeedSource};

/// A seed from the system's source of random numbers. std takes its 128-bit hash keys from it.
#[must_use]
pub fn random() -> Seed {
    let keys = RandomState::new();
    let [high, low] = ["high", "low"].map(|half| u128::from(keys.hash_one(half)));
    Seed::new(high << 64 | low)
}

/// The user's seed, or else a random one, and which of the two it is. The difference matters
/// because every process of the user, and so the server, can read a command line and an environment
/// through procfs.
#[must_use]
pub fn given_or_random(given: Option<Seed>) -> (Seed, SeedSource) {
    given.map_or_else(|| (random(), SeedSource::Random), |seed| (seed, SeedSource::Given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_in_both_halves() {
        let (one, other) = (random().bits(), random().bits());
        assert_ne!(one >> 64, other >> 64);
        assert_ne!(one & u128::from(u64::MAX), other & u128::from(u64::MAX));
    }
}
