//! Message lengths at the limits of common buffers and length fields.

use fastrand::Rng;

/// The payload of common pages and segments. The multiples of each, up to `MULTIPLES`, are lengths.
const UNITS: [u64; 4] = [1448, 1460, 4096, 65_483];
const MULTIPLES: u64 = 16;
/// The first digits of round decimal numbers.
const ROUND_DIGITS: [u64; 13] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90];
/// How many lengths are random.
const RANDOM_COUNT: usize = 100;

/// Lengths up to `limit`, each once and in ascending order: powers of two and three times powers of
/// two; round decimal numbers, such as 1500, 70,000 and 1,000,000; multiples of pages and segments;
/// the neighbours of each of these; and random lengths, equally many in each octave.
#[must_use]
pub fn landmarks(limit: u64, random: &mut Rng) -> Vec<u64> {
    let powers = (0..62).map(|power| 1 << power);
    let powers = powers.flat_map(|power: u64| [power, power.saturating_mul(3)]);
    let units = UNITS.into_iter().flat_map(|unit| (1..=MULTIPLES).map(move |times| unit * times));
    let tens = (0..15).map(|power| 10_u64.pow(power));
    let round = tens.flat_map(|ten| ROUND_DIGITS.map(|round| round * ten));
    let middles = powers.chain(units).chain(round);
    let around = middles.flat_map(|middle| [middle - 1, middle, middle + 1]);
    let octaves = f64::from(u32::try_from(limit.max(2)).unwrap_or(u32::MAX)).log2();
    let drawn: Vec<u64> =
        (0..RANDOM_COUNT).map(|_| (random.f64() * octaves).exp2() as u64).collect();
    let mut lengths: Vec<u64> = around.chain(drawn).collect();
    lengths.retain(|length| (1..=limit).contains(length));
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks_are_those_that_were_found_by_luck_before() {
        let lengths = landmarks(2_000_000, &mut Rng::with_seed(1));
        for length in [1, 127, 12_287, 12_288, 12_289, 1500, 10_000, 70_001, 1_000_000, 1 << 20] {
            assert!(lengths.contains(&length), "{length}");
        }
        assert!(lengths.is_sorted() && lengths.len() < 700, "{}", lengths.len());
        assert_eq!(landmarks(1, &mut Rng::with_seed(1)), [1]);
    }
}
