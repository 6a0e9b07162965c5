//! Quantities as a reader takes them in: three significant digits, and the unit that fits.

use crate::host::{grouped, size};

/// Nanoseconds in each unit, the largest first.
const TIMES: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];

/// A number with three significant digits, at most three of them behind the point; whole and with
/// its thousands set apart from 1,000 on.
#[must_use]
pub fn number(value: f64) -> String {
    let size = three_digits(value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    let digits = match size {
        size if size >= 1000.0 => grouped(value.abs().round() as u64),
        size if size >= 100.0 || size == 0.0 => format!("{size:.0}"),
        size if size >= 10.0 => format!("{size:.1}"),
        size if size >= 1.0 => format!("{size:.2}"),
        size => format!("{size:.3}"),
    };
    format!("{sign}{digits}")
}

/// A time, such as `850 ns`, `42.0 µs` or `2.31 ms`. Below a microsecond it is whole.
#[must_use]
pub fn time(ns: f64) -> String {
    let ns = if ns < 999.5 { ns } else { three_digits(ns) };
    match TIMES.into_iter().find(|(unit, _)| ns >= *unit) {
        Some((unit, name)) => format!("{} {name}", number(ns / unit)),
        None => format!("{ns:.0} ns"),
    }
}

/// A length of time that somebody chose, in seconds, such as `10 s` or `0.5 s`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    format!("{seconds} s")
}

/// Bytes, such as `64 KiB`, rounded to whole ones first.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    size(bytes.round() as u64)
}

/// A part of one as percent, such as `34 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// One or many of something, such as `1 error` or `2,000 errors`.
#[must_use]
pub fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// Rounded to three significant digits, so that what is a little less than a unit counts as one.
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
    fn one_is_no_plural() {
        assert_eq!(counted(1, "error"), "1 error");
        assert_eq!(counted(2_000, "error"), "2,000 errors");
    }
}
