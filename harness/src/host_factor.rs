//! The host factor: how much slower this host is now than when idle. It scales limits of time on a
//! loaded machine, and keeps the judge from timing anything on one that is too busy.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Above this factor nothing that is timed can be judged.
pub const HIGHEST: f64 = 4.0;

/// Pieces of work in one measurement.
const PIECES: usize = 24;
/// Iterations of one piece: a fraction of a millisecond, shorter than a scheduler's time slice.
const ITERATIONS: u64 = 40_000;

/// How much slower than the fastest seen this host is now: 1 when idle. It may be above
/// [`HIGHEST`].
#[must_use]
pub fn host_factor() -> f64 {
    let pieces: Vec<Duration> = (0..PIECES).map(|_| piece()).collect();
    let fastest = fastest_piece().min(pieces.iter().min().copied().unwrap_or(Duration::MAX));
    let total: Duration = pieces.iter().sum();
    let ideal = fastest.mul_f64(PIECES as f64);
    (total.as_secs_f64() / ideal.as_secs_f64()).max(1.0)
}

/// The same once it is at most [`HIGHEST`], or what it still is after half a minute: a compiler
/// or a browser that starts keeps a host busy for a while, not for ever.
#[must_use]
pub fn calm_host_factor() -> f64 {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(500);
    let start = Instant::now();
    loop {
        let factor = host_factor();
        if factor <= HIGHEST || start.elapsed() >= PATIENCE {
            return factor;
        }
        thread::sleep(PAUSE);
    }
}

/// The fastest of many pieces, measured once: even a busy scheduler leaves one undisturbed.
fn fastest_piece() -> Duration {
    static FASTEST: OnceLock<Duration> = OnceLock::new();
    *FASTEST.get_or_init(|| (0..200).map(|_| piece()).min().unwrap_or(Duration::MAX))
}

fn piece() -> Duration {
    // Gives the processor away first, as a server that waits for the network does.
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
