//! Turns what the threads have counted into a measurement, and decides whether it is valid.

use report::Transport;
use report::load::{
    Arrival, BuildProfile, Ending, Generator, Latency, Measurement, Percentile, Throughput,
    Validity,
};

use hdrhistogram::Histogram;

use crate::clock::seconds as seconds_of;
use crate::load::Load;
use crate::shared::Stop;
use crate::tally::{Cost, Histograms, Tally, Window};

/// If the 99th percentile of the send lag is above this, the generator was late.
const LATE_LIMIT_NS: u64 = 100_000;
/// A thread that found nothing to do in a smaller share of its polls than this was the bottleneck.
const LEAST_WAITS_SHARE: f64 = 0.005;
/// Used where the system does not count waits: a thread that used at least this share of its
/// processor was the bottleneck.
const HIGHEST_SHARE: f64 = 0.97;

/// A measurement and the distributions behind it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The part that a result file holds.
    pub measurement: Measurement,
    /// The whole distributions, even if the measurement is invalid.
    pub histograms: Histograms,
}

/// The sum of what the threads have counted, from which the measurement is made.
pub(crate) struct Account<'a> {
    load: &'a Load,
    jitter_ns: Option<u64>,
    sum: Tally,
    costs: Vec<Cost>,
    window: Option<Window>,
    reasons: Vec<String>,
    is_given_up: bool,
    /// Time until every connection was open.
    pub(crate) opening_ns: Option<u64>,
}

impl Recording {
    /// The recording of a load that was not run, because the host is too noisy.
    pub(crate) fn too_noisy(load: &Load, jitter_ns: u64) -> anyhow::Result<Self> {
        let reason = format!(
            "host too noisy: a thread that only sleeps and spins is {} µs late (99th percentile, \
             limit {} µs)",
            jitter_ns / 1000,
            load.noise_limit.as_micros()
        );
        let measurement = Measurement {
            validity: Validity::Invalid { reasons: vec![reason.into()] },
            ending: Ending::Abandoned,
            ..Measurement::empty(Generator {
                threads: load.workload.threads,
                jitter_p99_ns: Some(jitter_ns),
                profile: PROFILE,
                ..Generator::default()
            })
        };
        Ok(Self { measurement, histograms: Histograms::new()? })
    }
}

pub const PROFILE: BuildProfile =
    if cfg!(debug_assertions) { BuildProfile::Dev } else { BuildProfile::Release };

impl<'a> Account<'a> {
    pub(crate) fn new(load: &'a Load, jitter_ns: Option<u64>) -> anyhow::Result<Self> {
        Ok(Self {
            load,
            jitter_ns,
            sum: Tally::new()?,
            costs: Vec::new(),
            window: None,
            reasons: Vec::new(),
            is_given_up: false,
            opening_ns: None,
        })
    }

    /// Adds what one thread has counted, and why it stopped if it stopped early.
    pub(crate) fn add(&mut self, tally: &Tally, stop: Option<Stop>) -> anyhow::Result<()> {
        self.sum.add(tally)?;
        self.costs.push(tally.cost);
        if tally.window.start != Window::NEVER.start {
            let window = self.window.get_or_insert(tally.window);
            window.end = window.end.max(tally.window.end);
        }
        match stop {
            Some(Stop::GivenUp(reason)) => {
                self.is_given_up = true;
                if !self.reasons.contains(&reason) {
                    self.reasons.push(reason);
                }
            }
            Some(Stop::Asked) | None => {}
        }
        Ok(())
    }

    pub(crate) fn into_recording(mut self, is_interrupted: bool) -> Recording {
        let generator = self.generator();
        self.judge(&generator);
        let is_valid = self.reasons.is_empty();
        let seconds = self.seconds();
        let of = |histogram| latency(histogram, &self.load.percentiles);
        let measured = |histogram| if is_valid { of(histogram) } else { None };
        let histograms = &self.sum.histograms;
        let measurement = Measurement {
            ending: match (is_interrupted, self.is_given_up) {
                (true, _) => Ending::Interrupted,
                (false, true) => Ending::Abandoned,
                (false, false) => Ending::Complete,
            },
            opening_seconds: self.opening_ns.map(seconds_of),
            seconds,
            traffic: self.sum.traffic,
            throughput: is_valid.then(|| Throughput {
                messages_per_second: self.sum.echoed_in_window as f64 / seconds,
                bytes_per_second: self.sum.echoed_bytes_in_window as f64 / seconds,
            }),
            response: measured(&histograms.response),
            service: measured(&histograms.service),
            send_lag: of(&histograms.send_lag),
            connect: measured(&histograms.connect),
            errors: self.sum.errors,
            notes: self.sum.notes.into_iter().map(Into::into).collect(),
            generator,
            validity: if is_valid {
                Validity::Valid
            } else {
                Validity::Invalid { reasons: self.reasons.into_iter().map(Into::into).collect() }
            },
        };
        Recording { measurement, histograms: self.sum.histograms }
    }

