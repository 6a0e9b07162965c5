//! What the cells of one row add up to: whether the server is certified, and if not, why not.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Cell, RunRow, Strictness};
use crate::outside;
use crate::outside::Outside;
use crate::part::Part;
use crate::verdict::{Level, Verdict};

/// The result of one server, level by level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whether every MUST of its grade was asked and none is broken, and in no other case the
    /// server ended or sent wrong bytes; under `--strict` every SHOULD too.
    pub certified: bool,
    /// Why it is not certified, one sentence each.
    pub reasons: Vec<Outside>,
    /// What came of every MUST.
    pub must: LevelCount,
    /// What came of every SHOULD.
    pub should: LevelCount,
    /// What came of the cases that are only recorded.
    pub info: LevelCount,
}

/// Cases of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelCount {
    /// How many the catalogue has for this grade.
    pub cases: usize,
    /// Requirement met, or recorded.
    pub met: usize,
    /// Requirement broken: fail, crash, timeout or miss, waived or not.
    pub broken: usize,
    /// Not judged, because this host cannot.
    pub unavailable: usize,
    /// Not judged, because the server says that it does not offer it.
    pub unsupported: usize,
    /// The judge could not decide.
    pub errors: usize,
}

impl LevelCount {
    fn count(cases: usize, cells: &[&Cell], level: Level) -> Self {
        let mut count = Self { cases, ..Self::default() };
        for cell in cells.iter().filter(|cell| cell.level == level) {
            match cell.verdict {
                // An INFO that came from a failure is recorded like any other.
                Verdict::Pass | Verdict::Info => count.met += 1,
                Verdict::Fail | Verdict::Crash | Verdict::Timeout | Verdict::Miss => {
                    count.broken += 1;
                }
                Verdict::Unavailable => count.unavailable += 1,
                Verdict::Unsupported => count.unsupported += 1,
                Verdict::Error => count.errors += 1,
            }
        }
        count
    }

    /// Cases that were selected.
    #[must_use]
    pub fn asked(&self) -> usize {
        let counts = [self.met, self.broken, self.unavailable, self.unsupported, self.errors];
        counts.into_iter().fold(0, usize::saturating_add)
    }

    fn objections(&self, level: Level) -> Vec<Outside> {
        let left_out = self.cases.saturating_sub(self.asked());
        let counts = [
            (self.broken, "not met"),
            (self.errors, "could not be judged"),
            (left_out, "not asked"),
        ];
        let mut objections: Vec<Outside> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} of {} {level} cases {what}", self.cases).into())
            .collect();
        if self.met == 0 && objections.is_empty() {
            objections.push(format!("no {level} case was judged").into());
        }
        objections
    }

    fn words(&self) -> String {
        let mut words = format!("{} of {} met", self.met, self.cases);
        let counts = [
            (self.broken, "not met"),
            (self.unavailable, "unavailable"),
            (self.unsupported, "unsupported"),
            (self.errors, "errors"),
            (self.cases.saturating_sub(self.asked()), "not asked"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            // Writing to a `String` cannot fail.
            let _ = write!(words, ", {count} {what}");
        }
        words
    }
}

/// Adds up the cells of a row. `cases` says how many cases of a level the catalogue has for the
/// row's grade: those that were not selected count against it.
#[must_use]
pub fn certify(
    cells: &[&Cell],
    cases: impl Fn(Level) -> usize,
    strictness: Strictness,
) -> Certificate {
    let count = |level| LevelCount::count(cases(level), cells, level);
    let [must, should, info] = [Level::Must, Level::Should, Level::Info].map(count);
    let mut reasons = must.objections(Level::Must);
    if strictness == Strictness::Strict && should.cases > 0 {
        reasons.extend(should.objections(Level::Should));
    }
    // A server that a client can end, or that sends wrong bytes, is not one to rely on, whatever
    // the case was about.
    let is_grave =
        |c: &&&Cell| c.level != Level::Must && matches!(c.verdict, Verdict::Crash | Verdict::Fail);
    match cells.iter().filter(is_grave).count() {
        0 => {}
        1 => reasons.push("in 1 more case it ended or sent wrong bytes".into()),
        count => reasons.push(format!("in {count} more cases it ended or sent wrong bytes").into()),
    }
    Certificate { certified: reasons.is_empty(), reasons, must, should, info }
}

