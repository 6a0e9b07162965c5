//! Quantities as pages show them, with three significant digits and the unit that fits; and as
//! users write them in options, which are parsed only here.

use std::fmt;

use crate::host::{group_digits, size};

/// Nanoseconds in each unit, the largest first.
const TIME_UNITS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
/// Nanoseconds in each unit that can be parsed. If one unit ends with another, the longer one comes
/// first. The two signs for micro look alike, and both are in use.
const PARSED_TIME_UNITS: [(&str, f64); 6] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9)];
const MULTIPLES: [(&str, f64); 4] = [("k", 1e3), ("K", 1e3), ("m", 1e6), ("M", 1e6)];

/// Why a text is no quantity. The sentence says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    Amount,
    Rate,
    Time,
    Percentile,
    /// A number that is no percentile: a percentile is above 0 and below 100.
    PercentileOutOfRange,
}

/// Parses a number of things, 0 or more: `1000000`, `500k`, `1.5M`.
///
/// # Errors
/// [`QuantityError::Amount`].
pub fn parse_amount(text: &str) -> Result<f64, QuantityError> {
    let text = text.trim();
    let multiple =
        MULTIPLES.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = multiple.unwrap_or((text, &1.0));
    let number = parse_number(number).ok_or(QuantityError::Amount)?;
    Ok(number * scale)
}

/// Parses a number of things per second, 0 or more: `20k`, `20000/s`, `1.5M`.
///
/// # Errors
/// [`QuantityError::Rate`].
pub fn parse_rate(text: &str) -> Result<f64, QuantityError> {
    let text = text.trim();
    parse_amount(text.strip_suffix("/s").unwrap_or(text)).map_err(|_| QuantityError::Rate)
}

/// Parses a length of time into nanoseconds, 0 or more: `800us`, `2 ms`.
///
/// # Errors
/// [`QuantityError::Time`].
pub fn parse_time(text: &str) -> Result<f64, QuantityError> {
    let text = text.trim();
    let found =
        PARSED_TIME_UNITS.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = found.ok_or(QuantityError::Time)?;
    Ok(parse_number(number).ok_or(QuantityError::Time)? * scale)
}

/// Parses a percentile in percent: `99.9`, `p99.9`.
///
/// # Errors
/// [`QuantityError::Percentile`] and [`QuantityError::PercentileOutOfRange`].
pub fn parse_percentile(text: &str) -> Result<f64, QuantityError> {
    let number = text.strip_prefix('p').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent < 100.0 => Ok(percent),
        Ok(_) => Err(QuantityError::PercentileOutOfRange),
        Err(_) => Err(QuantityError::Percentile),
    }
}

/// Parses a finite number of 0 or more.
fn parse_number(text: &str) -> Option<f64> {
    let number = text.trim_end().parse::<f64>().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

impl std::error::Error for QuantityError {}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amount => "write a number, such as 500, 20k or 1.5M",
            Self::Rate => "write a number, such as 500, 20k or 20000/s",
            Self::Time => "write a time, such as 800us or 2ms",
            Self::Percentile | Self::PercentileOutOfRange => {
                "write a number between 0 and 100, such as 99.9"
            }
        })
    }
}

/// A number with three significant digits, at most three of them after the point. From 1,000 on it
/// is whole and has thousands separators.
#[must_use]
pub fn number(value: f64) -> String {
    let size = three_digits(value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    let digits = match size {
        size if size >= 1000.0 => group_digits(value.abs().round() as u64),
        size if size >= 100.0 || size == 0.0 => format!("{size:.0}"),
        size if size >= 10.0 => format!("{size:.1}"),
        size if size >= 1.0 => format!("{size:.2}"),
        size => format!("{size:.3}"),
    };
    format!("{sign}{digits}")
}

/// A time in nanoseconds, such as `850 ns`, `42.0 µs` or `2.31 ms`. Below a microsecond it is
/// whole.
#[must_use]
pub fn time(ns: f64) -> String {
    let ns = if ns < 999.5 { ns } else { three_digits(ns) };
    match TIME_UNITS.into_iter().find(|(unit, _)| ns >= *unit) {
        Some((unit, name)) => format!("{} {name}", number(ns / unit)),
        None => format!("{ns:.0} ns"),
    }
}

/// A length of time that a user chose, in seconds, such as `10 s` or `0.5 s`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    format!("{seconds} s")
}

/// Bytes, such as `64 KiB`, first rounded to whole bytes.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    size(bytes.round() as u64)
}

/// A share of 1 as percent, such as `34 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A count and its noun, such as `1 error` or `2,000 errors`.
#[must_use]
pub fn format_count(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", group_digits(count))
}

/// Rounds to three significant digits, so that a value just below a unit counts as that unit.
fn three_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let step = 10_f64.powi(2 - value.log10().floor() as i32);
    (value * step).round() / step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_tell_enough() {
        let shown = [0.0, 0.0123, 0.13, 2.084, 9.996, 42.0, 99.96, 118.4, 20_001.2];
        let texts = ["0", "0.012", "0.130", "2.08", "10.0", "42.0", "100", "118", "20,001"];
        assert_eq!(shown.map(number), texts);
        assert_eq!(number(-2.5), "-2.50");
    }

    #[test]
    fn a_time_has_the_unit_that_fits() {
        let times = [0.0, 7.0, 999.0, 999.6, 42_000.0, 999_600.0, 2_310_000.0, 3.2e9];
        let texts =
            ["0 ns", "7 ns", "999 ns", "1.00 µs", "42.0 µs", "1.00 ms", "2.31 ms", "3.20 s"];
        assert_eq!(times.map(time), texts);
    }

    #[test]
    fn quantities_are_read_as_people_write_them() {
        for (text, amount) in
            [("0", 0.0), ("500k", 5e5), ("1.5M", 1.5e6), ("20K", 2e4), ("1 m", 1e6)]
        {
            assert_eq!(parse_amount(text), Ok(amount), "{text}");
            assert_eq!(parse_rate(&format!("{text}/s")), Ok(amount), "{text}");
        }
        for wrong in ["", "k", "-1", "inf", "nan", "fast", "1kk"] {
            assert_eq!(parse_amount(wrong), Err(QuantityError::Amount), "{wrong}");
            assert_eq!(parse_rate(wrong), Err(QuantityError::Rate), "{wrong}");
        }
        assert_eq!(["800us", "2 ms", "1s", "7ns"].map(parse_time), [8e5, 2e6, 1e9, 7.0].map(Ok));
        assert_eq!(["2", "ms", "-2ms", "2 MB"].map(parse_time), [Err(QuantityError::Time); 4]);
        assert_eq!(["99.9", "p50"].map(parse_percentile), [Ok(99.9), Ok(50.0)]);
        assert_eq!(parse_percentile("p100"), Err(QuantityError::PercentileOutOfRange));
        assert_eq!(["pp50", "", "p"].map(parse_percentile), [Err(QuantityError::Percentile); 3]);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(format_count(1, "error"), "1 error");
        assert_eq!(format_count(2_000, "error"), "2,000 errors");
    }
}
