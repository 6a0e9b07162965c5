//! A load as the parts of a page: first what was asked; then per run counts, rates, times, and
//! whether the generator kept up. An invalid run shows counts and reasons, but no rate or time of
//! the server.

use std::collections::BTreeSet;

use super::summary::{self, Statistic};
use super::{Arrival, Ending, Latency, LoadResult, Measurement, Validity};
use crate::host::group_digits;
use crate::outside;
use crate::outside::Outside;
use crate::part::{Entry, Head, Medium, Part, Style, Table};
use crate::quantity::{bytes, format_count, number, percent, seconds, time};

type Fields = Vec<(Outside, Outside)>;

pub(super) fn parts(result: &LoadResult, medium: Medium) -> Vec<Part> {
    match medium {
        Medium::Terminal => terminal(result),
        Medium::Page => page(result),
    }
}

fn terminal(result: &LoadResult) -> Vec<Part> {
    let workload = &result.workload;
    let arrival: Outside = match workload.arrival {
        Arrival::Open { .. } => {
            format!("{}, latency from the planned send", workload.arrival).into()
        }
        Arrival::Closed => "closed loop: latency hides stalls, use --rate for latency".into(),
    };
    let target = outside!("{}: {}", workload.target.words(), workload.details());
    let mut parts = vec![Part::lines([arrival, target])];
    let runs = result.measurements.len();
    for (index, measurement) in result.measurements.iter().enumerate() {
        let title = (runs > 1).then(|| format!("run {} of {runs}", index + 1).into());
        parts.push(Part::Fields(title, run_fields(measurement)));
    }
    if runs > 1 {
        parts.push(Part::Fields(None, runs_and_median(result)));
    }
    parts
}

/// The fields of a single run.
fn run_fields(measurement: &Measurement) -> Fields {
    let mut fields = Vec::new();
    if let Some(sentence) = partial_sentence(measurement.ending) {
        fields.push(("partial".into(), sentence.into()));
    }
    let traffic = measurement.traffic;
    let counts = format!(
        "{} sent, {} echoed, {}",
        group_digits(traffic.sent),
        group_digits(traffic.echoed),
        errors(measurement)
    );
    fields.push(("messages".into(), counts.into()));
    match &measurement.validity {
        Validity::Valid => fields.extend(numbers(measurement)),
        Validity::Invalid { reasons } => {
            let lag = send_lag(measurement).join(", ");
            let invalid = outside!("{}: invalid: {}", lag, Outside::join(reasons, "; "));
            fields.push(("generator".into(), invalid));
            let none = "an invalid run gives neither a rate nor a latency";
            fields.push(("no numbers".into(), none.into()));
        }
    }
    fields.extend(measurement.notes.iter().map(|note| ("note".into(), note.clone())));
    fields
}

/// The numbers of a valid measurement.
fn numbers(measurement: &Measurement) -> Fields {
    let mut fields = Vec::new();
    if let Some(rates) = measurement.throughput {
        let messages = number(rates.messages_per_second);
        let each_way = mebibytes(rates.bytes_per_second);
        fields.push(("rate".into(), format!("{messages} messages/s   {each_way} each way").into()));
    }
    let mut missing = BTreeSet::new();
    for (name, latency, from) in [
        ("response", &measurement.response, "from the planned send"),
        ("service", &measurement.service, "from the real send"),
        ("send lag", &measurement.send_lag, "from due to sent: the generator's own lateness"),
        ("connect", &measurement.connect, "from connect to connected"),
    ] {
        let Some(latency) = latency else { continue };
        let samples = format_count(latency.samples, "sample");
        fields.push((name.into(), format!("{}   ({samples}, {from})", times(latency)).into()));
        missing.extend(absence_reasons(latency));
    }
    if !missing.is_empty() {
        let reasons: Vec<String> = missing.into_iter().collect();
        let reasons = format!("too few samples: {}", reasons.join(", "));
        fields.push(("-".into(), reasons.into()));
    }
    fields.push(("generator".into(), generator(measurement).into()));
    fields
}