/// What was asked, what was found, and the closing word.
pub(super) fn part(row: &RunRow, profile: &Outside) -> Part {
    let certificate = &row.certificate;
    let mut lines = vec![outside!("{}: grade {}, profile {}", row.name, row.grade, profile)];
    let levels = [
        (Level::Must, &certificate.must),
        (Level::Should, &certificate.should),
        (Level::Info, &certificate.info),
    ];
    for (level, count) in levels.into_iter().filter(|(_, count)| count.asked() > 0) {
        lines.push(format!("  {level:<7} {}", count.words()).into());
    }
    lines.push(match certificate.certified {
        true => format!("certified: yes (MUST: {})", certificate.must.words()).into(),
        false => outside!("certified: no ({})", Outside::join(&certificate.reasons, ", ")),
    });
    Part::lines(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(level: Level, verdict: Verdict) -> Cell {
        Cell {
            row: "r".into(),
            suite: "s".into(),
            case: "c".into(),
            level,
            requirement: Outside::default(),
            verdict,
            failure: None,
            reason: None,
            observation: None,
            margin: None,
            seed: 1,
            seconds: 0.0,
            cpu_seconds: 0.0,
            exclusive: false,
            stderr_tail: Vec::new(),
            repeat: Outside::default(),
            waiver: None,
        }
    }

    fn certified(cells: &[Cell], musts: usize, strictness: Strictness) -> Certificate {
        let cells: Vec<&Cell> = cells.iter().collect();
        let cases = |level| if level == Level::Must { musts } else { 1 };
        certify(&cells, cases, strictness)
    }

    #[test]
    fn a_server_that_ends_in_any_case_is_not_certified() {
        let must = cell(Level::Must, Verdict::Pass);
        for verdict in [Verdict::Crash, Verdict::Fail] {
            let grave = cell(Level::Should, verdict);
            let certificate = certify(&[&must, &grave], |_| 1, Strictness::Must);
            assert!(!certificate.certified, "{verdict:?}");
        }
        let miss = cell(Level::Should, Verdict::Miss);
        assert!(certify(&[&must, &miss], |_| 1, Strictness::Must).certified);
    }

    #[test]
    fn a_broken_an_unasked_and_an_unjudged_must_each_forbid_it() {
        let pass = cell(Level::Must, Verdict::Pass);
        for verdict in [Verdict::Fail, Verdict::Crash, Verdict::Timeout, Verdict::Error] {
            let cells = [pass.clone(), cell(Level::Must, verdict)];
            assert!(!certified(&cells, 2, Strictness::Must).certified, "{verdict}");
        }
        assert!(!certified(std::slice::from_ref(&pass), 2, Strictness::Must).certified);
        assert!(!certified(&[], 0, Strictness::Must).certified);
        let absent = cell(Level::Must, Verdict::Unavailable);
        assert!(!certified(std::slice::from_ref(&absent), 1, Strictness::Must).certified);
        assert!(certified(&[pass, absent], 2, Strictness::Must).certified);
    }

    #[test]
    fn a_should_counts_when_it_is_asked_to() {
        let cells = [cell(Level::Must, Verdict::Pass), cell(Level::Should, Verdict::Miss)];
        assert!(certified(&cells, 1, Strictness::Must).certified);
        let strict = certified(&cells, 1, Strictness::Strict);
        assert_eq!(strict.reasons, ["1 of 1 SHOULD cases not met"]);
    }
}
