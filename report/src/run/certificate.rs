//! What the cells of one row add up to: an answer to each question, whether the server is certified
//! and if not, why, and what it was not asked.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Cell, RunRow, Strictness};
use crate::outside;
use crate::outside::Outside;
use crate::part::Part;
use crate::seed::SeedSource;
use crate::verdict::{Level, Question, Verdict};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whether every MUST of the grade and profile was asked, at least one was met, none is broken
    /// or an error, no other case found a crash or wrong bytes, and the seed was random. Under
    /// `--strict` the same holds for every SHOULD. No case of another level may be left out either.
    pub certified: bool,
    /// Why it is not certified, one sentence each.
    pub reasons: Vec<Outside>,
    pub must: LevelCount,
    pub should: LevelCount,
    pub info: LevelCount,
    /// The counts per question.
    pub answers: Vec<Answer>,
    /// Cases that only profile `full` asks, if the run has another profile.
    pub only_in_full: Vec<Outside>,
    /// How far each case went that cannot rule out a fault at a larger number: an amount, and the
    /// case in brackets.
    pub up_to: Vec<Outside>,
    /// Features that the server was declared not to have, so that no case asked for them.
    pub without: Vec<Outside>,
}

/// The counts of the cases that answer one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub question: Question,
    pub must: LevelCount,
    pub should: LevelCount,
}

/// What a certificate covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The cases of the catalogue for the row's grade and profile: the question and the level of
    /// each.
    pub catalogue: Vec<(Question, Level)>,
    /// Cases that only profile `full` asks.
    pub only_in_full: Vec<Outside>,
    /// How far each case went that cannot rule out a fault at a larger number.
    pub up_to: Vec<Outside>,
    /// Features that the server was declared not to have.
    pub without: Vec<Outside>,
    /// Whether the server could have known the payload in advance.
    pub seed_source: SeedSource,
}

/// Counts of the cases of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelCount {
    /// How many cases the catalogue has for the grade and profile.
    pub cases: usize,
    /// The requirement is met, or an observation was recorded.
    pub met: usize,
    /// The requirement is broken: fail, crash, timeout or miss, waived or not.
    pub broken: usize,
    /// Not judged, because this host cannot judge it.
    pub unavailable: usize,
    /// Not judged, because the server does not offer what the case needs.
    pub unsupported: usize,
    /// The judge could not decide.
    pub errors: usize,
}

