//! Conditions of `--fail-if`, such as `p99 > 2ms`: what is compared, how, and with what.

use std::fmt;

use super::{Measurement, Percentile};
use crate::host::group_digits;
use crate::outside;
use crate::outside::Outside;
use crate::quantity::{
    QuantityError, number, parse_amount, parse_percentile, parse_rate, parse_time, time,
};

/// A comparison that ends a load with exit status 99 when it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The text that the user wrote.
    text: Outside,
    quantity: Quantity,
    operator: Operator,
    /// In nanoseconds, messages per second, or errors.
    limit: f64,
}

/// Why a text is no condition: a sentence that says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError(Outside);

/// What is compared. A latency is response in an open loop and service in a closed loop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    Percentile(f64),
    Min,
    Mean,
    Max,
    Throughput,
    Errors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Longer spellings first, because they begin with the shorter ones.
const OPERATORS: [(&str, Operator); 4] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    (">", Operator::Above),
    ("<", Operator::Below),
];

impl Condition {
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let found = OPERATORS
            .iter()
            .filter_map(|(sign, operator)| Some((text.find(sign)?, *sign, *operator)))
            .min_by_key(|(at, _, _)| *at);
        let Some((at, sign, operator)) = found else {
            let sentence = format!("'{text}' compares nothing: write it as 'p99 > 2ms'");
            return Err(ConditionError(sentence.into()));
        };
        let quantity = Quantity::parse(text[..at].trim())?;
        let limit = quantity.parse_limit(text[at + sign.len()..].trim())?;
        Ok(Self { text: text.into(), quantity, operator, limit })
    }

    /// The percentile that a load must compute for this condition, in percent.
    #[must_use]
    pub fn percentile(&self) -> Option<f64> {
        match self.quantity {
            Quantity::Percentile(percent) => Some(percent),
            Quantity::Min
            | Quantity::Mean
            | Quantity::Max
            | Quantity::Throughput
            | Quantity::Errors => None,
        }
    }

    /// A sentence without a full stop, if the condition holds or cannot be shown not to hold.
    #[must_use]
    pub fn fires(&self, measurement: &Measurement) -> Option<Outside> {
        match self.quantity.value(measurement) {
            Ok(value) => self.operator.holds(value, self.limit).then(|| {
                outside!("{}: {} is {}", self.text, self.quantity, self.quantity.format(value))
            }),
            Err(reason) => Some(outside!("{}: cannot be shown not to hold: {}", self.text, reason)),
        }
    }
}

impl std::error::Error for ConditionError {}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.on_terminal())
    }
}

impl Operator {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }
}

impl Quantity {
    fn parse(name: &str) -> Result<Self, ConditionError> {
        match name {
            "min" => return Ok(Self::Min),
            "mean" => return Ok(Self::Mean),
            "max" => return Ok(Self::Max),
            "throughput" => return Ok(Self::Throughput),
            "errors" => return Ok(Self::Errors),
            _ => {}
        }
        let percent = name.starts_with('p').then(|| parse_percentile(name));
        let sentence = match percent {
            Some(Ok(percent)) => return Ok(Self::Percentile(percent)),
            Some(Err(QuantityError::PercentileOutOfRange)) => {
                format!("there is no {name}: a percentile is above p0 and below p100")
            }
            Some(Err(_)) | None => format!(
                "'{name}' is nothing that is measured: write p50, p99.9, min, mean, max, \
                 throughput or errors"
            ),
        };
        Err(ConditionError(sentence.into()))
    }

    /// Parses the limit, in the unit of the quantity.
    fn parse_limit(self, text: &str) -> Result<f64, ConditionError> {
        let (limit, example) = match self {
            Self::Percentile(_) | Self::Min | Self::Mean | Self::Max => {
                (parse_time(text), "800us or 2ms")
            }
            Self::Throughput => (parse_rate(text), "100k or 1.5M, in messages a second"),
            Self::Errors => (parse_amount(text), "0 or 1k"),
        };
        limit.map_err(|_| {
            ConditionError(format!("'{text}' is no limit of {self}: write {example}").into())
        })
    }

