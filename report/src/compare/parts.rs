//! A comparison as the parts of a page: what changed first, then what could not be compared.

use super::benches::{COUNT_GATE, TIME_GATE};
use super::{BenchComparison, Change, Comparison, Outcome, RunComparison, Times, Turn, Turned};
use crate::document::Document as _;
use crate::exit::Exit;
use crate::part::{Head, Part, Table};
use crate::quantity::{counted, percent};

pub(super) fn parts(comparison: &Comparison) -> Vec<Part> {
    let mut parts = vec![Part::Title(format!("{} -> {}", comparison.before, comparison.after))];
    let runs = &comparison.runs;
    if !runs.is_empty() {
        parts.push(Part::Lines(runs.iter().map(conformance).collect()));
        parts.push(Part::List("newly red", turned(runs, Turn::Red)));
        parts.push(Part::List("fixed", turned(runs, Turn::Fixed)));
        parts.push(Part::List("newly not judged", turned(runs, Turn::Unavailable)));
        parts.push(Part::List(
            "no longer judged: an error of the harness",
            turned(runs, Turn::Error),
        ));
        parts.push(Part::List("judged again", turned(runs, Turn::Judged)));
    }
    let benches = &comparison.benches;
    if !benches.is_empty() {
        parts.push(Part::Lines(benches.iter().flat_map(summary).collect()));
        parts.push(Part::Table(changes(benches)));
        let lost = benches.iter().flat_map(|bench| bench.lost.clone()).collect();
        parts.push(Part::List("no longer measured", lost));
        let no_data = benches.iter().flat_map(|bench| bench.no_data.clone()).collect();
        parts.push(Part::List("not compared, for want of data", no_data));
    }
    parts.push(Part::List("only in one of them", alone(comparison)));
    parts.push(Part::Lines(vec![conclusion(comparison)]));
    parts
}

fn conformance(run: &RunComparison) -> String {
    let count = |turn| run.turned(turn).count();
    format!(
        "conformance on {}: {} newly red, {} fixed, {} newly not judged ({} judged in neither)",
        run.label,
        count(Turn::Red),
        count(Turn::Fixed),
        count(Turn::Unavailable),
        counted(run.absent_in_both as u64, "cell"),
    )
}

fn turned(runs: &[RunComparison], turn: Turn) -> Vec<String> {
    let line = |run: &RunComparison, cell: &Turned| {
        let Turned { row, case, before, after, .. } = cell;
        format!("{} {row}::{case}: {before} -> {after}", run.label)
    };
    runs.iter().flat_map(|run| run.turned(turn).map(|cell| line(run, cell))).collect()
}

/// A line about counts and one about times.
fn summary(bench: &BenchComparison) -> [String; 2] {
    let tally = |is_time: bool| {
        let of = |outcome| bench.of(outcome).filter(|c| c.chance.is_some() == is_time).count();
        let regressions = counted(of(Outcome::Regression) as u64, "regression");
        let improvements = counted(of(Outcome::Improvement) as u64, "improvement");
        let same = of(Outcome::NoClearDifference);
        format!("{regressions}, {improvements}, {same} with no clear difference")
    };
    let label = &bench.label;
    let few = bench.of(Outcome::TooFewRounds).count();
    let few = if few == 0 { String::new() } else { format!(", {few} with too few rounds") };
    let gate = percent(TIME_GATE);
    let judged = format!("{}{few}; a change is above {gate} and beyond chance", tally(true));
    let times = match &bench.times {
        Times::Compared => judged,
        Times::Forced { differences } => {
            format!("{judged}; forced, for another host ({})", differences.join(", "))
        }
        Times::NotCompared { differences } => {
            let differences = differences.join(", ");
            format!("not compared: other host ({differences}); --force compares them")
        }
    };
    [
        format!("counts on {label}: {}; the gate is {}", tally(false), percent(COUNT_GATE)),
        format!("times on {label}: {times}"),
    ]
}

/// Only what changed; a program gets the rest from the JSON.
fn changes(benches: &[BenchComparison]) -> Table {
    let mut rows = Vec::new();
    for bench in benches {
        for outcome in [Outcome::Regression, Outcome::Improvement] {
            rows.extend(bench.of(outcome).map(|change| line(bench, change)));
        }
    }
    let heads = ["row", "host", "what", "unit", "before", "after", "change", "that is"];
    Table::plain("changes", heads.map(|head| Head::of(head, "")).to_vec(), rows)
}

fn line(bench: &BenchComparison, change: &Change) -> Vec<String> {
    let Change { row, metric, before, after, .. } = change;
    let relative = match *before {
        0.0 => "from 0".to_owned(),
        before => format!("{:+.0} %", (after / before - 1.0) * 100.0),
    };
    vec![
        row.clone(),
        bench.label.clone(),
        metric.name().to_owned(),
        metric.unit().0.to_owned(),
        metric.shown(*before),
        metric.shown(*after),
        relative,
        outcome(change.outcome).to_owned(),
    ]
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Regression => "a regression",
        Outcome::Improvement => "an improvement",
        Outcome::NoClearDifference => "no clear difference",
        Outcome::TooFewRounds => "too few rounds",
    }
}

fn alone(comparison: &Comparison) -> Vec<String> {
    let mut found = comparison.unpaired.clone();
    let mut add = |label: &str, before: &[String], after: &[String]| {
        for (side, names) in [(&comparison.before, before), (&comparison.after, after)] {
            if !names.is_empty() {
                found.push(format!("{label}, only in {side}: {}", names.join(", ")));
            }
        }
    };
    for run in &comparison.runs {
        add(&run.label, &run.only_before, &run.only_after);
    }
    for bench in &comparison.benches {
        add(&bench.label, &bench.only_before, &bench.only_after);
    }
    found
}

fn conclusion(comparison: &Comparison) -> String {
    match comparison.exit(&()) {
        Exit::Red => "red: something is worse".to_owned(),
        Exit::Error => "no verdict: something can no longer be judged or measured".to_owned(),
        Exit::Green
        | Exit::Usage
        | Exit::Unavailable
        | Exit::ConditionFired
        | Exit::Interrupted => "green: nothing is worse".to_owned(),
    }
}
