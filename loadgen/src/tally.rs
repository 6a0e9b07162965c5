//! What one thread has counted and timed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use report::load::{ErrorKind, Traffic};

use crate::clock::SECOND;
use crate::connection::{LoadError, Stamps};

/// The longest time that a histogram holds; longer times are recorded as this.
const LONGEST_NS: u64 = 120 * SECOND;
/// Significant digits of recorded times, for an error of at most 0.1 %.
const DIGITS: u8 = 3;
/// How many errors are kept as sentences.
const MAX_NOTES: usize = 5;

/// The distributions of a measurement, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// From the time at which a message was due to the last byte of its echo; empty in a closed
    /// loop.
    pub response: Histogram<u64>,
    /// From the sending of the first byte to the last byte of the echo.
    pub service: Histogram<u64>,
    /// How much later than possible a message was sent; empty in a closed loop.
    pub send_lag: Histogram<u64>,
    /// From connect(2) to an established connection.
    pub connect: Histogram<u64>,
}

/// The measured part. Messages that were due in it count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) histograms: Histograms,
    pub(crate) traffic: Traffic,
    /// Messages that came back during the measured part, whenever they were sent.
    pub(crate) echoed_in_window: u64,
    /// Bytes of the messages that came back during the measured part.
    pub(crate) echoed_bytes_in_window: u64,
    /// Messages of an open loop that were due but not sent when it ended.
    pub(crate) unsent: u64,
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) cost: Cost,
    /// The measured part, once it is over.
    pub(crate) window: Window,
}

/// What the measured part cost the thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) wall_seconds: f64,
    /// How many times the thread polled.
    pub(crate) polls: u64,
    /// How many times there was nothing to do: polls without an event in an open loop, otherwise
    /// voluntary context switches. `None` if the system does not count those.
    pub(crate) idle_polls: Option<u64>,
}

impl Histograms {
    /// # Errors
    /// None in practice, because the bounds are constants.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let empty =
            || Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).context("make an empty histogram");
        Ok(Self { response: empty()?, service: empty()?, send_lag: empty()?, connect: empty()? })
    }

    /// Adds the samples of another thread, or of another measurement.
    ///
    /// # Errors
    /// None in practice, because all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        let context = "add up histograms";
        self.response.add(&other.response).context(context)?;
        self.service.add(&other.service).context(context)?;
        self.send_lag.add(&other.send_lag).context(context)?;
        self.connect.add(&other.connect).context(context)
    }
}

impl Window {
    /// The measured part while the start of the load is not known.
    pub(crate) const NEVER: Self = Self { start: u64::MAX, end: u64::MAX };

    #[inline]
    pub(crate) fn contains(&self, time: u64) -> bool {
        self.start <= time && time < self.end
    }
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            histograms: Histograms::new()?,
            traffic: Traffic::default(),
            echoed_in_window: 0,
            echoed_bytes_in_window: 0,
            unsent: 0,
            errors: BTreeMap::new(),
            notes: Vec::new(),
            cost: Cost::default(),
            window: Window::NEVER,
        })
    }

    /// Records a message whose echo was complete at `now`.
    #[inline]
    pub(crate) fn record_echo(&mut self, window: &Window, stamps: Stamps, length: usize, now: u64) {
        if window.contains(now) {
            self.echoed_in_window += 1;
            self.echoed_bytes_in_window += length as u64;
        }
        if window.contains(stamps.planned) {
            self.traffic.echoed += 1;
            self.traffic.bytes += length as u64;
            self.histograms.service.saturating_record(now.saturating_sub(stamps.sent));
        }
    }

    /// Records the response time of a message of an open loop.
    #[inline]
    pub(crate) fn record_response(&mut self, window: &Window, stamps: Stamps, now: u64) {
        if window.contains(stamps.planned) {
            self.histograms.response.saturating_record(now.saturating_sub(stamps.planned));
        }
    }

    /// Records a message that is given up, with the time that it has taken so far. Its answer would
    /// have taken longer.
    pub(crate) fn record_given_up(
        &mut self,
        window: &Window,
        stamps: Stamps,
        now: u64,
        is_open: bool,
    ) {
        if window.contains(stamps.planned) {
            self.histograms.service.saturating_record(now.saturating_sub(stamps.sent));
            if is_open {
                self.record_response(window, stamps, now);
            }
        }
    }

    pub(crate) fn record_error(&mut self, error: &LoadError) {
        *self.errors.entry(error.kind).or_default() += 1;
        if self.notes.len() < MAX_NOTES {
            self.notes.push(format!("{}: {}", error.kind, error.text));
        }
    }

    pub(crate) fn add_lost(&mut self, messages: u64) {
        if messages > 0 {
            *self.errors.entry(ErrorKind::Lost).or_default() += messages;
        }
    }

    /// Number of errors. Lost messages do not count if they are datagrams.
    pub(crate) fn error_count(&self, is_datagram: bool) -> u64 {
        let counts =
            self.errors.iter().filter(|(kind, _)| !is_datagram || **kind != ErrorKind::Lost);
        counts.map(|(_, count)| count).sum()
    }

    /// Adds what another thread has counted.
    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.histograms.add(&other.histograms)?;
        self.traffic.sent += other.traffic.sent;
        self.traffic.echoed += other.traffic.echoed;
        self.traffic.bytes += other.traffic.bytes;
        self.echoed_in_window += other.echoed_in_window;
        self.echoed_bytes_in_window += other.echoed_bytes_in_window;
        self.unsent += other.unsent;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        let room = MAX_NOTES.saturating_sub(self.notes.len());
        self.notes.extend(other.notes.iter().take(room).cloned());
        Ok(())
    }
}