/// The percentiles and the maximum; `-` for a percentile with too few samples.
fn times(latency: &Latency) -> String {
    let shown = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| time(ns as f64));
    let mut parts: Vec<String> =
        latency.percentiles.iter().map(|p| format!("{} {}", p.name(), shown(p.ns))).collect();
    parts.push(format!("max {}", shown(Some(latency.max_ns))));
    parts.join("   ")
}

/// Why percentiles are missing, one sentence each, without a full stop.
fn absence_reasons(latency: &Latency) -> impl Iterator<Item = String> {
    let missing = latency.percentiles.iter().filter(|p| p.ns.is_none());
    missing.map(|p| latency.absence(p.percent))
}

/// CPU time, share and lateness of the generator, for a valid run.
fn generator(measurement: &Measurement) -> String {
    let generator = &measurement.generator;
    let mut parts = Vec::new();
    if let (Some(cpu), echoed @ 1..) = (generator.cpu_seconds, measurement.traffic.echoed) {
        parts.push(format!("{} of CPU a message", time(cpu * 1e9 / echoed as f64)));
    }
    if let Some(share) = generator.busiest_share {
        parts.push(format!("busiest thread {} of a core", percent(share)));
    }
    if let Some(share) = generator.waits_share {
        parts.push(format!("waited {} of the times it looked", percent(share)));
    }
    parts.extend(send_lag(measurement));
    format!("{}: valid", parts.join(", "))
}

/// The generator's lateness, which an invalid run shows too.
fn send_lag(measurement: &Measurement) -> Vec<String> {
    let lag = measurement.send_lag.as_ref().map(|lag| match lag.percentile_ns(99.0) {
        Some(ns) => format!("send lag p99 {}", time(ns as f64)),
        None => format!("send lag max {}", time(lag.max_ns as f64)),
    });
    let jitter = measurement.generator.jitter_p99_ns;
    let jitter = jitter.map(|ns| format!("this host's own jitter p99 {}", time(ns as f64)));
    let parts: Vec<String> = lag.into_iter().chain(jitter).collect();
    if parts.is_empty() {
        vec![format_count(measurement.generator.threads.into(), "thread")]
    } else {
        parts
    }
}

/// `3 errors (2 reset, 1 lost)`.
fn errors(measurement: &Measurement) -> String {
    let counted = format_count(measurement.error_count(), "error");
    let kinds = measurement.errors.iter().filter(|(_, count)| **count > 0);
    let kinds: Vec<String> =
        kinds.map(|(kind, count)| format!("{} {kind}", group_digits(*count))).collect();
    if kinds.is_empty() { counted } else { format!("{counted} ({})", kinds.join(", ")) }
}

/// Says that a run was cut short.
fn partial_sentence(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::Complete => None,
        Ending::Interrupted => Some("interrupted by the user: what is here is a part"),
        Ending::Abandoned => Some("abandoned before its end"),
    }
}

fn mebibytes(bytes_per_second: f64) -> String {
    const FEW: f64 = 100.0 * 1024.0;
    match bytes_per_second {
        few if few < FEW => format!("{}/s", bytes(few)),
        many => format!("{} MiB/s", number(many / 1_048_576.0)),
    }
}

/// One line per run, and their median.
fn runs_and_median(result: &LoadResult) -> Fields {
    let statistics = summary::statistics(result);
    let mut fields = Vec::new();
    for (index, measurement) in result.measurements.iter().enumerate() {
        let shown = match measurement.validity {
            Validity::Valid => values(&statistics, |statistic| statistic.run_value(measurement)),
            Validity::Invalid { .. } => "invalid, no numbers".to_owned(),
        };
        let partial = partial_sentence(measurement.ending).map_or("", |_| ", partial");
        let length = seconds((measurement.seconds * 10.0).round() / 10.0);
        let line = format!("{shown}   {} in {length}{partial}", errors(measurement));
        fields.push((format!("run {}", index + 1).into(), line.into()));
    }
    let counting = result.measurements.iter().filter(|m| m.flaw().is_none()).count();
    let median = match counting {
        0 => "none: no run counts".to_owned(),
        _ => values(&statistics, |statistic| statistic.median(&result.measurements)),
    };
    let of = format!("of the {counting} runs that count, of {}", result.measurements.len());
    fields.push(("median".into(), format!("{median}   ({of})").into()));
    fields
}

