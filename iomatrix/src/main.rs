//! `iomatrix`: judges rows by the suites, explains cases, probes this host, loads servers, measures
//! rows, traces their system calls, compares results, and merges them into one page.

mod bench;
mod building;
mod check;
mod compare;
mod doctor;
mod echo;
mod error;
mod examples;
mod explain;
mod interruption;
mod list;
mod listing;
mod load;
mod notice;
mod output;
mod report;
mod results;
mod selection;
mod shell;
mod sweep;
mod trace;
mod values;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use ::report::escape::terminal;
use ::report::{Exit, Outside};
use clap::{ColorChoice, Parser, Subcommand};
use harness::{binaries, host, supervisor};

use notice::{print_error, print_error_line};

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
    /// Colours on a terminal; `auto` follows NO_COLOR and CLICOLOR.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    #[arg(help_heading = "For every command")]
    color: ColorChoice,
    /// No progress and no notices: only results and errors.
    #[arg(long, global = true, help_heading = "For every command")]
    quiet: bool,
    /// Take the servers' programs from here, and build nothing.
    #[arg(long, global = true, value_name = "DIR", env = binaries::BIN_DIR)]
    #[arg(hide_env_values = true, help_heading = "For every command")]
    bin_dir: Option<OsString>,
    /// The name of this host in results; default: its operating system.
    #[arg(long, global = true, value_name = "NAME", env = "CONFORMANCE_LABEL")]
    #[arg(hide_env_values = true, help_heading = "For every command")]
    label: Option<Outside>,
}

#[derive(Subcommand)]
enum Command {
    /// Judge rows, or a server of your own; show each cause of a failure and its likely fix.
    #[command(after_help = examples::CHECK)]
    Check(check::Arguments),
    /// Show rows, suites and cases with their requirements.
    #[command(after_help = examples::LIST)]
    List(list::Arguments),
    /// Explain cases: why, what is sent and expected, and which public bugs they would have caught.
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::Arguments),
    /// Probe this host: which drivers work, exactly why not, and the fix.
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Arguments),
    /// Load a server that listens somewhere, compare every byte, and say what it does.
    #[command(after_help = examples::LOAD)]
    Load(load::Arguments),
    /// Measure what rows cost, side by side, with every answer checked.
    #[command(after_help = examples::BENCH)]
    Bench(bench::Arguments),
    /// Measure rows at several values of one quantity: where completion starts to pay.
    #[command(after_help = examples::SWEEP)]
    Sweep(sweep::Arguments),
    /// Compare two results: cells that turned, counts beyond a gate, times that clearly differ.
    #[command(after_help = examples::COMPARE)]
    Compare(compare::Arguments),
    /// Merge result files into one page.
    #[command(after_help = examples::REPORT)]
    Report(report::Arguments),
    /// Show the system calls of a request, rows side by side.
    #[command(after_help = examples::TRACE)]
    Trace(trace::Arguments),
    /// Print a script that completes commands and options in a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(shell::CompletionsArguments),
    /// Print the manual page, or write the pages of all commands into a folder.
    #[command(after_help = examples::MAN)]
    Man(shell::ManArguments),
}

impl Arguments {
    /// Lets the options for every command take effect.
    fn apply(&self) {
        match self.color {
            ColorChoice::Auto => {}
            ColorChoice::Always => console::set_colors_enabled(true),
            ColorChoice::Never => console::set_colors_enabled(false),
        }
        if self.quiet {
            notice::silence();
        }
        // CI systems set variables to nothing.
        if let Some(folder) = self.bin_dir.as_ref().filter(|folder| !folder.is_empty()) {
            binaries::use_directory(folder.into());
        }
        if let Some(label) = &self.label {
            host::set_label(label.clone());
        }
    }
}

fn main() -> ExitCode {
    supervisor::run_if_asked();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(&refusal),
    };
    arguments.apply();
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
        Command::Completions(arguments) => shell::print_completions(&arguments),
        Command::Man(arguments) => shell::print_manual(&arguments),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(e) => {
            print_error(&e);
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
        print_error_line(terminal(line));
    }
    Exit::Usage.into()
}
