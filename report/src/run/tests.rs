//! What is red, which of several cells is the worst, and what the suites of a run tell a CI system.

use std::cmp::Ordering;

use super::letters;
use super::parts::overview;
use super::suites::suites;
use super::{Cell, Failure, FailureKind, Gate, Margin, Run, Strictness, WaiverNote, WaiverState};
use crate::document::Document as _;
use crate::example::{cell, check};
use crate::exit::{Conclusions, Exit};
use crate::format::Format;
use crate::outside::Outside;
use crate::pages::Pages as _;
use crate::part::{Medium, Part, Span};
use crate::render::{markdown, render};
use crate::suite::{Status, TestCase};
use crate::verdict::Verdict;
use crate::view::{View, Width};

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
    // First the cells, and then the driver, which has judged the first cell.
    assert_eq!(words(&gate), ["failed", "failed", "passed"]);
    assert_eq!(words(&strict(&["epoll", "kqueue"])), ["failed", "failed", "passed", "failed"]);
}

/// Every page says that a driver is missing, whether or not a row of the run has the driver.
#[test]
fn a_missing_driver_is_on_every_page_and_is_a_failed_test() {
    let run = check(vec![cell("a", Verdict::Unavailable)]);
    for (driver, sentence) in [
        ("epoll", "required driver epoll was not judged: every cell of its rows is unavailable"),
        ("kqueue", "required driver kqueue was not judged: no row of this run has it"),
    ] {
        let gate = strict(&[driver]);
        assert_eq!(run.exit(&gate), Exit::Red);
        for format in [Format::Text, Format::Markdown, Format::Junit] {
            let view = View::plain(Width::new(120));
            let page = render(&run, &gate, format, view).unwrap();
            assert!(page.contains(sentence), "{format}: {page}");
            let page = render(&run, &Gate::default(), format, view).unwrap();
            assert!(!page.contains("required"), "{format}: {page}");
        }
        assert_eq!(red_tests(&run, &gate).last(), Some(&driver.into()));
    }
}

/// The failed tests of JUnit, and the entries of the matrix that a reader must not overlook.
#[test]
fn a_page_marks_what_is_red_for_the_run() {
    let mut cells: Vec<Cell> = Verdict::ALL.map(|verdict| cell(verdict.word(), verdict)).into();
    for (index, state) in [WaiverState::Applies, WaiverState::Stale].into_iter().enumerate() {
        let case = format!("waived-{index}").into();
        cells.push(Cell { case, ..waived(Verdict::Fail, state) });
    }
    let run = check(cells);
    for gate in [Gate::default(), strict(&[]), strict(&["epoll"])] {
        let mut red = run.cells.iter().filter(|cell| gate.conclusion_in(&run, cell).fails_a_test());
        let ids: Vec<Outside> = red.by_ref().map(Cell::id).collect();
        assert_eq!(strong_cases(&run.parts(&gate, Medium::Page)), ids, "{gate:?}");
        assert_eq!(strong_cases(&letters::parts(&run, &gate)), ids, "{gate:?}");
        let tests = red_tests(&run, &gate);
        assert_eq!(tests.len(), ids.len(), "{gate:?}: {tests:?}");
    }
}

fn red_tests(run: &Run, gate: &Gate) -> Vec<Outside> {
    let is_red = |test: &&TestCase| matches!(test.status, Status::Failed(_) | Status::Error(_));
    let suites = suites(run, gate).suites;
    let cases = suites.iter().flat_map(|suite| &suite.cases);
    cases.filter(is_red).map(|test| test.name.clone()).collect()
}

/// The case of each row of the matrix that has a strong entry.
fn strong_cases(parts: &[Part]) -> Vec<Outside> {
    let tables = parts.iter().filter_map(|part| match part {
        Part::Table(table) | Part::WideTable(table, _) => Some(table),
        Part::Title(_)
        | Part::Section(_)
        | Part::Subsection(_)
        | Part::Lines(_)
        | Part::Fields(..)
        | Part::Definitions(_)
        | Part::List(..)
        | Part::Details(..)
        | Part::Plot(_) => None,
    });
    let groups = tables.flat_map(|table| &table.groups);
    let rows = groups.flat_map(|group| group.rows.iter().map(move |row| (&group.name, row)));
    let strong = rows.filter(|(_, row)| row.iter().any(|entry| entry.is_strong));
    strong
        .map(|(suite, row)| match &row[0].lines[0].0[..] {
            [Span::Outside(id)] if suite.is_empty() => id.clone(),
            [Span::Outside(case)] => crate::outside!("{}/{}", suite, case),
            other => panic!("no case: {other:?}"),
        })
        .collect()
}

