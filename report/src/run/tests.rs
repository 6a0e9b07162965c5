//! What is red, which of several findings is the worst, and what the suites of a run say to a CI
//! system.

use std::cmp::Ordering;

use super::suites::suites;
use super::{Cell, Gate, Margin, Strictness, WaiverNote, WaiverState};
use crate::example::{cell, check};
use crate::exit::Conclusions;
use crate::outside::Outside;
use crate::suite::{Status, TestCase};
use crate::verdict::Verdict;

#[test]
fn a_test_fails_for_what_is_red_and_for_nothing_else() {
    let run = check(vec![cell("a", Verdict::Miss), cell("b", Verdict::Unavailable)]);
    let words = |gate: &Gate| -> Vec<&'static str> {
        let word = |test: &TestCase| match test.status {
            Status::Passed => "passed",
            Status::Skipped(_) => "skipped",
            Status::Failed(_) => "failed",
            Status::Error(_) => "error",
        };
        suites(&run, gate).suites.iter().flat_map(|suite| &suite.cases).map(word).collect()
    };
    assert_eq!(words(&Gate::default()), ["passed", "skipped"]);
    let required_drivers = vec![run.rows[0].driver.clone()];
    let gate = Gate { strictness: Strictness::Strict, required_drivers };
    assert_eq!(words(&gate), ["failed", "failed"]);
}

fn strict(required_drivers: &[&str]) -> Gate {
    let required_drivers = required_drivers.iter().copied().map(Outside::from).collect();
    Gate { strictness: Strictness::Strict, required_drivers }
}

fn waived(verdict: Verdict, state: WaiverState) -> Cell {
    let waiver = WaiverNote { reason: "it cannot".into(), upstream: "a/b#7".into(), state };
    Cell { waiver: Some(waiver), ..cell("a", verdict) }
}

/// Of two repeats the one is kept that makes the run end worse, whichever came first.
#[test]
fn of_each_pair_of_findings_the_worse_is_kept_in_both_orders() {
    let driver = check(Vec::new()).rows[0].driver.clone();
    let mut cells: Vec<Cell> = Verdict::ALL.map(|verdict| cell("a", verdict)).into();
    cells.push(waived(Verdict::Fail, WaiverState::Applies));
    cells.push(waived(Verdict::Pass, WaiverState::Stale));
    for gate in [Gate::default(), strict(&[]), strict(&["epoll"])] {
        let exit = |cell: &Cell| Conclusions::of([gate.conclusion(cell, &driver)]).exit();
        for (index, one) in cells.iter().enumerate() {
            for other in &cells[index + 1..] {
                let order = gate.compare(one, other, &driver);
                let pair = format!("{gate:?}: {} and {}", one.word(), other.word());
                assert_ne!(order, Ordering::Equal, "{pair}");
                assert_eq!(gate.compare(other, one, &driver), order.reverse(), "{pair}");
                let worse = if order.is_gt() { one } else { other };
                let both = [one, other].map(|cell| gate.conclusion(cell, &driver));
                assert_eq!(exit(worse), Conclusions::of(both).exit(), "{pair}");
            }
        }
    }
}

#[test]
fn a_crash_outweighs_a_miss_and_a_failure_outweighs_an_error() {
    use Verdict::{Crash, Error, Fail, Info, Miss, Pass, Timeout, Unavailable};
    let driver = Outside::from("epoll");
    for (worse, better) in [
        (Crash, Miss),
        (Fail, Error),
        (Error, Miss),
        (Crash, Fail),
        (Fail, Timeout),
        (Miss, Pass),
        (Miss, Info),
        (Pass, Unavailable),
    ] {
        let order = Gate::default().compare(&cell("a", worse), &cell("a", better), &driver);
        assert_eq!(order, Ordering::Greater, "{worse} and {better}");
    }
    let required = strict(&["epoll"]);
    let order = required.compare(&cell("a", Unavailable), &cell("a", Error), &driver);
    assert_eq!(order, Ordering::Greater);
}

#[test]
fn of_equal_verdicts_the_one_nearer_to_its_limit_is_worse() {
    let near = |observed| {
        let margin = Margin { what: "pause in ms".into(), observed, limit: 20.0 };
        Cell { margin: Some(margin), ..cell("a", Verdict::Pass) }
    };
    let compare = |one: &Cell, other: &Cell| Gate::default().compare(one, other, &"epoll".into());
    assert_eq!(compare(&near(19.0), &near(3.0)), Ordering::Greater);
    assert_eq!(compare(&near(3.0), &near(19.0)), Ordering::Less);
    assert_eq!(compare(&near(3.0), &cell("a", Verdict::Pass)), Ordering::Greater);
    assert_eq!(compare(&near(19.0), &cell("a", Verdict::Miss)), Ordering::Less);
}
