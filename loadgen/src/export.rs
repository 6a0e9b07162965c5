//! Writes the whole distributions as a log of HdrHistogram (format 1.3), for its tools to plot.

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::tally::Histograms;

/// Divisor of the values in the log's column of maxima: nanoseconds become milliseconds, as the
/// tools expect.
const NS_PER_MS: f64 = 1e6;

/// Writes one interval for each distribution that has samples, tagged with its name.
///
/// # Errors
/// `out` cannot be written.
pub fn export_hdr(
    histograms: &Histograms,
    length: Duration,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let context = "write an HDR log";
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("times in nanoseconds")
        .with_start_time(SystemTime::now())
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(out, &mut serializer)
        .context(context)?;
    let Histograms { response, service, send_lag, connect } = histograms;
    let named = [
        ("response", response),
        ("service", service),
        ("send_lag", send_lag),
        ("connect", connect),
    ];
    for (name, histogram) in named.into_iter().filter(|(_, histogram)| !histogram.is_empty()) {
        let written = log.write_histogram(histogram, Duration::ZERO, length, Tag::new(name));
        written.map_err(|error| anyhow::anyhow!("{context}: {error:?}"))?;
    }
    Ok(())
}
