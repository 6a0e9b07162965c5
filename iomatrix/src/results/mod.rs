//! Result files of all commands: finds them in folders, reads them with care, and tells their kinds
//! apart by their fields. A file that is not a result is reported, and does not stop the others.

mod collection;
mod file;
mod marks;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use report::bench::Bench;
use report::compare::Comparison;
use report::escape::terminal;
use report::load::LoadResult;
use report::output::Identity;
use report::sweep::Sweep;
use report::trace::Trace;
use report::{Exit, Kind, Outside, Run, outside};
use serde::de::DeserializeSeed as _;
use serde_json::error::Category;

pub(crate) use collection::Collection;
use marks::{Content, Marks, Version};

/// The largest number of files that are read below one folder.
const MAX_FILES: usize = 10_000;

#[derive(Debug)]
pub(crate) enum AnyDocument {
    Run(Box<Run>),
    Bench(Box<Bench>),
    Sweep(Box<Sweep>),
    Load(Box<LoadResult>),
    Trace(Box<Trace>),
    Comparison(Box<Comparison>),
}

/// Why a file is not a result that this program reads.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no file with this name.
    Missing,
    /// A FIFO, a folder, a device or a socket.
    NotAFile(&'static str),
    /// It is longer than [`file::LIMIT_BYTES`].
    TooLong,
    /// There are more than [`MAX_FILES`] files below a folder.
    TooMany,
    /// The system does not let it be read.
    Unreadable(io::Error),
    /// It has nothing but white space.
    Empty,
    /// It begins with a byte order mark.
    ByteOrderMark,
    /// It ends within a document. `content` is known if the beginning showed it.
    Truncated { content: Option<Content>, line: usize, column: usize },
    /// It is not JSON.
    NoJson(Outside),
    /// It is JSON, with contents that no result has.
    Malformed { content: Option<Content>, reason: Outside },
    /// It is JSON, but not a result.
    NoResult,
    /// Its version is missing, or is not the one that this program reads.
    Version { content: Content, found: Version, reads: u32 },
    /// It is a result, but of a kind that the command does not take.
    WrongKind { kind: Kind, command: &'static str },
}

/// A file that could not be used, and why.
#[derive(Debug)]
pub(crate) struct UnusedFile {
    pub(crate) path: PathBuf,
    pub(crate) error: ReadError,
}

/// What was found below the paths that the user named.
#[derive(Debug, Default)]
pub(crate) struct ResultFiles {
    /// The results, in the order of the paths, and by name within a folder.
    pub(crate) documents: Vec<(PathBuf, AnyDocument)>,
    /// The files that are not results.
    pub(crate) unused: Vec<UnusedFile>,
    /// The files that were read, so that a file that is named twice counts as one result.
    seen: HashSet<Identity>,
}

impl ResultFiles {
    /// Reads these files, and every .json file below these folders.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
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
        if Identity::from_path(path).is_some_and(|identity| !self.seen.insert(identity)) {
            return;
        }
        match read(path) {
            Ok(documents) => {
                let named = documents.into_iter().map(|document| (path.to_owned(), document));
                self.documents.extend(named);
            }
            Err(error) => self.refuse(path, error),
        }
    }

    fn refuse(&mut self, path: &Path, error: ReadError) {
        self.unused.push(UnusedFile { path: path.to_owned(), error });
    }

    /// Lists every .json file below a folder. Downloaded artifacts are one level deeper, each in a
    /// folder of its own. Links to folders are not followed, because they may lead back.
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
                if files.len() == MAX_FILES {
                    return self.refuse(folder, ReadError::TooMany);
                }
                files.push(path);
            }
        }
    }

    /// Moves the results that a command does not take to the files that were not used.
    pub(crate) fn keep_only(
        &mut self,
        command: &'static str,
        takes: impl Fn(&AnyDocument) -> bool,
    ) {
        let (taken, others): (Vec<_>, Vec<_>) =
            self.documents.drain(..).partition(|(_, document)| takes(document));
        self.documents = taken;
        for (path, document) in others {
            self.refuse(&path, ReadError::WrongKind { kind: document.kind(), command });
        }
    }
}

/// Reads a file. A field that only one kind of document has shows which kind it is.
fn read(path: &Path) -> Result<Vec<AnyDocument>, ReadError> {
    parse(&file::read(path)?)
}

fn parse(text: &[u8]) -> Result<Vec<AnyDocument>, ReadError> {
    if text.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    // The byte order marks of UTF-8 and of both forms of UTF-16.
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
    if marks.iter().any(|mark| text.starts_with(mark)) {
        return Err(ReadError::ByteOrderMark);
    }
    let mut marks = Marks::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = marks.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| ReadError::from_syntax_error(marks.content, &error))?;
    let Marks { content, version, inner_versions } = marks;
    let Some(content) = content else { return Err(ReadError::NoResult) };
    let document = match content {
        Content::One(Kind::Run) => AnyDocument::Run(parse_document(text, version)?),
        Content::One(Kind::Bench) => AnyDocument::Bench(parse_document(text, version)?),
        Content::One(Kind::Sweep) => AnyDocument::Sweep(parse_document(text, version)?),
        Content::One(Kind::Load) => AnyDocument::Load(parse_document(text, version)?),
        Content::One(Kind::Trace) => AnyDocument::Trace(parse_document(text, version)?),
        Content::One(Kind::Comparison) => AnyDocument::Comparison(parse_document(text, version)?),
        Content::Several => return parse_collection(text, version, inner_versions),
    };
    Ok(vec![document])
}