fn strict(required_drivers: &[&str]) -> Gate {
    let required_drivers = required_drivers.iter().copied().map(Outside::from).collect();
    Gate { strictness: Strictness::Strict, required_drivers }
}

fn waived(verdict: Verdict, state: WaiverState) -> Cell {
    let waiver = WaiverNote { reason: "it cannot".into(), upstream: "a/b#7".into(), state };
    Cell { waiver: Some(waiver), ..cell("a", verdict) }
}

/// Of two repeats, the kept one makes the run end worse, whichever came first.
#[test]
fn of_each_pair_of_cells_the_worse_is_kept_in_both_orders() {
    let driver = check(Vec::new()).rows[0].driver.clone();
    let mut cells: Vec<Cell> = Verdict::ALL.map(|verdict| cell("a", verdict)).into();
    cells.push(waived(Verdict::Fail, WaiverState::Applies));
    cells.push(waived(Verdict::Pass, WaiverState::Stale));
    for gate in [Gate::default(), strict(&[]), strict(&["epoll"])] {
        let exit = |cell: &Cell| Conclusions::from_pieces([gate.conclusion(cell, &driver)]).exit();
        for (index, one) in cells.iter().enumerate() {
            for other in &cells[index + 1..] {
                let order = gate.compare(one, other, &driver);
                let pair = format!("{gate:?}: {} and {}", one.word(), other.word());
                assert_ne!(order, Ordering::Equal, "{pair}");
                assert_eq!(gate.compare(other, one, &driver), order.reverse(), "{pair}");
                let worse = if order.is_gt() { one } else { other };
                let both = [one, other].map(|cell| gate.conclusion(cell, &driver));
                assert_eq!(exit(worse), Conclusions::from_pieces(both).exit(), "{pair}");
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

#[test]
fn a_run_that_was_cut_off_is_an_error_and_says_so() {
    let complete = check(vec![cell("a", Verdict::Pass), cell("b", Verdict::Pass)]);
    assert_eq!(complete.exit(&Gate::default()), Exit::Green);
    let run = Run { planned: 3, ..complete };
    assert_eq!(run.exit(&Gate::default()), Exit::Error);
    let line = super::parts::closing_line(&run).on_terminal();
    assert!(line.starts_with("cut off: 2 of 3 cells on linux"), "{line}");
    let gate = Gate { required_drivers: vec!["io_uring".into()], ..Gate::default() };
    let missing: Vec<String> =
        gate.missing_drivers(&run).iter().map(|it| it.sentence().on_terminal()).collect();
    assert_eq!(missing, ["required driver io_uring was not judged: the run was cut off before"]);
    let page = render(&run, &Gate::default(), Format::Markdown, View::in_file()).unwrap();
    assert!(page.contains("the run was cut off (1 cell)"), "{page}");
    assert!(!page.contains("every cell was judged"), "{page}");
    let suites = suites(&run, &Gate::default()).suites;
    let last = suites.last().and_then(|suite| suite.cases.last());
    assert!(last.is_some_and(|case| matches!(case.status, Status::Error(_))));
}

/// GitHub drops a summary above 1 MiB.
#[test]
fn a_page_of_hundreds_of_red_cells_stays_below_900_kb() {
    let red = |name: &str, actual: &str| {
        let mut cell = cell(name, Verdict::Error);
        let failure = Failure::new(FailureKind::Harness, "its processes", actual.to_owned());
        cell.failure = Some(failure);
        cell.stderr_tail = vec!["x".repeat(100).into(); 20];
        cell
    };
    let page = |runs: &[Run]| {
        let parts = overview(runs, &Gate::default(), &[]);
        markdown(&parts)
    };
    // Each failure in words of its own.
    let own = |n: usize| red(&format!("case-{n}"), &format!("{n} {}", "y".repeat(2000)));
    let distinct = check((0..440).map(own).collect());
    let text = page(&[distinct.clone(), distinct]);
    assert!(text.len() < 900_000, "{}", text.len());
    assert!(text.contains("are only in the result file"), "{text:.300}");
    // The same failure everywhere.
    let same = check((0..440).map(|n| red(&format!("case-{n}"), "EAGAIN")).collect());
    let text = page(&[same]);
    assert_eq!(text.matches("<details>").count(), 1);
    assert!(text.contains("also failed  439 more cells with this failure: "), "{text:.300}");
    assert!(text.contains(", and 429 more"), "{text:.300}");
}
