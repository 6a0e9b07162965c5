//! Values of options, read as people write them. Each error says what to write instead.

use std::time::Duration;

use bytesize::ByteSize;
use report::quantity;

use crate::error::Error;

/// Parses a rate above 0, such as `20k`, `20000/s` or `1.5M`.
pub(crate) fn parse_rate(text: &str) -> Result<f64, Error> {
    let rate = quantity::parse_rate(text).ok().filter(|rate| *rate > 0.0);
    rate.ok_or_else(|| Error::value("write a number above 0, such as 500, 20k or 20000/s"))
}

/// Parses a number of 1 or more, such as `1000000`, `500k` or `1M`.
pub(crate) fn parse_count(text: &str) -> Result<u64, Error> {
    let is_whole = |count: &f64| *count >= 1.0 && count.fract() == 0.0;
    let count = quantity::parse_amount(text).ok().filter(is_whole);
    let count = count.ok_or_else(|| Error::value("write 1 or more, such as 1000, 500k or 1M"))?;
    Ok(count as u64)
}

/// Parses a number of connections, threads or messages, such as `64` or `1k`.
pub(crate) fn parse_number(text: &str) -> Result<u32, Error> {
    let too_large = |_| Error::value("too large; write at most 4,294,967,295, such as 64 or 10k");
    match text {
        "0" => Ok(0),
        _ => u32::try_from(parse_count(text)?).map_err(too_large),
    }
}

/// Parses a number of bytes, such as `64`, `1KiB` or `2kB`.
pub(crate) fn parse_size(text: &str) -> Result<u32, Error> {
    let hint = "write bytes, such as 64, 1KiB or 16KiB";
    let size: ByteSize = text.parse().map_err(|_| Error::value(hint.to_owned()))?;
    u32::try_from(size.as_u64()).map_err(|_| Error::value(format!("too large; {hint}")))
}

/// Parses a time with its unit, such as `2s`, `500ms` or `1m30s`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, Error> {
    let is_number = text.parse::<f64>().is_ok();
    humantime::parse_duration(text).map_err(|_| match is_number {
        true => Error::value(format!("a time has a unit: write {text}s or {text}ms")),
        false => Error::value("write a time with its unit, such as 2s, 500ms or 1m30s"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!(parse_rate("20k").unwrap(), 20_000.0);
        assert_eq!(parse_rate("20000/s").unwrap(), 20_000.0);
        assert_eq!(parse_rate("1.5M/s").unwrap(), 1_500_000.0);
        assert!(parse_rate("0").is_err() && parse_rate("fast").is_err() && parse_rate("").is_err());
        assert_eq!(parse_size("64").unwrap(), 64);
        assert_eq!(parse_size("1KiB").unwrap(), 1024);
        assert!(parse_size("1 parsec").is_err() && parse_size("8GiB").is_err());
        assert_eq!(parse_count("500k").unwrap(), 500_000);
        assert_eq!([parse_number("1k").unwrap(), parse_number("0").unwrap()], [1000, 0]);
        assert!(parse_number("1.5").is_err() && parse_number("1.5k").is_ok());
        assert!(parse_number("many").is_err() && parse_number("10G").is_err());
    }

    #[test]
    fn a_time_without_a_unit_is_told_which_it_may_have() {
        assert_eq!(parse_time("2s").unwrap(), Duration::from_secs(2));
        assert_eq!(parse_time("500ms").unwrap(), Duration::from_millis(500));
        let sentence = |text| parse_time(text).unwrap_err().to_string();
        assert_eq!(sentence("2"), "a time has a unit: write 2s or 2ms");
        assert!(sentence("soon").contains("such as 2s"), "{}", sentence("soon"));
    }
}
