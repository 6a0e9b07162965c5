//! What changed between two sets of results: cells that turned red or green, counts beyond a gate,
//! and times whose rounds differ. Pure functions of the results.

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::document::{Document, Kind};
use crate::exit::{Conclusion, Conclusions};
use crate::format::Format;
use crate::outside;
use crate::outside::Outside;
use crate::pages::Pages;
use crate::part::{Medium, Part};
use crate::run::Run;

mod benches;
mod cells;
mod circumstances;
mod parts;
#[cfg(test)]
mod tests;

pub use benches::{BenchComparison, Change, Judgement, TimeComparison};
pub use cells::{RunComparison, Turn, TurnedCell};
pub use circumstances::{host_differences, is_same_host, workload_differences};

/// The version of the format of comparisons that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// The user's name for it: a folder or a file.
    pub name: Outside,
    pub runs: Vec<Run>,
    pub benches: Vec<Bench>,
}

/// Whether times are compared if the hosts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherHosts {
    /// They are not, because they would show the difference between the hosts.
    CountsOnly,
    /// They are (`--force`).
    TimesToo,
}

/// Everything that changed from one side to the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// The user's name for the first side.
    pub before: Outside,
    /// The user's name for the second side.
    pub after: Outside,
    /// The checks that both sides have.
    pub runs: Vec<RunComparison>,
    /// The benches that both sides have.
    pub benches: Vec<BenchComparison>,
    /// Results that only the first side has, one sentence each, without a full stop.
    pub unpaired_before: Vec<Outside>,
    /// Results that only the second side has, one sentence each, without a full stop.
    pub unpaired_after: Vec<Outside>,
}

/// Compares the results that both sides have. Results with the same label belong together. If each
/// side has a single result of a kind, the two belong together whatever their labels.
///
/// # Errors
/// What cannot be compared, and why.
pub fn compare(
    before: &Results,
    after: &Results,
    other_hosts: OtherHosts,
) -> Result<Comparison, Outside> {
    let mut unpaired = Unpaired::default();
    let label = |run: &Run| run.label.clone();
    let runs = pair_results((before, &before.runs), (after, &after.runs), label, &mut unpaired)?;
    let label = |bench: &Bench| outside!("{}, a bench", bench.label);
    let benches =
        pair_results((before, &before.benches), (after, &after.benches), label, &mut unpaired)?;
    if runs.is_empty() && benches.is_empty() {
        let all: Vec<Outside> = [unpaired.before, unpaired.after].concat();
        let reason = match all.is_empty() {
            true => "both are empty".into(),
            false => Outside::join(&all, "; "),
        };
        return Err(outside!(
            "{} and {} have nothing in common: {}",
            before.name,
            after.name,
            reason
        ));
    }
    let all = before.runs.iter().map(|run| (before, run));
    let all = all.chain(after.runs.iter().map(|run| (after, run)));
    if let Some((side, run)) = all.into_iter().find(|(_, run)| run.missing_cells() > 0) {
        return Err(outside!(
            "the run of {} in {} was cut off: {} of {} cells are judged",
            run.label,
            side.name,
            run.cells.len(),
            run.planned
        ));
    }
    let runs: Vec<RunComparison> =
        runs.into_iter().map(|(one, other)| cells::compare(one, other)).collect();
    if benches.is_empty() && runs.iter().all(|run| run.common == 0) {
        return Err(outside!(
            "{} and {} have no cell in common; compare checks of the same rows and cases",
            before.name,
            after.name
        ));
    }
    let benches: Result<Vec<_>, Outside> =
        benches.into_iter().map(|(one, other)| benches::compare(one, other, other_hosts)).collect();
    Ok(Comparison {
        version: FORMAT_VERSION,
        before: before.name.clone(),
        after: after.name.clone(),
        runs,
        benches: benches?,
        unpaired_before: unpaired.before,
        unpaired_after: unpaired.after,
    })
}

/// Results that only one side has.
#[derive(Default)]
struct Unpaired {
    before: Vec<Outside>,
    after: Vec<Outside>,
}

/// The results of both sides that belong together. Names the others in `unpaired`.
fn pair_results<'a, T>(
    (before, ours): (&Results, &'a [T]),
    (after, theirs): (&Results, &'a [T]),
    label: impl Fn(&T) -> Outside,
    unpaired: &mut Unpaired,
) -> Result<Vec<(&'a T, &'a T)>, Outside> {
    if let ([one], [other]) = (ours, theirs) {
        return Ok(vec![(one, other)]);
    }
    for (side, list) in [(before, ours), (after, theirs)] {
        let labels: Vec<Outside> = list.iter().map(&label).collect();
        let twice = labels.iter().enumerate().find(|(index, name)| labels[..*index].contains(name));
        if let Some((_, name)) = twice {
            return Err(outside!("{} has two results of {}: name one of them", side.name, name));
        }
    }
    let mut found = Vec::new();
    for one in ours {
        match theirs.iter().find(|other| label(other) == label(one)) {
            Some(other) => found.push((one, other)),
            None => unpaired.before.push(outside!("only {} has {}", before.name, label(one))),
        }
    }
    let alone = theirs.iter().filter(|other| !ours.iter().any(|one| label(one) == label(other)));
    unpaired.after.extend(alone.map(|other| outside!("only {} has {}", after.name, label(other))));
    Ok(found)
}

impl Document for Comparison {
    const KIND: Kind = Kind::Comparison;
    const VERSION: u32 = FORMAT_VERSION;

    /// Red for a regression; an error if something can no longer be judged or measured.
    fn conclusions(&self, (): &()) -> Conclusions {
        let runs = self.runs.iter().flat_map(|run| {
            let turned = run.turned.iter().map(|cell| match cell.turn {
                Turn::Red => Conclusion::Red,
                Turn::Error | Turn::Unavailable => Conclusion::Error,
                Turn::Fixed | Turn::Judged => Conclusion::Green,
            });
            let whole = if run.lacks_verdicts() { Conclusion::Error } else { Conclusion::Green };
            turned.chain([whole])
        });
        let benches = self.benches.iter().flat_map(|bench| {
            let changes = bench.changes.iter().map(|change| match change.judgement {
                Judgement::Regression => Conclusion::Red,
                Judgement::Improvement | Judgement::NoClearDifference | Judgement::TooFewRounds => {
                    Conclusion::Green
                }
            });
            let lost = bench.lost.iter().map(|_| Conclusion::Error);
            changes.chain(lost).chain([Conclusion::Green])
        });
        let lost = self.unpaired_before.iter().map(|_| Conclusion::Error);
        Conclusions::from_pieces(runs.chain(benches).chain(lost))
    }
}

impl Pages for Comparison {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    type Question = ();

    fn parts(&self, (): &(), _: Medium) -> Vec<Part> {
        parts::parts(self)
    }

    fn data(&self) -> impl Serialize {
        self
    }
}
