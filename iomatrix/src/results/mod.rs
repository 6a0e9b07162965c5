//! Result files of all commands: found in a folder, read with care, and told apart by what is in
//! them. A file that is no result is named, and does not stop those that are.

mod file;
mod marks;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use report::bench::Bench;
use report::compare::Comparison;
use report::escape::terminal;
use report::load::LoadResult;
use report::sweep::Sweep;
use report::trace::Trace;
use report::{Exit, Kind, Run};
use serde::de::DeserializeSeed as _;

use marks::Marks;

/// The most files that are read below one folder.
const MOST_FILES: usize = 10_000;

/// What a result file holds.
#[derive(Debug)]
pub(crate) enum AnyDocument {
    Run(Box<Run>),
    Bench(Box<Bench>),
    Sweep(Box<Sweep>),
    Load(Box<LoadResult>),
    Trace(Box<Trace>),
    Comparison(Box<Comparison>),
}

/// Why a file is no result that this program reads.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is nothing by this name.
    Missing,
    /// A FIFO, a folder, a device or a socket.
    NotAFile(&'static str),
    /// More than is read of any file.
    TooLong,
    /// More files than are read below a folder.
    TooMany,
    /// The system does not let it be read.
    Unreadable(io::Error),
    /// It has no byte.
    Empty,
    /// It ends within a document, of a kind that its beginning told.
    Truncated { kind: Option<Kind>, line: usize, column: usize },
    /// It is no JSON, or holds values that a result of its kind does not have.
    Malformed { kind: Option<Kind>, reason: String },
    /// It is JSON and no result.
    NoResult,
    /// It has another version than this program reads, or none.
    Version { kind: Kind, found: Option<u64>, reads: u32 },
    /// It is a result, but the command does not take those of its kind.
    NotTaken { kind: Kind, by: &'static str },
}

/// A file that could not be used, and why.
#[derive(Debug)]
pub(crate) struct Unused {
    pub(crate) path: PathBuf,
    pub(crate) error: ReadError,
}

/// What was found below the paths that a user named.
#[derive(Debug, Default)]
pub(crate) struct ResultFiles {
    /// The results, in the order of paths, and by name within a folder.
    pub(crate) documents: Vec<(PathBuf, AnyDocument)>,
    /// The files that are none.
    pub(crate) unused: Vec<Unused>,
}

impl ResultFiles {
    /// Reads these files, and every .json file below these folders.
    pub(crate) fn below(paths: &[PathBuf]) -> Self {
        let mut results = Self::default();
        for path in paths {
            if path.is_dir() {
                let mut files = Vec::new();
                results.list(path, &mut files);
                files.sort();
                files.iter().for_each(|file| results.add(file));
            } else {
                results.add(path);
            }
        }
        results
    }

    fn add(&mut self, path: &Path) {
        match read(path) {
            Ok(document) => self.documents.push((path.to_owned(), document)),
            Err(error) => self.refuse(path, error),
        }
    }

    fn refuse(&mut self, path: &Path, error: ReadError) {
        self.unused.push(Unused { path: path.to_owned(), error });
    }

    /// Every .json file below a folder. Downloaded artifacts lie one folder deeper, each in one of
    /// its name; a link to a folder is not followed, because it may lead back.
    fn list(&mut self, folder: &Path, files: &mut Vec<PathBuf>) {
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(error) => return self.refuse(folder, error.into()),
        };
        for entry in entries {
            let (path, file_type) = match entry.and_then(|e| Ok((e.path(), e.file_type()?))) {
                Ok(found) => found,
                Err(error) => return self.refuse(folder, error.into()),
            };
            if file_type.is_dir() {
                self.list(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                if files.len() == MOST_FILES {
                    return self.refuse(folder, ReadError::TooMany);
                }
                files.push(path);
            }
        }
    }

    /// Removes the results that a command does not take, which are files that it does not use.
    pub(crate) fn refuse_unless(&mut self, by: &'static str, takes: impl Fn(&AnyDocument) -> bool) {
        let (taken, others): (Vec<_>, Vec<_>) =
            self.documents.drain(..).partition(|(_, document)| takes(document));
        self.documents = taken;
        for (path, document) in others {
            self.refuse(&path, ReadError::NotTaken { kind: document.kind(), by });
        }
    }
}

/// Reads a file, and tells what it is by a field that only one kind of document has.
fn read(path: &Path) -> Result<AnyDocument, ReadError> {
    parse(&file::read(path)?)
}

fn parse(text: &[u8]) -> Result<AnyDocument, ReadError> {
    if text.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    let mut marks = Marks::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = marks.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| ReadError::of(marks.kind, &error))?;
    let Some(kind) = marks.kind else { return Err(ReadError::NoResult) };
    let version = marks.version;
    Ok(match kind {
        Kind::Run => AnyDocument::Run(typed(text, version)?),
        Kind::Bench => AnyDocument::Bench(typed(text, version)?),
        Kind::Sweep => AnyDocument::Sweep(typed(text, version)?),
        Kind::Load => AnyDocument::Load(typed(text, version)?),
        Kind::Trace => AnyDocument::Trace(typed(text, version)?),
        Kind::Comparison => AnyDocument::Comparison(typed(text, version)?),
    })
}