    /// Length of the measured part, which is shorter than requested if the load stopped early.
    fn seconds(&self) -> f64 {
        self.window.map_or(0.0, |window| seconds_of(window.end - window.start))
    }

    fn generator(&self) -> Generator {
        let share = |cost: &Cost| Some(cost.cpu_seconds? / cost.wall_seconds);
        let waits = |cost: &Cost| Some(cost.idle_polls? as f64 / cost.polls.max(1) as f64);
        Generator {
            threads: self.load.workload.threads,
            cpu_seconds: self.costs.iter().map(|cost| cost.cpu_seconds).sum(),
            busiest_share: self.costs.iter().filter_map(share).reduce(f64::max),
            waits_share: self.costs.iter().filter_map(waits).reduce(f64::min),
            jitter_p99_ns: self.jitter_ns,
            profile: PROFILE,
        }
    }

    /// Collects the reasons that make the measurement invalid.
    fn judge(&mut self, generator: &Generator) {
        let is_udp = self.load.workload.target.transport == Transport::Udp;
        let forgiven = |kind| is_udp && kind == report::load::ErrorKind::Lost;
        let errors: Vec<String> = self
            .sum
            .errors
            .iter()
            .filter(|(kind, _)| !forgiven(**kind))
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if !errors.is_empty() {
            self.reasons.push(format!("errors: {}", errors.join(", ")));
        }
        if self.sum.echoed_in_window == 0 && self.reasons.is_empty() {
            self.reasons.push("no message came back in the measured part".to_owned());
        }
        match self.load.workload.arrival {
            Arrival::Open { .. } => self.judge_lateness(),
            Arrival::Closed => {}
        }
        self.judge_saturation(generator);
        if self.sum.unsent > 0 {
            let unsent = self.sum.unsent;
            self.sum.notes.push(format!(
                "the server did not keep up: {unsent} messages were due and not sent by the end; \
                 they count with the time that they had waited"
            ));
        }
    }

    fn judge_lateness(&mut self) {
        let lag = self.sum.histograms.send_lag.value_at_percentile(99.0);
        if lag > LATE_LIMIT_NS {
            self.reasons.push(format!(
                "the generator was late: send lag p99 {} µs, limit {} µs; give it processors of \
                 its own, more threads, or a lower rate",
                lag / 1000,
                LATE_LIMIT_NS / 1000
            ));
        }
    }

    /// Judges by how often the generator was idle, for both kinds of loop. In an open loop, the
    /// send lag does not show late reads: a connection counts as busy until its echo is read.
    fn judge_saturation(&mut self, generator: &Generator) {
        let found = match (generator.waits_share, generator.busiest_share) {
            (Some(share), _) if share >= LEAST_WAITS_SHARE => return,
            (Some(share), _) => {
                format!("in {:.1} % of all looks it found nothing to do", share * 100.0)
            }
            (None, Some(share)) if share < HIGHEST_SHARE => return,
            (None, Some(share)) => format!("it used {:.0} % of its processor", share * 100.0),
            (None, None) => {
                let note = "whether the generator was saturated is not told on this system";
                self.sum.notes.push(note.to_owned());
                return;
            }
        };
        self.reasons.push(format!(
            "the generator was saturated: {found}, so the rate is its own; give it more threads, \
             processors of its own, or a lower rate"
        ));
    }
}

/// The summary of a distribution for a result; `None` if it has no samples.
fn latency(histogram: &Histogram<u64>, percentiles: &[f64]) -> Option<Latency> {
    let samples = histogram.len();
    if samples == 0 {
        return None;
    }
    let at = |percent: f64| Percentile {
        percent,
        ns: Latency::has_enough_samples(samples, percent)
            .then(|| histogram.value_at_percentile(percent)),
    };
    Some(Latency {
        samples,
        min_ns: histogram.min(),
        mean_ns: histogram.mean(),
        max_ns: histogram.max(),
        percentiles: percentiles.iter().copied().map(at).collect(),
    })
}
