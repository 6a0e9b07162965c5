//! The host factor: how much slower this host is now than when it is idle. The judge multiplies
//! time limits by it, and does not judge timing on a host that is too busy.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Above this factor, nothing that depends on time can be judged.
pub const MAX_HOST_FACTOR: f64 = 4.0;

/// Pieces of work per measurement.
const PIECES: usize = 24;
/// Iterations per piece. A piece takes a fraction of a millisecond, less than a scheduler's time
/// slice.
const ITERATIONS: u64 = 40_000;

/// How much slower this host is now than at its fastest; 1 when idle. It may exceed
/// [`MAX_HOST_FACTOR`].
#[must_use]
pub fn host_factor() -> f64 {
    let pieces: Vec<Duration> = (0..PIECES).map(|_| piece()).collect();
    let fastest = fastest_piece().min(pieces.iter().min().copied().unwrap_or(Duration::MAX));
    let total: Duration = pieces.iter().sum();
    let ideal = fastest.mul_f64(PIECES as f64);
    (total.as_secs_f64() / ideal.as_secs_f64()).max(1.0)
}

/// Waits at most 30 s until the factor is at most [`MAX_HOST_FACTOR`], and returns the last factor.
/// A compiler or a browser that starts keeps a host busy for a while, not for ever.
#[must_use]
pub fn calm_host_factor() -> f64 {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(500);
    let start = Instant::now();
    loop {
        let factor = host_factor();
        if factor <= MAX_HOST_FACTOR || start.elapsed() >= PATIENCE {
            return factor;
        }
        thread::sleep(PAUSE);
    }
}

/// The fastest of 200 pieces, measured once. Even a busy scheduler leaves one undisturbed.
fn fastest_piece() -> Duration {
    static FASTEST: OnceLock<Duration> = OnceLock::new();
    *FASTEST.get_or_init(|| (0..200).map(|_| piece()).min().unwrap_or(Duration::MAX))
}

fn piece() -> Duration {
    // Yields first, as a server that waits for the network does.
    thread::yield_now();
    let start = Instant::now();
    let mut x = 1u64;
    for i in 0..ITERATIONS {
        x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i));
    }
    std::hint::black_box(x);
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_never_faster_than_idle() {
        assert!(host_factor() >= 1.0);
    }
}
