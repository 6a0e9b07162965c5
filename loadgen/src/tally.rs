//! What one thread has counted and timed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use report::load::{ErrorKind, Traffic};

use crate::clock::SECOND;
use crate::connection::{LoadError, Stamps};

/// The longest time that a histogram holds; a longer one is recorded as this.
const LONGEST_NS: u64 = 120 * SECOND;
/// Significant digits of recorded times: an error of a thousandth.
const DIGITS: u8 = 3;
/// Sentences about errors that are kept.
const NOTES: usize = 5;

/// The distributions of a measurement, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// From the planned send to the last byte of the echo; empty in a closed loop.
    pub response: Histogram<u64>,
    /// From the first byte really sent to the last byte of the echo.
    pub service: Histogram<u64>,
    /// How much later than it could have a message was sent; empty in a closed loop.
    pub send_lag: Histogram<u64>,
    /// From connect(2) to an established connection.
    pub connect: Histogram<u64>,
}

/// The measured part: messages planned in it count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What one thread has counted and timed.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) histograms: Histograms,
    pub(crate) traffic: Traffic,
    /// Messages that came back during the measured part, whenever they were sent.
    pub(crate) came_in_window: u64,
    /// Their bytes.
    pub(crate) bytes_in_window: u64,
    /// Messages of an open loop that were due and not sent when it ended.
    pub(crate) unsent: u64,
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) cost: Cost,
    /// The measured part, once it is over.
    pub(crate) window: Window,
}

/// What the thread needed for the measured part.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) wall_seconds: f64,
    /// How often it looked for something to do.
    pub(crate) looks: u64,
    /// How often it had to wait for something.
    pub(crate) waits: Option<u64>,
}

impl Histograms {
    /// Empty ones.
    ///
    /// # Errors
    /// None that can happen: the bounds are constants.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let empty =
            || Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).context("make an empty histogram");
        Ok(Self { response: empty()?, service: empty()?, send_lag: empty()?, connect: empty()? })
    }

    /// Adds those of another thread, or of another measurement.
    ///
    /// # Errors
    /// None that can happen: all have the same bounds.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        let context = "add up histograms";
        self.response.add(&other.response).context(context)?;
        self.service.add(&other.service).context(context)?;
        self.send_lag.add(&other.send_lag).context(context)?;
        self.connect.add(&other.connect).context(context)
    }
}

impl Window {
    /// Before it is known when a load begins.
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
            came_in_window: 0,
            bytes_in_window: 0,
            unsent: 0,
            errors: BTreeMap::new(),
            notes: Vec::new(),
            cost: Cost::default(),
            window: Window::NEVER,
        })
    }

    /// A message that has come back whole at `now`.
    #[inline]
    pub(crate) fn came(&mut self, window: &Window, stamps: Stamps, length: usize, now: u64) {
        if window.contains(now) {
            self.came_in_window += 1;
            self.bytes_in_window += length as u64;
        }
        if window.contains(stamps.planned) {
            self.traffic.echoed += 1;
            self.traffic.bytes += length as u64;
            self.histograms.service.saturating_record(now.saturating_sub(stamps.sent));
        }
    }

    /// The same for a message of an open loop.
    #[inline]
    pub(crate) fn responded(&mut self, window: &Window, stamps: Stamps, now: u64) {
        if window.contains(stamps.planned) {
            self.histograms.response.saturating_record(now.saturating_sub(stamps.planned));
        }
    }

    /// A message that is not waited for any longer: it counts with the time that it has taken so
    /// far, which is less than its answer would have.
    pub(crate) fn given_up(&mut self, window: &Window, stamps: Stamps, now: u64, is_open: bool) {
        if window.contains(stamps.planned) {
            self.histograms.service.saturating_record(now.saturating_sub(stamps.sent));
            if is_open {
                self.responded(window, stamps, now);
            }
        }
    }

    pub(crate) fn error(&mut self, error: &LoadError) {
        *self.errors.entry(error.kind).or_default() += 1;
        if self.notes.len() < NOTES {
            self.notes.push(format!("{}: {}", error.kind, error.text));
        }
    }

    pub(crate) fn lost(&mut self, messages: u64) {
        if messages > 0 {
            *self.errors.entry(ErrorKind::Lost).or_default() += messages;
        }
    }

    /// All errors; datagrams may be lost.
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
        self.came_in_window += other.came_in_window;
        self.bytes_in_window += other.bytes_in_window;
        self.unsent += other.unsent;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        let room = NOTES.saturating_sub(self.notes.len());
        self.notes.extend(other.notes.iter().take(room).cloned());
        Ok(())
    }
}