fn parse_document<D: report::Document>(text: &[u8], found: Version) -> Result<Box<D>, ReadError> {
    let content = Content::One(D::KIND);
    expect_version(content, found, D::VERSION)?;
    serde_json::from_slice(text)
        .map(Box::new)
        .map_err(|error| ReadError::from_type_error(content, &error))
}

/// The documents that `iomatrix report` has written to one file.
fn parse_collection(
    text: &[u8],
    version: Version,
    inner_versions: Vec<(Kind, Version)>,
) -> Result<Vec<AnyDocument>, ReadError> {
    let content = Content::Several;
    expect_version(content, version, collection::VERSION)?;
    for (kind, version) in inner_versions {
        expect_version(Content::One(kind), version, format_version(kind))?;
    }
    let read: Result<Collection, _> = serde_json::from_slice(text);
    Ok(read.map_err(|error| ReadError::from_type_error(content, &error))?.into_documents())
}

fn format_version(kind: Kind) -> u32 {
    use report::Document as _;
    match kind {
        Kind::Run => Run::VERSION,
        Kind::Bench => Bench::VERSION,
        Kind::Sweep => Sweep::VERSION,
        Kind::Load => LoadResult::VERSION,
        Kind::Trace => Trace::VERSION,
        Kind::Comparison => Comparison::VERSION,
    }
}

fn expect_version(content: Content, found: Version, reads: u32) -> Result<(), ReadError> {
    if found == Version::Number(reads.into()) {
        Ok(())
    } else {
        Err(ReadError::Version { content, found, reads })
    }
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
    fn from_syntax_error(content: Option<Content>, error: &serde_json::Error) -> Self {
        let reason = outside!("{}", error);
        match error.classify() {
            Category::Eof => {
                Self::Truncated { content, line: error.line(), column: error.column() }
            }
            Category::Syntax => Self::NoJson(reason),
            Category::Data | Category::Io => Self::Malformed { content, reason },
        }
    }

    /// The error for a text that is JSON. The parser reports some values of a wrong type as a
    /// syntax error.
    fn from_type_error(content: Content, error: &serde_json::Error) -> Self {
        Self::Malformed { content: Some(content), reason: outside!("{}", error) }
    }

    /// The exit status of a command that has nothing else to show: 2 if the user should name
    /// another file, 3 if the file should be a result.
    fn exit(&self) -> Exit {
        match self {
            Self::Missing | Self::NotAFile(_) | Self::NoResult | Self::WrongKind { .. } => {
                Exit::Usage
            }
            Self::Version { .. } => Exit::Usage,
            Self::TooLong
            | Self::TooMany
            | Self::Unreadable(_)
            | Self::Empty
            | Self::ByteOrderMark
            | Self::Truncated { .. }
            | Self::NoJson(_)
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

/// Names a result by its command, or as a JSON document if its content is unknown.
fn describe_result(content: Option<Content>) -> String {
    content.map_or("a JSON document".to_owned(), |content| {
        format!("a result of `iomatrix {}`", content.command())
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
                write!(f, "there are more than {MAX_FILES} .json files below it; name fewer")
            }
            Self::Unreadable(error) => write!(f, "{error}"),
            Self::Empty => f.write_str("it is empty; the command that writes it has not finished"),
            Self::ByteOrderMark => f.write_str(
                "it begins with a byte order mark, as `>` of PowerShell writes; write it with \
                 --output json=FILE",
            ),
            Self::Truncated { content, line, column } => write!(
                f,
                "it is truncated: {} ends at line {line}, column {column}, before it is complete",
                describe_result(*content)
            ),
            Self::NoJson(reason) => write!(f, "it is no JSON: {}", reason.on_terminal()),
            Self::Malformed { content: Some(content), reason } => write!(
                f,
                "it is no result of `iomatrix {}` that can be read: {}",
                content.command(),
                reason.on_terminal()
            ),
            Self::Malformed { content: None, reason } => {
                write!(f, "it is no result of iomatrix: {}", reason.on_terminal())
            }
            Self::NoResult => f.write_str("it is JSON, but no result of iomatrix"),
            Self::Version { content, found, reads } => {
                let content = describe_result(Some(*content));
                let found = match found {
                    Version::Absent => "no version".to_owned(),
                    Version::Number(number) => format!("format {number}"),
                    Version::Other(value) => {
                        format!("the version {}, which is no whole number", value.on_terminal())
                    }
                };
                write!(f, "it is {content} and has {found}; this program reads format {reads}")
            }
            Self::WrongKind { kind, command } => {
                write!(
                    f,
                    "it is {}, which `iomatrix {command}` does not take",
                    describe_result(Some(Content::One(*kind)))
                )
            }
        }
    }
}

impl UnusedFile {
    /// The exit status of a command that has nothing else to show.
    pub(crate) fn exit(&self) -> Exit {
        self.error.exit()
    }
}

impl fmt::Display for UnusedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = terminal(&self.path.display().to_string());
        write!(f, "read {path}: {}", self.error)
    }
}
