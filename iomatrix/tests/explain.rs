//! Runs `iomatrix explain`, of which `docs/CASES.md` is the output. `docs/UPSTREAM.md` is that of
//! `list --findings`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn iomatrix(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iomatrix"));
    // As wide as sentences are shown at most.
    command.env("COLUMNS", "120").args(arguments).output().expect("start iomatrix")
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = iomatrix(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("a page is UTF-8")
}

#[track_caller]
fn refused(id: &str) -> String {
    let output = iomatrix(&["explain", id]);
    assert_eq!(output.status.code(), Some(2), "{id}");
    assert!(output.stdout.is_empty(), "{id}");
    String::from_utf8(output.stderr).expect("a message is UTF-8")
}

#[track_caller]
fn expect_current(file: &str, generated: &str, document: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let page = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(generated.lines()).position(|(is, should)| is != should);
    let shorter = page.lines().count().min(generated.lines().count());
    assert!(
        page.lines().eq(generated.lines()),
        "docs/{file} is stale from line {} on: run ci/generate.sh {document}",
        differs.unwrap_or(shorter) + 1
    );
}

#[test]
fn the_page_of_all_cases_is_the_generated_one() {
    expect_current("CASES.md", &printed(&["explain", "--output", "markdown"]), "cases");
}

#[test]
fn the_page_of_all_findings_is_the_generated_one() {
    let generated = printed(&["list", "--findings", "--output", "markdown"]);
    expect_current("UPSTREAM.md", &generated, "upstream");
}

#[test]
fn a_case_is_explained_with_all_that_belongs_to_it() {
    let page = printed(&["explain", "tcp-half-close/large-backlog"]);
    assert!(page.starts_with("tcp-half-close/large-backlog (MUST)\n"), "{page}");
    for part in [
        "requires   A client that has read nothing before its FIN still gets every byte.",
        "netty#6303: ",
        "sizes      200 ms in quick, 500 ms in default and full",
        "mutants    - must catch closes-unflushed (lost)",
        "run        cargo run -p iomatrix -- check --case tcp-half-close/large-backlog\n",
    ] {
        assert!(page.contains(part), "expected '{part}' in {page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
}

#[test]
fn a_star_explains_several() {
    let pages = printed(&["explain", "tcp-*/idle"]);
    assert!(pages.contains("tcp-reset/idle (MUST)\n"), "{pages}");
    assert!(pages.contains("\n\ntcp-close/idle (MUST)\n"), "{pages}");
}

#[test]
fn an_unknown_id_is_answered_with_the_nearest() {
    assert!(refused("large-backlogs").contains("did you mean 'tcp-half-close/large-backlog'?"));
    assert!(refused("tcp-large").contains("tcp-large is a suite"));
    assert!(refused("qqqqqqqq").contains("`iomatrix list` shows the cases"));
}
