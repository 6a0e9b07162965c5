//! What the suites of a run say to a CI system.

use super::suites::suites;
use super::{Gate, Strictness};
use crate::example::{cell, check};
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
