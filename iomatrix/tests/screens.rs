//! What `check` and `report` show in terminals of several sizes, in colour and without, and in a
//! pipe.
#![cfg(unix)]

mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::binaries;
use harness::registry::Registry;
use harness::scratch::Scratch;
use report::{Run, Verdict};
use rustix::process::{Pid, Signal, kill_process};
use terminal::{Screen, Session, Size};

const IOMATRIX: &str = env!("CARGO_BIN_EXE_iomatrix");
const USUAL: Size = Size(80, 24);
const SIZES: [Size; 4] = [USUAL, Size(120, 40), Size(40, 12), Size(140, 50)];

fn mutant() -> String {
    let programs = binaries::locate(&["mutant"], binaries::OWN_PROFILE).expect("it is built");
    format!("'{}' --listen tcp:{{addr}}", programs["mutant"].display())
}

fn iomatrix(arguments: &[&str]) -> Command {
    let mut command = Command::new(IOMATRIX);
    command.args(arguments);
    for name in ["CARGO", "NO_COLOR", "CLICOLOR", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

fn shown(arguments: &[&str], size: Size) -> Screen {
    Session::start(&mut iomatrix(arguments), size).finish()
}

/// A result with all rows of the registry, made of a real check of one server.
fn whole_matrix() -> &'static Path {
    static FILE: OnceLock<(Scratch, PathBuf)> = OnceLock::new();
    let make = || {
        let scratch = Scratch::new().expect("make a folder");
        let file = scratch.path().join("result.json");
        let server = format!("{} --fault translates-crlf", mutant());
        let output = format!("json={}", file.display());
        let cases = "tcp-echo/*,tcp-content/*,tcp-half-close/empty,tcp-close/idle,res/memory-per*";
        let mut check = iomatrix(&["check", "--command", &server, "--case", cases]);
        let checked = check.args(["--profile", "quick", "--output", &output]).output();
        let checked = checked.expect("start a check");
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}: {checked:?}"));
        let run: Run = serde_json::from_str(&text).expect("read the result");
        let whole = with_all_rows(&run);
        fs::write(&file, serde_json::to_string(&whole).expect("write it")).expect("write it");
        (scratch, file)
    };
    &FILE.get_or_init(make).1
}

fn with_all_rows(run: &Run) -> Run {
    let mut whole = run.clone();
    let (row, cells) = (&run.rows[0], &run.cells);
    let registry = Registry::load().expect("load the registry");
    let named = |name: &str| name.to_owned();
    let names: Vec<String> = registry.built_rows().map(|entry| named(&entry.name)).collect();
    whole.rows.clear();
    whole.cells.clear();
    for (index, name) in names.iter().enumerate() {
        let mut row = row.clone();
        row.name = name.into();
        whole.rows.push(row);
        for cell in cells {
            let mut cell = cell.clone();
            cell.row = name.into();
            if index > 1 {
                // Only two rows have the fault.
                cell.verdict = if cell.failure.is_some() { Verdict::Pass } else { cell.verdict };
                cell.failure = None;
                cell.follows_from = None;
            }
            whole.cells.push(cell);
        }
    }
    whole.planned = whole.cells.len();
    whole
}

fn report_arguments() -> [&'static str; 2] {
    ["report", whole_matrix().to_str().expect("the path is UTF-8")]
}

#[test]
fn each_row_has_one_line_and_no_word_is_cut() {
    let screen = shown(&report_arguments(), USUAL);
    let lines = screen.lines();
    let rows = Registry::load().expect("load the registry").built_rows().count();
    let is_row = |line: &&String| line.starts_with("  ") && line.contains(" pass");
    assert_eq!(lines.iter().take(rows * 2).filter(is_row).count(), rows, "{}", screen.text());
    assert!(screen.text().contains("not met: "), "{}", screen.text());
    assert!(lines.len() < 150, "{} lines:\n{}", lines.len(), screen.text());
}

/// Only commands and lines of servers stay whole, so that they can be copied.
#[test]
fn nothing_but_commands_is_wider_than_the_terminal() {
    for size in SIZES {
        let screen = shown(&report_arguments(), size);
        let too_wide = screen.wrapped_lines();
        let is_command = |line: &String| line.starts_with("  repeat ");
        let others: Vec<_> = too_wide.iter().filter(|line| !is_command(line)).collect();
        // The continuation of a command may be wrapped, too.
        let limit = too_wide.len().saturating_sub(others.len()) * 8;
        assert!(others.len() <= limit, "{size:?}: {others:#?}");
    }
}

