//! The expected errors of commands, each with its sentence and its exit status.

use std::fmt;
use std::path::{Path, PathBuf};

use conformance::page::CasePageError;
use harness::launcher::ServerExit;
use report::output::{OutputError, PageError};
use report::{Exit, Failure, RenderError};
use report::{Outside, outside};

use crate::results::UnusedFile;

/// How many files are named when none is a result.
const UNUSED_SHOWN: usize = 10;

/// An expected error. Its sentence says what was done to which object, what went wrong, and what to
/// type instead. What a server wrote follows on separate lines.
#[derive(Debug)]
pub(crate) enum Error {
    /// The value of an option is wrong. clap names the option, and this says what to write instead.
    Value(Outside),
    /// No row, suite or case has this name.
    UnknownName {
        /// `row`, `suite` or `case`.
        noun: &'static str,
        name: Outside,
        /// What the user may have meant, the likeliest first.
        nearest: Vec<String>,
        /// The existing names, or how to list them.
        known: String,
    },
    /// `--case` got the name of a suite.
    SuiteForCase { suite: &'static str, cases: Vec<String> },
    /// `--case` got a name that cases of several suites have.
    CaseOfSeveralSuites { case: &'static str, cases: Vec<String> },
    /// Rows, suites, cases and level exist, but together they select no case.
    NoCase { only_in_full: bool },
    /// `--command` or `--contract` cannot be started as it is written.
    ServerCommand { option: &'static str, error: harness::Error },
    /// `--command` or `--contract` names a program that cannot be executed.
    NoSuchProgram(harness::Error),
    /// Nothing listens at the address of `--address`.
    NothingListens { address: Outside, error: std::io::Error },
    /// The server of `--command` could not be started, through no fault of its own.
    NotStarted(Failure),
    /// The server of `--command` ended before it listened.
    EndedAtStart { ended: ServerExit, stderr: Vec<Outside> },
    /// A server did not become ready in time.
    NeverReady { failure: Failure, stderr: Vec<Outside>, hint: &'static str },
    /// The address is beyond loopback, where the command would be an attack on somebody else's
    /// host.
    BeyondLoopback { address: Outside, harm: &'static str },
    /// The generator does not run this workload.
    Workload(Outside),
    /// None of the named files holds a usable result. `unused` says why, for each file that was
    /// read.
    NoResult { paths: Vec<Outside>, unused: Vec<UnusedFile> },
    /// The two results cannot be compared.
    NotComparable(Outside),
    /// A page cannot be written to its file.
    Output(OutputError),
    /// A sweep has no quantity with several values, or more than one.
    NoDimension,
    /// Nothing can be judged: a file of the repository is wrong, or a program is missing.
    Judge(conformance::Error),
    /// A result could not be rendered in a format.
    Render { format: &'static str, reason: Outside },
    /// A file or standard output could not be written.
    Write { target: Outside, error: std::io::Error },
    /// The handler of Ctrl-C could not be installed.
    Signals(Outside),
    /// The generator could not work.
    Generator { target: Outside, reason: Outside },
    /// A server failed while it was traced, for example because an echo was wrong.
    Traced { row: Outside, failure: Failure, stderr: Vec<Outside> },
    /// A server refuses the arguments of its row, both with the requested number of workers and
    /// with the row's own.
    RefusesArguments { row: Outside, stderr: Vec<Outside> },
    /// The server of `--contract` does not announce itself.
    NoAnnouncement { failure: Failure, stderr: Vec<Outside> },
    /// The server of `--contract` says that it cannot serve here.
    Declined(Outside),
    /// Nothing can be traced here.
    NoTracer { reason: Outside, fix: Outside },
}

impl Error {
    /// The error for a wrong value of an option. `sentence` says what to write instead.
    pub(crate) fn value(sentence: impl Into<Outside>) -> Self {
        Self::Value(sentence.into())
    }

    pub(crate) fn write(path: &Path, error: std::io::Error) -> Self {
        Self::Write { target: path.into(), error }
    }

    /// The error of a command that has found nothing to show.
    pub(crate) fn no_result(paths: &[PathBuf], unused: Vec<UnusedFile>) -> Self {
        Self::NoResult { paths: paths.iter().map(Outside::from).collect(), unused }
    }

    /// The documented exit status.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Value(_)
            | Self::UnknownName { .. }
            | Self::SuiteForCase { .. }
            | Self::CaseOfSeveralSuites { .. }
            | Self::NoCase { .. }
            | Self::ServerCommand { .. }
            | Self::NoSuchProgram(_)
            | Self::BeyondLoopback { .. }
            | Self::Workload(_)
            | Self::NotComparable(_)
            | Self::NoDimension => Exit::Usage,
            Self::Output(error) => error.exit(),
            Self::NoResult { unused, .. } => {
                let broken = unused.iter().map(UnusedFile::exit).find(|exit| *exit == Exit::Error);
                broken.unwrap_or(Exit::Usage)
            }
            Self::Judge(_)
            | Self::NothingListens { .. }
            | Self::NotStarted(_)
            | Self::EndedAtStart { .. }
            | Self::NeverReady { .. }
            | Self::Render { .. }
            | Self::Write { .. }
            | Self::Signals(_)
            | Self::Generator { .. }
            | Self::Traced { .. }
            | Self::RefusesArguments { .. } => Exit::Error,
            Self::NoAnnouncement { .. } => Exit::Red,
            Self::Declined(_) | Self::NoTracer { .. } => Exit::Unavailable,
        }
    }
}

impl std::error::Error for Error {}

impl From<harness::Error> for Error {
    fn from(error: harness::Error) -> Self {
        Self::Judge(error.into())
    }
}

impl From<CasePageError> for Error {
    fn from(error: CasePageError) -> Self {
        Self::Judge(error.into())
    }
}

impl From<conformance::Error> for Error {
    fn from(error: conformance::Error) -> Self {
        Self::Judge(error)
    }
}

impl From<OutputError> for Error {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Render(error) => error.into(),
            PageError::Output(error) => error.into(),
        }
    }
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Failed { format, reason } => {
                Self::Render { format: format.name(), reason }
            }
            // Never reached, because the parser of `--output` refuses such a format.
            RenderError::Unsupported { format, .. } => {
                Self::Render { format: format.name(), reason: "it is not offered".into() }
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(sentence) | Self::Workload(sentence) => {
                f.write_str(&sentence.lines_on_terminal())
            }
            Self::Judge(error) => f.write_str(&outside!("{}", error).lines_on_terminal()),
            Self::NotComparable(sentence) => f.write_str(&sentence.on_terminal()),
            Self::UnknownName { noun, name, nearest, known } => {
                write!(f, "no {noun} matches '{}'; ", name.on_terminal())?;
                if !nearest.is_empty() {
                    write!(f, "did you mean {}? ", join_alternatives(nearest))?;
                }
                f.write_str(known)
            }
            Self::SuiteForCase { suite, cases } => {
                write!(f, "{suite} is a suite; write '{suite}/*' or one of")?;
                cases.iter().try_for_each(|case| write!(f, "\n  {case}"))
            }
            Self::CaseOfSeveralSuites { case, cases } => {
                write!(f, "several suites have a case '{case}'; write one of")?;
                cases.iter().try_for_each(|case| write!(f, "\n  {case}"))
            }
            Self::NoCase { only_in_full: true } => {
                f.write_str("no case is selected: these are asked in --profile full only")
            }
            Self::NoCase { only_in_full: false } => f.write_str(
                "no case is selected: `iomatrix list` shows them, and `*` in a name stands for any \
                 text, as in --case 'res/memory*'",
            ),
            Self::ServerCommand { option, error } => {
                write!(f, "{option}: {}", outside!("{}", error).on_terminal())
            }
            Self::NoSuchProgram(error) => {
                write!(f, "no case was judged: {}", outside!("{}", error).on_terminal())
            }
            Self::NothingListens { address, error } => {
                let reason = outside!("{}", error);
                let (address, reason) = (address.on_terminal(), reason.on_terminal());
                write!(
                    f,
                    "no case was judged: connect to {address}: {reason}\n  start the server first, \
                     or have it started with --command"
                )
            }
            Self::NotStarted(Failure { expected, actual, .. }) => {
                let (expected, actual) = (expected.on_terminal(), actual.on_terminal());
                write!(f, "no case was judged: expected {expected}, got {actual}")
            }
            Self::EndedAtStart { ended, stderr } => {
                write!(f, "no case was judged: the server {ended} before it listened")?;
                quote(f, stderr)
            }
            Self::NeverReady { failure, stderr, hint } => {
                let Failure { expected, actual, .. } = failure;
                let (expected, actual) = (expected.on_terminal(), actual.on_terminal());
                write!(f, "no case was judged: expected {expected}, got {actual}")?;
                quote(f, stderr)?;
                write!(f, "\n  {hint} a slow start gets more time with --start-timeout")
            }
            Self::BeyondLoopback { address, harm } => write!(
                f,
                "{} is beyond loopback: {harm}; say --allow-remote if that host is yours",
                address.on_terminal()
            ),
            Self::NoResult { paths, unused } => no_result(f, paths, unused),
            Self::Output(error) => write!(f, "{error}"),
            Self::NoDimension => f.write_str(
                "a sweep varies one quantity: give several values to one of -c, -r, -p and \
                 --workers, as in -c 1,8,64,512",
            ),
            Self::Render { format, reason } => {
                write!(f, "render the result as {format}: {}", reason.on_terminal())
            }
            Self::Write { target, error } => write!(f, "write {}: {error}", target.on_terminal()),
            Self::Signals(reason) => write!(f, "watch for Ctrl-C: {}", reason.on_terminal()),
            Self::Generator { target, reason } => {
                write!(f, "load {}: {}", target.on_terminal(), reason.on_terminal())
            }
            Self::Traced { row, failure, stderr } => {
                let Failure { kind, expected, actual, .. } = failure;
                let (expected, actual) = (expected.on_terminal(), actual.on_terminal());
                write!(f, "{}: {kind}: expected {expected}, got {actual}", row.on_terminal())?;
                quote(f, stderr)
            }
            Self::RefusesArguments { row, stderr } => {
                write!(f, "{}: the server refuses the arguments of its row", row.on_terminal())?;
                quote(f, stderr)
            }
            Self::NoAnnouncement { failure, stderr } => {
                let Failure { expected, actual, .. } = failure;
                let (expected, actual) = (expected.on_terminal(), actual.on_terminal());
                write!(
                    f,
                    "no case was judged: the server does not announce itself (docs/CONTRACT.md)\n  \
                     expected  {expected}\n  actual    {actual}"
                )?;
                quote(f, stderr)?;
                f.write_str("\n  judge a server that knows nothing of the contract with --command")
            }
            Self::Declined(reason) => {
                write!(f, "the server says that it cannot serve here: {}", reason.on_terminal())
            }
            Self::NoTracer { reason, fix } => {
                write!(f, "{}\n  fix: {}", reason.on_terminal(), fix.on_terminal())
            }
        }
    }
}

fn no_result(f: &mut fmt::Formatter<'_>, paths: &[Outside], unused: &[UnusedFile]) -> fmt::Result {
    if let [unused] = unused {
        return write!(f, "{unused}");
    }
    write!(
        f,
        "{}: no file there is a result; write one with --output json=FILE, to a name that ends in \
         .json",
        Outside::join(paths, ", ").on_terminal()
    )?;
    let shown = unused.iter().take(UNUSED_SHOWN);
    shown.clone().try_for_each(|unused| write!(f, "\n  {unused}"))?;
    let rest = unused.len().saturating_sub(UNUSED_SHOWN);
    if rest > 0 { write!(f, "\n  and {rest} more") } else { Ok(()) }
}

/// Writes the last lines of a server's standard error, each on a line of its own.
fn quote(f: &mut fmt::Formatter<'_>, lines: &[Outside]) -> fmt::Result {
    lines.iter().try_for_each(|line| write!(f, "\n  | {}", line.on_terminal()))
}

/// `'a', 'b' or 'c'`.
fn join_alternatives(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some(_) | None => quoted.concat(),
    }
}
