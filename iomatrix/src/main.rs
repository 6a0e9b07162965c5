//! `iomatrix`: judges rows by the suites, explains cases, probes this host, loads servers, measures
//! rows, traces their system calls, compares results, and merges them into one page.

mod bench;
mod check;
mod compare;
mod doctor;
mod echo;
mod error;
mod explain;
mod list;
mod listing;
mod load;
mod notice;
mod output;
mod report;
mod results;
mod selection;
mod sweep;
mod trace;
mod view;

use std::process::ExitCode;

use ::report::Exit;
use ::report::escape::terminal;
use clap::{Parser, Subcommand};
use harness::supervisor;

use notice::print_notice;

/// Cross-platform matrix of async I/O backends: readiness and completion, judged by one suite.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 green; 1 a failure, crash, timeout, stale waiver, miss \
under --strict, missing required driver or regression; 2 usage; 3 something could not be judged, \
or a measurement is invalid; 69 every selected row is unavailable; 99 a --fail-if holds; 130 \
interrupted.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge rows by the suites and print the matrix.
    Check(check::Arguments),
    /// Show rows, suites and cases with their requirements.
    List(list::Arguments),
    /// Explain cases: why, what is sent and expected, and which public bugs they would have caught.
    Explain(explain::Arguments),
    /// Probe this host: which drivers work, exactly why not, and the fix.
    Doctor(doctor::Arguments),
    /// Load a server that listens somewhere, compare every byte, and say what it does.
    Load(load::Arguments),
    /// Measure what rows cost, side by side, with every answer checked.
    Bench(bench::Arguments),
    /// Measure rows at several values of one quantity: where completion starts to pay.
    Sweep(sweep::Arguments),
    /// Compare two results: cells that turned, counts beyond a gate, times that clearly differ.
    Compare(compare::Arguments),
    /// Merge result files into one page.
    Report(report::Arguments),
    /// Show the system calls of a request, rows side by side.
    Trace(trace::Arguments),
}

fn main() -> ExitCode {
    supervisor::run_if_asked();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(&refusal),
    };
    let done = match arguments.command {
        Command::Check(arguments) => check::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(e) => {
            print_notice(format_args!("iomatrix: {e}"));
            e.exit().into()
        }
    }
}

/// Prints the help that was asked for, or what is wrong with the command line. Escapes the error,
/// because a command line may contain text from elsewhere.
fn refuse(refusal: &clap::Error) -> ExitCode {
    if !refusal.use_stderr() {
        // A reader that closes the pipe early, such as head(1), has what it wanted.
        let _ = refusal.print();
        return Exit::Green.into();
    }
    for line in refusal.render().to_string().lines() {
        print_notice(terminal(line));
    }
    Exit::Usage.into()
}
