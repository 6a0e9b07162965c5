//! The doctor's report, as the parts of a page.

use harness::row::Row;
use report::Outside;
use report::host::{Availability, Hint, Host, Seccomp, size};
use report::outside;
use report::part::{Block, Definition, Definitions, Entry, Head, Medium, Part, Style, Table};

use super::judge::{Diagnosis, judge};
use super::{affected_rows, count_runnable, sockets};

/// The host, its drivers with the rows they affect, its limits, its sockets and its counters.
pub(super) fn parts(host: &Host, rows: &[Row], medium: Medium) -> Vec<Part> {
    match medium {
        Medium::Terminal => terminal(host, rows),
        Medium::Page => page(host, rows),
    }
}

fn terminal(host: &Host, rows: &[Row]) -> Vec<Part> {
    let drivers = host.drivers.iter().map(|driver| {
        let mut entry = probe_definition(&driver.name, &driver.state);
        let affected = affected_rows(driver, host, rows);
        if !affected.is_empty() {
            let line = format!("affects: {}", affected.join(", "));
            entry.blocks.push(Block::Paragraph(line.into()));
        }
        entry
    });
    let title = match rows.len() {
        0 => "drivers".to_owned(),
        all => format!("drivers ({} of {all} rows can run here)", count_runnable(host, rows)),
    };
    let counters =
        host.counters.iter().map(|counter| probe_definition(&counter.name, &counter.state));
    let rings = ring_rows(host, rows);
    let rings: Vec<_> = rings.iter().map(|(row, state)| probe_definition(row, state)).collect();
    let mut parts = vec![
        Part::lines(identity(host)),
        Part::Definitions(vec![
            Definitions { title: title.into(), entries: drivers.collect() },
            Definitions {
                title: "limits".into(),
                entries: judge(host).into_iter().map(diagnosis_definition).collect(),
            },
            Definitions {
                title: "sockets, as tried".into(),
                entries: sockets::judge(host).into_iter().map(diagnosis_definition).collect(),
            },
            Definitions { title: "counters".into(), entries: counters.collect() },
        ]),
    ];
    if !rings.is_empty() {
        // In a part of its own, because the names are long.
        let title = "rows on io_uring".into();
        parts.push(Part::Definitions(vec![Definitions { title, entries: rings }]));
    }
    parts
}

/// The rows on io_uring, and whether the kernel's io_uring does for each.
fn ring_rows(host: &Host, rows: &[Row]) -> Vec<(Outside, Availability)> {
    let state = |row: &Row| Some((row.name.clone().into(), row.ring_state(host)?));
    rows.iter().filter_map(state).collect()
}

fn probe_definition(name: &Outside, state: &Availability) -> Definition {
    match state {
        Availability::Available { details } => {
            definition(name, outside!("available: {}", details), None)
        }
        Availability::Unavailable { reason, fix: None } => {
            definition(name, outside!("not available: {}", reason), None)
        }
        Availability::Unavailable { reason, fix } => {
            definition(name, outside!("NOT available: {}", reason), fix.as_ref())
        }
    }
}

fn diagnosis_definition(Diagnosis { name, found, verdict, fix }: Diagnosis) -> Definition {
    definition(&name.into(), outside!("{}: {}", found, verdict), fix.as_ref())
}

fn definition(name: &Outside, sentence: Outside, fix: Option<&Outside>) -> Definition {
    let mut blocks = vec![Block::Paragraph(sentence.into())];
    blocks.extend(fix.map(|fix| Block::Unbroken(outside!("fix: {}", fix).into())));
    Definition { term: name.clone(), blocks }
}

fn page(host: &Host, rows: &[Row]) -> Vec<Part> {
    let mut facts = identity(host);
    if !rows.is_empty() {
        let runnable = count_runnable(host, rows);
        facts.push(format!("{runnable} of {} rows can run here", rows.len()).into());
    }
    let drivers = host.drivers.iter().map(|driver| {
        let mut cells = availability_row(&driver.name, &driver.state);
        cells.push(affected_rows(driver, host, rows).join(", ").into());
        cells
    });
    let rings = ring_rows(host, rows);
    let rings: Vec<_> = rings.iter().map(|(row, state)| availability_row(row, state)).collect();
    let limits = judge(host).into_iter().map(diagnosis_row);
    let sockets = sockets::judge(host).into_iter().map(diagnosis_row);
    let counters =
        host.counters.iter().map(|counter| availability_row(&counter.name, &counter.state));
    let mut parts = vec![
        Part::Section("Host".into()),
        Part::list("", facts),
        table(&["driver", "available", "found", "fix", "affects"], drivers),
        table(&["limit", "here", "judgement", "fix"], limits),
        table(&["sockets", "here", "judgement", "fix"], sockets),
        table(&["counter", "available", "found", "fix"], counters),
    ];
    if !rings.is_empty() {
        parts.push(table(&["row on io_uring", "available", "found", "fix"], rings.into_iter()));
    }
    parts
}

fn diagnosis_row(Diagnosis { name, found, verdict, fix }: Diagnosis) -> Vec<Entry> {
    vec![name.into(), found.into(), verdict.into(), fix.unwrap_or_default().into()]
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<Entry>>) -> Part {
    let heads = heads.iter().copied().map(Head::new).collect();
    Part::Table(Table::plain("", Style::Words, heads, rows.collect()))
}

/// The name, whether it is available, what was found, and the fix.
fn availability_row(name: &Outside, state: &Availability) -> Vec<Entry> {
    let (available, found, fix) = match state {
        Availability::Available { details } => ("yes", details, None),
        Availability::Unavailable { reason, fix } => ("no", reason, fix.clone()),
    };
    vec![name.into(), available.into(), found.into(), fix.unwrap_or_default().into()]
}

/// Describes the machine in lines of related facts. Unknown facts are left out.
fn identity(host: &Host) -> Vec<Outside> {
    let hint = |kind: &str, hint: &Option<Hint>| {
        hint.as_ref().map(|hint| outside!("{}: {} ({})", kind, hint.name, hint.evidence))
    };
    let system = [Some(&host.os), host.kernel.as_ref(), Some(&host.arch)];
    let machine = [host.cpu_model.clone(), host.memory_bytes.map(|bytes| size(bytes).into())];
    let runner = host.runner.as_ref().map(|runner| {
        let parts = [&runner.image, &runner.image_version, &runner.name];
        outside!("runner: {}", Outside::join(parts.into_iter().flatten(), " "))
    });
    [
        Some(Outside::join(system.into_iter().flatten(), " ")),
        Some(Outside::join(machine.iter().flatten(), ", ")),
        hint("virtualisation", &host.virtualisation),
        hint("container", &host.container),
        host.seccomp.map(|mode| format!("seccomp: {}", seccomp(mode)).into()),
        runner,
    ]
    .into_iter()
    .flatten()
    .filter(|line| !line.is_empty())
    .collect()
}

fn seccomp(mode: Seccomp) -> &'static str {
    match mode {
        Seccomp::Off => "off",
        Seccomp::Strict => "strict mode",
        Seccomp::Filter => "filter mode",
    }
}