    /// The value of the quantity, or why there is none.
    fn value(self, measurement: &Measurement) -> Result<f64, String> {
        let is_valid = measurement.validity.is_valid();
        let valid = || is_valid.then_some(()).ok_or_else(|| "the run is invalid".to_owned());
        let latency = || {
            valid()?;
            // Only an open loop has response times.
            let latency = measurement.response.as_ref().or(measurement.service.as_ref());
            latency.ok_or_else(|| "latency was not recorded".to_owned())
        };
        match self {
            Self::Percentile(percent) => {
                let latency = latency()?;
                latency.percentile_ns(percent).map(|ns| ns as f64).ok_or_else(|| {
                    let samples = group_digits(latency.samples);
                    format!("{}, there are {samples}", latency.absence(percent))
                })
            }
            Self::Min => latency().map(|latency| latency.min_ns as f64),
            Self::Mean => latency().map(|latency| latency.mean_ns),
            Self::Max => latency().map(|latency| latency.max_ns as f64),
            Self::Throughput => {
                valid()?;
                let rates = measurement.throughput;
                let rate = rates.map(|rates| rates.messages_per_second);
                rate.ok_or_else(|| "throughput was not recorded".to_owned())
            }
            Self::Errors => Ok(measurement.error_count() as f64),
        }
    }

    fn format(self, value: f64) -> String {
        match self {
            Self::Percentile(_) | Self::Min | Self::Mean | Self::Max => time(value),
            Self::Throughput => format!("{} messages/s", number(value)),
            Self::Errors => group_digits(value as u64),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(percent) => f.write_str(&Percentile::name_of(*percent)),
            Self::Min => f.write_str("min"),
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::Throughput => f.write_str("throughput"),
            Self::Errors => f.write_str("errors"),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "statistics")]
mod tests {
    use super::*;
    use crate::example;
    use crate::load::{ErrorKind, Validity};

    #[track_caller]
    fn fires(text: &str, measurement: &Measurement) -> Option<Outside> {
        Condition::parse(text).expect("a condition").fires(measurement)
    }

    #[test]
    fn a_condition_says_what_it_found() {
        let measurement = example::open();
        assert_eq!(fires("p99 > 100us", &measurement).unwrap(), "p99 > 100us: p99 is 121 µs");
        assert_eq!(fires("p99>=121µs", &measurement).unwrap(), "p99>=121µs: p99 is 121 µs");
        for quiet in ["p99 > 121us", "p99 < 0.1 ms", "max > 1s", "mean >= 1ms", "min < 1ns"] {
            assert_eq!(fires(quiet, &measurement), None, "{quiet}");
        }
        let slow = fires("throughput <= 100k/s", &measurement).unwrap();
        assert_eq!(slow, "throughput <= 100k/s: throughput is 20,001 messages/s");
        assert!(fires("throughput < 100K", &measurement).is_some());
    }

    #[test]
    fn a_terminal_gets_a_condition_escaped() {
        let fired = fires("p99 >\r\u{85}\u{2028}1us", &example::open()).unwrap();
        let shown = fired.on_terminal();
        assert!(!shown.contains(['\r', '\u{85}', '\u{2028}']), "{shown:?}");
    }

    #[test]
    fn errors_are_counted_over_all_kinds() {
        let mut measurement = example::open();
        assert_eq!(fires("errors > 0", &measurement), None);
        measurement.errors.extend([(ErrorKind::Reset, 2), (ErrorKind::Lost, 1)]);
        assert_eq!(fires("errors > 0", &measurement).unwrap(), "errors > 0: errors is 3");
    }

    #[test]
    fn what_is_not_there_cannot_be_shown_not_to_hold() {
        let mut measurement = example::open();
        for (text, reason) in [
            ("p99.9 > 1s", "p99.9 needs 10,000 samples, there are 2,000"),
            ("p75 > 1s", "p75 was not recorded, there are 2,000"),
        ] {
            let fired = fires(text, &measurement).unwrap();
            assert!(fired.contains("cannot be shown not to hold") && fired.contains(reason));
        }
        measurement.validity = Validity::Invalid { reasons: vec!["late".into()] };
        assert!(fires("max > 1s", &measurement).unwrap().contains(": the run is invalid"));
        assert_eq!(fires("errors > 0", &measurement), None);
    }

    #[test]
    fn a_load_is_told_which_percentile_is_needed() {
        assert_eq!(Condition::parse("p99.99 > 1ms").unwrap().percentile(), Some(99.99));
        assert_eq!(Condition::parse("max > 1ms").unwrap().percentile(), None);
    }

    #[test]
    fn a_mistake_is_answered_with_what_to_write() {
        for (text, part) in [
            ("p99", "write it as 'p99 > 2ms'"),
            ("p99 = 2ms", "write it as"),
            ("latency > 2ms", "write p50, p99.9"),
            ("p100 > 2ms", "below p100"),
            ("p99 > 2", "write 800us or 2ms"),
            ("p99 > 2 MB", "write 800us or 2ms"),
            ("p99 > -2ms", "write 800us or 2ms"),
            ("errors > 1ms", "write 0 or 1k"),
            ("throughput < x", "100k or 1.5M"),
            ("errors > 1k/s", "write 0 or 1k"),
            ("pp99 > 2ms", "write p50, p99.9"),
        ] {
            let message = Condition::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