fn typed<D: report::Document>(text: &[u8], found: Option<u64>) -> Result<Box<D>, ReadError> {
    if found != Some(D::VERSION.into()) {
        return Err(ReadError::Version { kind: D::KIND, found, reads: D::VERSION });
    }
    serde_json::from_slice(text).map(Box::new).map_err(|error| ReadError::of(Some(D::KIND), &error))
}

impl AnyDocument {
    fn kind(&self) -> Kind {
        match self {
            Self::Run(_) => Kind::Run,
            Self::Bench(_) => Kind::Bench,
            Self::Sweep(_) => Kind::Sweep,
            Self::Load(_) => Kind::Load,
            Self::Trace(_) => Kind::Trace,
            Self::Comparison(_) => Kind::Comparison,
        }
    }
}

impl ReadError {
    fn of(kind: Option<Kind>, error: &serde_json::Error) -> Self {
        if error.is_eof() {
            return Self::Truncated { kind, line: error.line(), column: error.column() };
        }
        Self::Malformed { kind, reason: error.to_string() }
    }

    /// The status of a command that has nothing else to show: 2 where another file should have been
    /// named, 3 where the file should have been a result.
    fn exit(&self) -> Exit {
        match self {
            Self::Missing | Self::NotAFile(_) | Self::NoResult | Self::NotTaken { .. } => {
                Exit::Usage
            }
            Self::Version { .. } => Exit::Usage,
            Self::TooLong
            | Self::TooMany
            | Self::Unreadable(_)
            | Self::Empty
            | Self::Truncated { .. }
            | Self::Malformed { .. } => Exit::Error,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Unreadable(error)
        }
    }
}

/// `a result of `iomatrix bench``, or of what is not known.
fn result_of(kind: Option<Kind>) -> String {
    kind.map_or("a JSON document".to_owned(), |kind| {
        format!("a result of `iomatrix {}`", kind.command())
    })
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::NotAFile(what) => write!(f, "it is {what}; name a file that holds a result"),
            Self::TooLong => {
                let limit = file::LIMIT_BYTES / (1024 * 1024);
                write!(f, "it is longer than {limit} MiB, which no result is")
            }
            Self::TooMany => {
                write!(f, "there are more than {MOST_FILES} .json files below it; name fewer")
            }
            Self::Unreadable(error) => write!(f, "{error}"),
            Self::Empty => f.write_str("it is empty: what was to write it has not finished"),
            Self::Truncated { kind, line, column } => write!(
                f,
                "it is truncated: {} ends at line {line}, column {column}, before it is complete",
                result_of(*kind)
            ),
            Self::Malformed { kind: Some(kind), reason } => {
                let kind = &result_of(Some(*kind))[2..];
                write!(f, "it is no {kind} that can be read: {}", terminal(reason))
            }
            Self::Malformed { kind: None, reason } => {
                write!(f, "it is no JSON: {}", terminal(reason))
            }
            Self::NoResult => f.write_str("it is JSON, but no result of iomatrix"),
            Self::Version { kind, found, reads } => {
                let found =
                    found.map_or("no version".to_owned(), |found| format!("format {found}"));
                let kind = result_of(Some(*kind));
                write!(f, "it is {kind} and has {found}; this program reads format {reads}")
            }
            Self::NotTaken { kind, by } => {
                write!(f, "it is {}, which `iomatrix {by}` does not take", result_of(Some(*kind)))
            }
        }
    }
}

impl Unused {
    /// The status of a command that has nothing else to show.
    pub(crate) fn exit(&self) -> Exit {
        self.error.exit()
    }
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = terminal(&self.path.display().to_string());
        write!(f, "read {path}: {}", self.error)
    }
}