fn values(statistics: &[Statistic], value: impl Fn(&Statistic) -> Option<f64>) -> String {
    let shown = statistics.iter().map(|statistic| statistic.format_with_name(value(statistic)));
    shown.collect::<Vec<_>>().join("   ")
}

/// One table row per run, their median, and below them what the numbers rest on.
fn page(result: &LoadResult) -> Vec<Part> {
    let workload = &result.workload;
    let loop_sentence = match workload.arrival {
        Arrival::Open { .. } => "Open loop: latency is response, from the planned send.",
        Arrival::Closed => "Closed loop: latency hides stalls, use --rate for latency.",
    };
    vec![
        Part::Title(outside!("load on {}", workload.target.words())),
        Part::lines([
            format!("{}.", workload.describe()).into(),
            loop_sentence.into(),
            outside!("Host: {}.", result.host.describe()),
        ]),
        Part::Table(runs(result)),
        Part::list("what the runs rest on", points(result, basis)),
        Part::list("notes", points(result, |measurement| measurement.notes.clone())),
    ]
}

fn runs(result: &LoadResult) -> Table {
    let statistics = summary::statistics(result);
    let mut heads = vec![Head::new("run")];
    heads.extend(statistics.iter().map(|statistic| Head::new(statistic.name())));
    let last = ["each way", "sent", "echoed", "errors", "validity"];
    heads.extend(last.map(Head::new));
    let cells = |statistic: &Statistic, of: &dyn Fn(&Statistic) -> Option<f64>| {
        Entry::from(statistic.format_value(of(statistic)))
    };
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    for (index, measurement) in result.measurements.iter().enumerate() {
        let mut row = vec![(index + 1).to_string().into()];
        row.extend(statistics.iter().map(|s| cells(s, &|s| s.run_value(measurement))));
        row.extend(counts(measurement).map(Entry::from));
        rows.push(row);
    }
    if result.measurements.len() > 1 {
        let mut row = vec!["median".into()];
        row.extend(statistics.iter().map(|s| cells(s, &|s| s.median(&result.measurements))));
        row.extend(last.map(|_| Entry::from("")));
        rows.push(row);
    }
    Table::plain("runs", Style::Numbers, heads, rows)
}

fn counts(measurement: &Measurement) -> [String; 5] {
    let (validity, rates) = match &measurement.validity {
        Validity::Valid => ("valid", measurement.throughput),
        Validity::Invalid { .. } => ("invalid", None),
    };
    let word = match partial_sentence(measurement.ending) {
        Some(_) => format!("{validity}, {}", measurement.ending),
        None => validity.to_owned(),
    };
    [
        rates.map_or_else(|| "-".to_owned(), |rates| mebibytes(rates.bytes_per_second)),
        group_digits(measurement.traffic.sent),
        group_digits(measurement.traffic.echoed),
        errors(measurement),
        word,
    ]
}

/// Samples, missing percentiles, the generator's lateness, and why a run is invalid.
fn basis(measurement: &Measurement) -> Vec<Outside> {
    let mut points: Vec<Outside> = Vec::new();
    if let Validity::Invalid { reasons } = &measurement.validity {
        points.push(outside!("invalid: {}", Outside::join(reasons, "; ")));
    } else {
        for (name, latency) in
            [("response", &measurement.response), ("service", &measurement.service)]
        {
            let Some(latency) = latency else { continue };
            points.push(format!("{name}: {} samples", group_digits(latency.samples)).into());
            points
                .extend(absence_reasons(latency).map(|reason| format!("{name}: {reason}").into()));
        }
    }
    points.extend(partial_sentence(measurement.ending).map(Outside::from));
    points.push(send_lag(measurement).join(", ").into());
    points
}

/// What there is to say about each run, with the run's number if there are several.
fn points(result: &LoadResult, of: impl Fn(&Measurement) -> Vec<Outside>) -> Vec<Outside> {
    let several = result.measurements.len() > 1;
    let named = |(index, measurement)| {
        let points = of(measurement).into_iter();
        points.map(move |point| match several {
            true => outside!("run {}: {}", index + 1, point),
            false => point,
        })
    };
    result.measurements.iter().enumerate().flat_map(named).collect()
}
