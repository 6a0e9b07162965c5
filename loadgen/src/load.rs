//! What the generator is asked to do.

use std::time::Duration;

use report::load::Workload;

/// A workload and how to run it.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is sent, to whom, how much and when.
    pub workload: Workload,
    /// How long the generator waits without any answer before it gives up.
    pub patience: Duration,
    /// The percentiles to report, such as 99.9.
    pub percentiles: Vec<f64>,
    /// Processors for the generator's threads. If empty, the threads may run anywhere. Linux only.
    pub cpus: Vec<usize>,
    /// The generator refuses to run an open loop on a host where a thread that only sleeps and
    /// spins is later than this (99th percentile). [`NOISE_LIMIT`] unless the numbers do not
    /// matter.
    pub noise_limit: Duration,
}

/// The highest lateness of a host at which an open loop still makes sense.
pub const NOISE_LIMIT: Duration = Duration::from_micros(50);