impl LevelCount {
    fn count(scope: &Scope, cells: &[&Cell], level: Level, question: Option<Question>) -> Self {
        let is_meant = |own: Question| question.is_none_or(|question| question == own);
        let catalogue = scope.catalogue.iter();
        let cases = catalogue.filter(|(own, of)| *of == level && is_meant(*own)).count();
        let mut count = Self { cases, ..Self::default() };
        let counted = |cell: &&&Cell| cell.level == level && is_meant(cell.question);
        for cell in cells.iter().filter(counted) {
            match cell.verdict {
                // An INFO case counts as recorded even if its observation comes from a failure.
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

    /// How many cases were selected.
    #[must_use]
    pub fn selected(&self) -> usize {
        let counts = [self.met, self.broken, self.unavailable, self.unsupported, self.errors];
        counts.into_iter().fold(0, usize::saturating_add)
    }

    fn objections(&self, level: Level) -> Vec<Outside> {
        let left_out = self.cases.saturating_sub(self.selected());
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
            (self.cases.saturating_sub(self.selected()), "not asked"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            // Writing to a `String` cannot fail.
            let _ = write!(words, ", {count} {what}");
        }
        words
    }
}

impl Answer {
    /// One word: whether everything is well, and if not, how bad it is.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let is_complete = |count: &LevelCount| count.errors == 0 && count.selected() >= count.cases;
        let Self { must, should, .. } = self;
        let is_judged = must.met > 0 || should.met > 0 || should.broken > 0;
        if !self.is_asked() {
            "not asked"
        } else if must.broken > 0 {
            "no"
        } else if !is_complete(must) || !is_complete(should) || !is_judged {
            "unknown"
        } else if should.broken > 0 {
            "in part"
        } else {
            "yes"
        }
    }

    /// Whether the grade has a case about the question.
    fn is_asked(&self) -> bool {
        self.must.cases > 0 || self.should.cases > 0
    }

    fn words(&self) -> String {
        let levels = [(Level::Must, &self.must), (Level::Should, &self.should)];
        let counts = levels.into_iter().filter(|(_, count)| count.cases > 0);
        let counts = counts.map(|(level, count)| format!("{level} {}", count.words()));
        counts.collect::<Vec<_>>().join("; ")
    }
}

impl Certificate {
    /// Whether every case of the grade and profile was selected.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        [self.must, self.should, self.info].iter().all(|count| count.selected() >= count.cases)
    }
}

/// Adds up the cells of a row. Cases of the catalogue that were not selected count against the
/// server.
#[must_use]
pub fn certify(cells: &[&Cell], scope: &Scope, strictness: Strictness) -> Certificate {
    let count = |level, question| LevelCount::count(scope, cells, level, question);
    let [must, should, info] = Level::ALL.map(|level| count(level, None));
    let answer = |question| Answer {
        question,
        must: count(Level::Must, Some(question)),
        should: count(Level::Should, Some(question)),
    };
    let answers = Question::ALL.map(answer).into();
    let mut reasons = must.objections(Level::Must);
    if strictness == Strictness::Strict && should.cases > 0 {
        reasons.extend(should.objections(Level::Should));
    }
    let unasked = |count: &LevelCount| count.cases.saturating_sub(count.selected());
    let other_levels = match strictness {
        Strictness::Must => unasked(&should) + unasked(&info),
        Strictness::Strict => unasked(&info),
    };
    if other_levels > 0 {
        reasons.push(format!("{other_levels} other cases not asked").into());
    }
    // Nobody can rely on a server that a client can end, or that sends wrong bytes, whatever the
    // case was about.
    let is_grave =
        |c: &&&Cell| c.level != Level::Must && matches!(c.verdict, Verdict::Crash | Verdict::Fail);
    match cells.iter().filter(is_grave).count() {
        0 => {}
        1 => reasons.push("in 1 more case it ended or sent wrong bytes".into()),
        count => reasons.push(format!("in {count} more cases it ended or sent wrong bytes").into()),
    }
    // A server that knows the payload in advance can be correct for the judge alone.
    if scope.seed_source == SeedSource::Given {
        reasons.push("a server could have read the seed, which was given".into());
    }
    Certificate {
        certified: reasons.is_empty(),
        reasons,
        must,
        should,
        info,
        answers,
        only_in_full: scope.only_in_full.clone(),
        up_to: scope.up_to.clone(),
        without: scope.without.clone(),
    }
}

/// What was asked, what was found, and whether the server is certified. A run that left out cases
/// certifies nothing.
pub(super) fn part(row: &RunRow, profile: &Outside) -> Option<Part> {
    let certificate = &row.certificate;
    if !certificate.is_whole() {
        return None;
    }
    let mut lines = vec![outside!("{}: grade {}, profile {}", row.name, row.grade, profile)];
    let (asked, others): (Vec<&Answer>, Vec<&Answer>) =
        certificate.answers.iter().partition(|answer| answer.is_asked());
    let line = |head: &str, words: &str| -> Outside { format!("  {head:<11} {words}").into() };
    for answer in asked {
        let words = format!("{:<8} {}", answer.word(), answer.words());
        lines.push(line(answer.question.word(), &words));
    }
    if certificate.info.selected() > 0 {
        lines.push(line("INFO", &format!("{:<8} {}", "", certificate.info.words())));
    }
    if !certificate.up_to.is_empty() {
        lines.push(outside!("  asked up to {}", Outside::join(&certificate.up_to, ", ")));
    }
    if !others.is_empty() {
        let names: Vec<&str> = others.iter().map(|answer| answer.question.word()).collect();
        lines.push(line("not asked", &format!("{}: no case for such a server", names.join(", "))));
    }
    if !certificate.only_in_full.is_empty() {
        let names = Outside::join(&certificate.only_in_full, ", ");
        lines.push(outside!("  not asked   what profile full alone asks: {}", names));
    }
    if !certificate.without.is_empty() {
        let without = Outside::join(&certificate.without, ", ");
        lines.push(outside!("  without     {}, as declared", without));
    }
    lines.push(match certificate.certified {
        true => outside!(
            "certified: yes, grade {}, profile {} (MUST: {})",
            row.grade,
            profile,
            certificate.must.words()
        ),
        false => outside!("certified: no ({})", Outside::join(&certificate.reasons, ", ")),
    });
    Some(Part::lines(lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn cell(level: Level, verdict: Verdict) -> Cell {
        Cell {
            row: "r".into(),
            suite: "s".into(),
            case: "c".into(),
            level,
            question: Question::Bytes,
            requirement: Outside::default(),
            verdict,
            failure: None,
            reason: None,
            observation: None,
            margin: None,
            seed: Seed::new(1),
            seconds: 0.0,
            cpu_seconds: None,
            exclusive: false,
            held_back: None,
            stderr_tail: Vec::new(),
            likely_fix: None,
            repeat: Outside::default(),
            waiver: None,
            is_unasked: false,
            follows_from: None,
        }
    }

    /// A catalogue with `musts` MUST cases and one SHOULD case.
    fn scope(musts: usize) -> Scope {
        let mut catalogue = vec![(Question::Bytes, Level::Must); musts];
        catalogue.push((Question::Promptness, Level::Should));
        Scope { catalogue, ..Scope::default() }
    }

    fn certified(cells: &[Cell], musts: usize, strictness: Strictness) -> Certificate {
        let cells: Vec<&Cell> = cells.iter().collect();
        certify(&cells, &scope(musts), strictness)
    }

    #[test]
    fn a_server_that_ends_in_any_case_is_not_certified() {
        let must = cell(Level::Must, Verdict::Pass);
        for verdict in [Verdict::Crash, Verdict::Fail] {
            let grave = cell(Level::Should, verdict);
            let certificate = certify(&[&must, &grave], &scope(1), Strictness::Must);
            assert!(!certificate.certified, "{verdict:?}");
        }
        let miss = cell(Level::Should, Verdict::Miss);
        assert!(!certify(&[&must], &scope(1), Strictness::Must).certified, "a SHOULD is left out");
        assert!(certify(&[&must, &miss], &scope(1), Strictness::Must).certified);
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
        let should = cell(Level::Should, Verdict::Pass);
        assert!(!certified(&[absent.clone(), should.clone()], 1, Strictness::Must).certified);
        assert!(certified(&[pass, absent, should], 2, Strictness::Must).certified);
    }

    #[test]
    fn a_given_seed_forbids_it() {
        let must = cell(Level::Must, Verdict::Pass);
        let should = cell(Level::Should, Verdict::Pass);
        let with = |seed_source| {
            let scope = Scope { seed_source, ..scope(1) };
            certify(&[&must, &should], &scope, Strictness::Must).certified
        };
        assert_eq!([SeedSource::Random, SeedSource::Given].map(with), [true, false]);
    }

    #[test]
    fn a_should_counts_when_it_is_asked_to() {
        let cells = [cell(Level::Must, Verdict::Pass), cell(Level::Should, Verdict::Miss)];
        assert!(certified(&cells, 1, Strictness::Must).certified);
        let strict = certified(&cells, 1, Strictness::Strict);
        assert_eq!(strict.reasons, ["1 of 1 SHOULD cases not met"]);
    }

    #[test]
    fn a_slow_server_and_one_that_is_wrong_do_not_look_alike() {
        let slow = Cell { question: Question::Promptness, ..cell(Level::Should, Verdict::Miss) };
        let answers = |cells: &[Cell]| -> Vec<(Question, &'static str)> {
            let certificate = certified(cells, 1, Strictness::Must);
            certificate.answers.iter().map(|answer| (answer.question, answer.word())).collect()
        };
        let (bytes, promptness) = (Question::Bytes, Question::Promptness);
        let found = answers(&[cell(Level::Must, Verdict::Pass), slow]);
        assert!(found.contains(&(bytes, "yes")) && found.contains(&(promptness, "in part")));
        assert!(found.contains(&(Question::Stop, "not asked")));
        let found = answers(&[cell(Level::Must, Verdict::Fail)]);
        assert!(found.contains(&(bytes, "no")) && found.contains(&(promptness, "unknown")));
    }
}
