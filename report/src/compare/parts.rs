//! A comparison as the parts of a page: first what changed, then what could not be compared.

use super::benches::{COUNT_GATE, TIME_GATE};
use super::{
    BenchComparison, Change, Comparison, Judgement, RunComparison, TimeComparison, Turn, TurnedCell,
};
use crate::document::Document as _;
use crate::exit::Exit;
use crate::outside;
use crate::outside::Outside;
use crate::part::{Entry, Head, Part, Style, Table};
use crate::quantity::{format_count, percent};

pub(super) fn parts(comparison: &Comparison) -> Vec<Part> {
    let mut parts = vec![Part::Title(outside!("{} -> {}", comparison.before, comparison.after))];
    let runs = &comparison.runs;
    if !runs.is_empty() {
        parts.push(Part::lines(runs.iter().map(conformance)));
        parts.push(Part::list("newly red", turned_cells(runs, Turn::Red)));
        parts.push(Part::list("fixed", turned_cells(runs, Turn::Fixed)));
        parts.push(Part::list("newly not judged", turned_cells(runs, Turn::Unavailable)));
        parts.push(Part::list(
            "no longer judged: the judge could not decide",
            turned_cells(runs, Turn::Error),
        ));
        parts.push(Part::list("judged again", turned_cells(runs, Turn::Judged)));
    }
    let benches = &comparison.benches;
    if !benches.is_empty() {
        parts.push(Part::lines(benches.iter().flat_map(summary)));
        parts.push(Part::Table(changes(benches)));
        let lost = benches.iter().flat_map(|bench| bench.lost.clone());
        parts.push(Part::list("no longer measured", lost));
        let no_data = benches.iter().flat_map(|bench| bench.no_data.clone());
        parts.push(Part::list("not compared, for want of data", no_data));
    }
    parts.push(Part::list("only in one of them", unpaired_lines(comparison)));
    parts.push(Part::list("not comparable", incomparable_lines(comparison)));
    parts.push(Part::lines([conclusion(comparison)]));
    parts
}

fn conformance(run: &RunComparison) -> Outside {
    let count = |turn| run.cells_that_turned(turn).count();
    outside!(
        "conformance on {}: {} newly red, {} fixed, {} newly not judged ({} judged in neither)",
        run.label,
        count(Turn::Red),
        count(Turn::Fixed),
        count(Turn::Unavailable),
        format_count(run.absent_in_both as u64, "cell"),
    )
}

fn turned_cells(runs: &[RunComparison], turn: Turn) -> Vec<Outside> {
    let line = |run: &RunComparison, cell: &TurnedCell| {
        let TurnedCell { row, case, before, after, .. } = cell;
        outside!("{} {}::{}: {} -> {}", run.label, row, case, before, after)
    };
    runs.iter().flat_map(|run| run.cells_that_turned(turn).map(|cell| line(run, cell))).collect()
}

/// One line about counts and one about times.
fn summary(bench: &BenchComparison) -> [Outside; 2] {
    let tally = |is_time: bool| {
        let of = |judgement| {
            bench.changes_with(judgement).filter(|c| c.chance.is_some() == is_time).count()
        };
        let regressions = format_count(of(Judgement::Regression) as u64, "regression");
        let improvements = format_count(of(Judgement::Improvement) as u64, "improvement");
        let same = of(Judgement::NoClearDifference);
        format!("{regressions}, {improvements}, {same} with no clear difference")
    };
    let label = &bench.label;
    let few = bench.changes_with(Judgement::TooFewRounds).count();
    let few = if few == 0 { String::new() } else { format!(", {few} with too few rounds") };
    let gate = percent(TIME_GATE);
    let judged = format!("{}{few}; a change is above {gate} and beyond chance", tally(true));
    let times = match &bench.times {
        TimeComparison::Compared => judged.into(),
        TimeComparison::Forced { differences } => {
            outside!("{}; forced, for another host ({})", judged, Outside::join(differences, ", "))
        }
        TimeComparison::NotCompared { differences } => {
            let differences = Outside::join(differences, ", ");
            outside!("not compared: other host ({}); --force compares them", differences)
        }
    };
    [
        outside!("counts on {}: {}; the gate is {}", label, tally(false), percent(COUNT_GATE)),
        outside!("times on {}: {}", label, times),
    ]
}

/// Only what changed; the rest is in the JSON.
fn changes(benches: &[BenchComparison]) -> Table {
    let mut rows = Vec::new();
    for bench in benches {
        for judgement in [Judgement::Regression, Judgement::Improvement] {
            rows.extend(bench.changes_with(judgement).map(|change| line(bench, change)));
        }
    }
    let heads = ["row", "host", "what", "unit", "before", "after", "change", "that is"];
    Table::plain("changes", Style::Numbers, heads.map(Head::new).to_vec(), rows)
}

fn line(bench: &BenchComparison, change: &Change) -> Vec<Entry> {
    let Change { row, metric, before, after, .. } = change;
    let relative = match *before {
        0.0 => "from 0".to_owned(),
        before => format!("{:+.0} %", (after / before - 1.0) * 100.0),
    };
    vec![
        row.clone().into(),
        bench.label.clone().into(),
        metric.name().into(),
        metric.unit().0.into(),
        metric.format(*before).into(),
        metric.format(*after).into(),
        relative.into(),
        judgement(change.judgement).into(),
    ]
}

fn judgement(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Regression => "a regression",
        Judgement::Improvement => "an improvement",
        Judgement::NoClearDifference => "no clear difference",
        Judgement::TooFewRounds => "too few rounds",
    }
}

fn unpaired_lines(comparison: &Comparison) -> Vec<Outside> {
    let mut found =
        [comparison.unpaired_before.clone(), comparison.unpaired_after.clone()].concat();
    let mut add = |label: &Outside, before: &[Outside], after: &[Outside]| {
        for (side, names) in [(&comparison.before, before), (&comparison.after, after)] {
            if !names.is_empty() {
                let names = Outside::join(names, ", ");
                found.push(outside!("{}, only in {}: {}", label, side, names));
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

fn incomparable_lines(comparison: &Comparison) -> Vec<Outside> {
    let lines = |run: &RunComparison| {
        let none = (run.common == 0).then(|| outside!("{}: no cell in common", run.label));
        let line = |difference: &Outside| outside!("{}: {}", run.label, difference);
        run.not_comparable.iter().map(line).chain(none).collect::<Vec<_>>()
    };
    comparison.runs.iter().flat_map(lines).collect()
}

fn conclusion(comparison: &Comparison) -> Outside {
    match comparison.exit(&()) {
        Exit::Red => "red: something is worse".into(),
        Exit::Error if !incomparable_lines(comparison).is_empty() => {
            "no verdict: these results are not comparable".into()
        }
        Exit::Error => "no verdict: something is no longer judged or measured".into(),
        Exit::Green
        | Exit::Usage
        | Exit::Unavailable
        | Exit::ConditionFired
        | Exit::Interrupted => "green: nothing is worse".into(),
    }
}
