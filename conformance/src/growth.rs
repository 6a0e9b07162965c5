//! How much memory a server keeps per connection or message: the slope of a line through its
//! resident set after many equal rounds, and its total growth. Two rounds cannot tell a leak from a
//! step of the allocator or a garbage collector that runs rarely.

use std::time::Duration;

use harness::process::Process;
use report::{Failure, FailureKind};

use crate::clock::CellClock;

/// A line is split into this many parts, or into fewer if a part would span less than two rounds.
const PARTS: usize = 4;
/// No round starts once memory has grown by this many bytes since the first round. The host has
/// other uses for its memory, and a garbage collector that has not run by then has a larger heap
/// than the server needs here.
const MAX_GROWTH_BYTES: f64 = 384.0 * 1024.0 * 1024.0;
/// No round starts after this time, scaled by the host factor and without held-back time. A server
/// that may leak is then not judged: its garbage collector might have run a little later.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much memory a server may keep for what it has done.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Bytes for each connection or message.
    pub bytes: f64,
    /// What is counted, in the singular: connection, message.
    pub unit: &'static str,
    /// Rounds before the first line is fitted. The first half of them warms the server up.
    pub rounds: usize,
    /// The most connections or messages to try while the result is unclear. A garbage collector
    /// lets memory grow until it runs.
    pub max_count: u64,
}

/// The 95 % confidence interval of the slope of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slope {
    low: f64,
    high: f64,
}

impl Allowance {
    /// Runs `round` until it is clear whether the server keeps more than it may. `round` returns
    /// how many connections or messages it made.
    ///
    /// # Errors
    /// `memory` when the lower end of the 95 % confidence interval is above the allowance;
    /// `harness` when the server could not be judged; or the failure of `round`.
    pub fn judge(
        self,
        process: &Process,
        clock: &CellClock,
        mut round: impl FnMut() -> Result<u64, Failure>,
    ) -> Result<(), Failure> {
        // All judgements of the cell share this time, because the cell has a limit as well.
        let (began, patience) = (clock.growth_start(), clock.scale(PATIENCE));
        let mut readings: Vec<(f64, f64)> = Vec::new();
        let mut reserved: Vec<Option<u64>> = Vec::new();
        let mut done = 0;
        loop {
            done += round()?;
            readings.push((done as f64, process.resident_bytes()? as f64));
            reserved.push(process.reserved_bytes()?);
            if readings.len() < self.rounds {
                continue;
            }
            let shortest = self.rounds.div_ceil(2).max(4);
            let last = |count: usize| &readings[readings.len() - count.max(shortest)..];
            let slope = Slope::fit(last(readings.len() / 3));
            let longer = last(readings.len() * 2 / 3);
            // An allocator asks the system for memory in steps. Between two steps even a leak is
            // flat, so the longer line must not grow either.
            if slope.high <= self.bytes && self.is_within_allowance(longer) {
                return self.judge_slope(slope.low, clock);
            }
            let growth = readings[readings.len() - 1].1 - readings[0].1;
            if done >= self.max_count || growth > MAX_GROWTH_BYTES {
                let least = self.steady_slope(longer);
                if least > self.bytes && self.is_growth_in_reserve(longer, &reserved) {
                    return Err(self.reserve_failure(least));
                }
                return self.judge_slope(least, clock);
            }
            if clock.elapsed_without_held_back(began) > patience {
                return Err(self.unclear_slope_failure(done, slope));
            }
        }
    }

    /// Whether memory grew by at most the allowance from one end of the line to the other.
    fn is_within_allowance(self, line: &[(f64, f64)]) -> bool {
        let (first, last) = (line[0], line[line.len() - 1]);
        last.1 - first.1 <= self.bytes * (last.0 - first.0)
    }

    /// The lower end of the slope's interval; zero if a part of the line grows by at most the
    /// allowance. A single step is not a leak, however large it is. Neither is memory that a
    /// garbage collector has freed again.
    fn steady_slope(self, line: &[(f64, f64)]) -> f64 {
        let last = line.len() - 1;
        let parts = (last / 2).clamp(1, PARTS);
        let is_steady = (0..parts).all(|part| {
            let (from, to) = (line[last * part / parts], line[last * (part + 1) / parts]);
            to.1 - from.1 > self.bytes * (to.0 - from.0)
        });
        if is_steady { Slope::fit(line).low } else { 0.0 }
    }

    /// Whether the server grew only within memory that it had reserved before the line. A garbage
    /// collector with a large heap uses all of the heap before it collects anything.
    fn is_growth_in_reserve(self, line: &[(f64, f64)], reserved: &[Option<u64>]) -> bool {
        let first = reserved[reserved.len() - line.len()];
        let (Some(first), Some(Some(last))) = (first, reserved.last()) else { return false };
        let count = line[line.len() - 1].0 - line[0].0;
        last.saturating_sub(first) as f64 <= self.bytes * count
    }

