//! What is asked of the generator.

use std::time::Duration;

use report::load::Workload;

/// A workload, and how it is run.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is sent, to whom, how much and when.
    pub workload: Workload,
    /// How long no answer at all is waited for.
    pub patience: Duration,
    /// Percentiles that are wanted, such as 99.9.
    pub percentiles: Vec<f64>,
    /// Processors of the generator's threads; wherever they may run if empty. Linux only.
    pub cpus: Vec<usize>,
    /// An open loop is not run on a host where a thread that only sleeps and spins is later than
    /// this, 99th percentile: [`NOISE_LIMIT`] unless the numbers are of no interest.
    pub noise_limit: Duration,
}

/// What a host may be late by itself before an open loop makes no sense on it.
pub const NOISE_LIMIT: Duration = Duration::from_micros(50);