#[test]
fn a_wide_terminal_has_a_column_per_suite() {
    let screen = shown(&report_arguments(), Size(140, 50));
    let head = screen.lines().into_iter().take(4).collect::<Vec<_>>().join("\n");
    for word in ["tcp-", "echo", "con", "tent", "half-", "close", "res"] {
        assert!(head.contains(word), "{head}");
    }
}

#[test]
fn verdicts_have_colours_on_a_terminal_that_wants_them() {
    let [report, file] = report_arguments();
    let screen = shown(&[report, file], USUAL);
    assert!(screen.colours() > 20, "{}", screen.colours());
    let without = Session::start(iomatrix(&[report, file]).env("NO_COLOR", "1"), USUAL).finish();
    assert_eq!(without.colours(), 0, "{}", without.text());
    let piped = iomatrix(&[report, file]).output().expect("start a report");
    let text = String::from_utf8_lossy(&piped.stdout).into_owned();
    assert!(!text.contains('\u{1b}'), "{text}");
    let widest =
        text.lines().filter(|line| !line.starts_with("  repeat ")).map(|line| line.chars().count());
    assert!(widest.max().unwrap_or(0) <= 80, "{text}");
}

#[test]
fn a_cause_says_where_to_read_more_and_how_to_repeat_it() {
    let screen = shown(&report_arguments(), Size(120, 40)).text();
    let why = "  why          iomatrix explain tcp-echo/";
    for part in ["\nfail: ", "  requirement  MUST ", "  expected     ", "  actual       ", why] {
        assert!(screen.contains(part), "no '{part}' in\n{screen}");
    }
    assert!(screen.contains(&format!("  repeat       {IOMATRIX} check --command ")), "{screen}");
    assert!(screen.contains("no certificate: cases were left out"), "{screen}");
}

/// What was judged before Ctrl-C is shown and written.
#[test]
fn an_interrupted_check_keeps_what_it_has_judged() {
    let scratch = Scratch::new().expect("make a folder");
    let file = scratch.path().join("result.json");
    let output = format!("json={}", file.display());
    let server = mutant();
    // The second case takes more than a minute.
    let arguments = [
        "check",
        "--command",
        &server,
        "--case",
        "tcp-echo/one-byte,idle/connection-survives",
        "--profile",
        "full",
        "--output",
        &output,
        "--output",
        "text",
    ];
    let mut session = Session::start(&mut iomatrix(&arguments), USUAL);
    session.wait_for("1/2");
    let pid = Pid::from_child(&session.child);
    kill_process(pid, Signal::INT).expect("interrupt the check");
    let screen = session.finish();
    assert_eq!(screen.status.code(), Some(130), "{}", screen.text());
    assert!(screen.text().contains("interrupted: 1 of 2 cells were judged"), "{}", screen.text());
    assert!(screen.text().contains("cut off: 1 of 2 cells"), "{}", screen.text());
    let text = fs::read_to_string(&file).expect("read the result");
    let run: Run = serde_json::from_str(&text).expect("it is a result");
    assert_eq!((run.cells.len(), run.planned), (1, 2));
}

#[test]
fn every_spelling_of_a_cell_selects_it() {
    for case in ["tcp-echo/one-byte", "tcp-echo::one-byte", "one-byte"] {
        let listed = iomatrix(&["check", "--row", "tokio", "--case", case, "--list"]).output();
        let listed = listed.expect("start a list");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success() && text.contains("tokio::tcp-echo/one-byte"), "{text}");
    }
    for cell in ["tokio::tcp-echo/one-byte", "tokio::tcp-echo::one-byte"] {
        let listed = iomatrix(&["check", "--case", cell, "--list"]).output().expect("start a list");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert_eq!(text.matches("tcp-echo/one-byte").count(), 1, "{text}");
    }
}

#[test]
fn every_cell_is_shown_when_it_is_asked_for() {
    let server = mutant();
    let arguments =
        ["check", "--command", &server, "--suite", "tcp-close", "--profile", "quick", "--matrix"];
    let screen = shown(&arguments, USUAL).text();
    assert!(screen.contains("rows: 1 command\n"), "{screen}");
    assert!(screen.contains(". pass"), "{screen}");
    assert!(screen.contains("\n  idle "), "{screen}");
}
