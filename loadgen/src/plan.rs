//! The plan of a load, made before it begins: the workload after a check, and each thread's share.

use std::time::Duration;

use anyhow::bail;
use report::Transport;
use report::load::{Amount, Arrival, Workload};

use crate::clock::nanoseconds;
use crate::payload::{Payload, STAMP_BYTES};
use crate::socket::Address;
use crate::tally::Window;

/// The longest datagram that IPv4 carries: 65,535 bytes minus two headers (RFC 768, RFC 791).
const LONGEST_DATAGRAM: u32 = 65_507;
/// A load of longer messages would be a bulk transfer.
const LONGEST_MESSAGE: u32 = 64 << 20;

/// Messages per second. At a higher rate, a loop would do nothing but schedule messages.
const HIGHEST_RATE: f64 = 1e7;

/// A workload that can be run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) address: Address,
    pub(crate) payload: Payload,
    pub(crate) pipeline: usize,
    pub(crate) threads: usize,
    /// How long the generator waits without any answer before it gives up.
    pub(crate) patience_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) first_carrier: u32,
    pub(crate) carriers: u32,
    pub(crate) first_idle: u32,
    pub(crate) idle: u32,
}

impl Plan {
    /// # Errors
    /// The workload makes no sense; the error says why, and what to write instead.
    pub(crate) fn new(workload: &Workload, patience: Duration) -> anyhow::Result<Self> {
        validate_workload(workload)?;
        Ok(Self {
            workload: workload.clone(),
            address: Address::from_target(&workload.target)?,
            payload: Payload::new(workload.seed, &workload.sizes.0),
            pipeline: workload.pipeline as usize,
            threads: workload.threads as usize,
            patience_ns: u64::try_from(patience.as_nanos())?,
        })
    }

    pub(crate) fn is_open_loop(&self) -> bool {
        match self.workload.arrival {
            Arrival::Closed => false,
            Arrival::Open { .. } => true,
        }
    }

    /// Whether the load ends after a number of messages, and not after a time.
    pub(crate) fn is_counted(&self) -> bool {
        match self.workload.amount {
            Amount::Seconds(_) => false,
            Amount::Messages(_) => true,
        }
    }

    /// The measured part of a load that begins at `start`.
    pub(crate) fn window(&self, start: u64) -> Window {
        let from = start + nanoseconds(self.workload.warmup_seconds);
        let end = match self.workload.amount {
            Amount::Seconds(seconds) => from + nanoseconds(seconds),
            Amount::Messages(_) => u64::MAX,
        };
        Window { start: from, end }
    }

    /// How many messages of the measured part a thread may send; `None` if only time ends the load.
    pub(crate) fn message_limit(&self, thread: usize) -> Option<u64> {
        match self.workload.amount {
            Amount::Seconds(_) => None,
            Amount::Messages(messages) => Some(split_share(messages, thread, self.threads).1),
        }
    }

    pub(crate) fn share(&self, thread: usize) -> Share {
        let of = |all: u32| {
            let (first, count) = split_share(u64::from(all), thread, self.threads);
            (u32::try_from(first).unwrap_or(0), u32::try_from(count).unwrap_or(0))
        };
        let (first_carrier, carriers) = of(self.workload.connections);
        let (first_idle, idle) = of(self.workload.idle_connections);
        Share { first_carrier, carriers, first_idle, idle }
    }
}

/// Start and length of part `index`, when `all` is divided into `of` parts.
fn split_share(all: u64, index: usize, of: usize) -> (u64, u64) {
    let (index, of) = (index as u64, of as u64);
    let (each, rest) = (all / of, all % of);
    (index * each + index.min(rest), each + u64::from(index < rest))
}

/// Checks that a workload can be run.
///
/// # Errors
/// The workload makes no sense; the error says why, and what to write instead.
pub fn validate_workload(workload: &Workload) -> anyhow::Result<()> {
    let is_udp = workload.target.transport == Transport::Udp;
    let Workload { connections, threads, pipeline, sizes, .. } = workload;
    if *connections == 0 || *threads == 0 || *pipeline == 0 {
        bail!("connections, threads and pipeline are 1 at the least");
    }
    if threads > connections {
        bail!("{threads} threads share {connections} connections; ask for fewer threads");
    }
    if sizes.0.is_empty() || sizes.0.contains(&0) {
        bail!("a message has 1 byte at the least");
    }
    if sizes.longest() > LONGEST_MESSAGE {
        bail!("a message has {LONGEST_MESSAGE} bytes at the most");
    }
    let shortest = sizes.0.iter().min().copied().unwrap_or(0) as usize;
    if is_udp && (shortest < STAMP_BYTES || sizes.longest() > LONGEST_DATAGRAM) {
        bail!(
            "a datagram has {STAMP_BYTES} to {LONGEST_DATAGRAM} bytes: a shorter one could not be \
             told from another that comes late"
        );
    }
    if is_udp && (workload.churn || workload.idle_connections > 0) {
        bail!("UDP has no connections to churn or to keep idle");
    }
    if workload.churn && *pipeline > 1 {
        bail!("with churn a connection carries one message; leave out the pipeline");
    }
    let is_positive = |number: f64| number.is_finite() && number > 0.0;
    if let Arrival::Open { messages_per_second } = workload.arrival
        && !is_positive(messages_per_second)
    {
        bail!("a rate is above 0");
    }
    if let Arrival::Open { messages_per_second } = workload.arrival
        && messages_per_second > HIGHEST_RATE
    {
        bail!("a rate is {HIGHEST_RATE} messages a second at the most");
    }
    if workload.connect_rate.is_some_and(|rate| !is_positive(rate)) {
        bail!("a rate of connections is above 0");
    }
    match workload.amount {
        Amount::Seconds(seconds) if !is_positive(seconds) => bail!("a duration is above 0"),
        Amount::Messages(messages) if messages < u64::from(*threads) => {
            bail!("each thread sends a message at the least; ask for fewer threads")
        }
        Amount::Seconds(_) | Amount::Messages(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once() {
        for (all, of) in [(64, 1), (64, 3), (2, 2), (10, 7), (5, 7)] {
            let mut next = 0;
            for index in 0..of {
                let (first, count) = split_share(all, index, of);
                assert_eq!(first, next);
                next += count;
            }
            assert_eq!(next, all);
        }
    }
}