    fn reserve_failure(self, least: f64) -> Failure {
        let expected = format!("at most {:.0} bytes kept per {}", self.bytes, self.unit);
        let actual = format!(
            "{least:.0} bytes, all within memory that the server had reserved before: a garbage \
             collector may not have run; give it a smaller heap, such as java -Xmx64m"
        );
        Failure::new(FailureKind::Harness, expected, actual)
    }

    fn unclear_slope_failure(self, done: u64, slope: Slope) -> Failure {
        let expected = format!("at most {:.0} bytes kept per {}", self.bytes, self.unit);
        let Slope { low, high } = slope;
        let actual = format!(
            "between {low:.0} and {high:.0} bytes after {done} of at most {} within {PATIENCE:?}",
            self.max_count
        );
        Failure::new(FailureKind::Harness, expected, actual)
    }

    fn judge_slope(self, least: f64, clock: &CellClock) -> Result<(), Failure> {
        let what = format!("bytes kept of each {} (lower end of the 95 % interval)", self.unit);
        clock.judge(FailureKind::Memory, &what, least.max(0.0), self.bytes)
    }
}

impl Slope {
    /// Fits a line by least squares. Needs at least three points.
    fn fit(points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let (x_mean, y_mean) =
            points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (x_mean, y_mean) = (x_mean / count, y_mean / count);
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|(x, y)| of(x - x_mean, y - y_mean)).sum()
        };
        let spread = sum(&|x, _| x * x);
        let slope = sum(&|x, y| x * y) / spread;
        let freedom = points.len() - 2;
        let residuals = sum(&|x, y| (y - slope * x).powi(2));
        let error = (residuals / freedom as f64 / spread).sqrt();
        let margin = quantile(freedom) * error;
        Self { low: slope - margin, high: slope + margin }
    }
}

/// The 97.5 % quantile of Student's t for at least one degree of freedom, by the Cornish-Fisher
/// expansion around the normal quantile (Abramowitz and Stegun, 26.7.5). It is 3 % too small for 2
/// degrees of freedom, the fewest that a line has here, and 0.7 % for 3.
fn quantile(freedom: usize) -> f64 {
    const Z: f64 = 1.959_964;
    let n = freedom as f64;
    let first = (Z.powi(3) + Z) / 4.0;
    let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    let third = (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / 384.0;
    Z + first / n + second / n.powi(2) + third / n.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK_LIMIT: Duration = Duration::from_secs(60);

    fn decide(bytes: impl Fn(f64) -> f64) -> Result<(), Failure> {
        let line: Vec<(f64, f64)> =
            (0..12).map(|n| f64::from(n) * 200.0).map(|x| (x, bytes(x))).collect();
        let allowance = Allowance { bytes: 512.0, unit: "connection", rounds: 12, max_count: 0 };
        let clock = CellClock::start(1.0, CLOCK_LIMIT);
        allowance.judge_slope(allowance.steady_slope(&line), &clock)
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [(4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042), (100, 1.984)]
        {
            let found = quantile(freedom);
            assert!((found - expected).abs() < 0.01, "{freedom}: {found}");
        }
    }

    #[test]
    fn the_slope_of_a_line_is_its_own() {
        let line: Vec<(f64, f64)> = (0..6).map(f64::from).map(|x| (x, 3.0 * x + 7.0)).collect();
        let Slope { low, high } = Slope::fit(&line);
        assert!((low - 3.0).abs() < 1e-9 && (high - 3.0).abs() < 1e-9, "{low} to {high}");
    }

    #[test]
    fn noise_widens_the_interval() {
        let noisy: Vec<(f64, f64)> =
            (0..12).map(f64::from).map(|x| (x, x + 20.0 * (x % 2.0))).collect();
        let Slope { low, high } = Slope::fit(&noisy);
        assert!(low < 1.0 && high > 1.0, "{low} to {high}");
    }

    #[test]
    fn a_leak_is_red_and_a_step_or_a_sawtooth_is_not() {
        let error = decide(|x| 1024.0 * x).unwrap_err();
        assert_eq!(error.kind, FailureKind::Memory);
        // 250 KiB per 250 connections, as an allocator asks the kernel for more.
        decide(|x| (x / 250.0).floor() * 250.0 * 1024.0).unwrap_err();
        decide(|x| 500.0 * x).unwrap();
        decide(|x| if x < 1000.0 { 0.0 } else { 64e6 }).unwrap();
        decide(|x| (x % 900.0) * 4096.0).unwrap();
        decide(|x| x.min(700.0) * 4096.0).unwrap();
    }
}
