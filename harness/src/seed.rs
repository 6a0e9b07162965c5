//! Seeds, from which follows all that is random in a check or a measurement.

/// A seed for who was given none.
#[must_use]
pub fn random() -> u64 {
    // Short enough to be typed.
    fastrand::u64(1..1_000_000)
}
