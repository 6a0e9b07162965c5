//! A file that a page is written to. Whether it can be written is known before a command starts,
//! and who reads it later sees the page before or the page after, never a part of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::OutputError;
use super::identity::Identity;

/// Longer chains of links lead nowhere (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// A file to write a page to.
#[derive(Debug)]
pub struct OutFile {
    /// As the user named it.
    name: PathBuf,
    /// Where links lead to.
    path: PathBuf,
    means: Means,
    /// That of what is there, if something is.
    identity: Option<Identity>,
}

/// How the page gets there.
#[derive(Debug)]
enum Means {
    /// Into another file of the same folder, which then takes its place: a reader never sees half a
    /// page, and a result that was there stays until it is replaced whole.
    Rename,
    /// Into the file itself, whose folder takes no other file.
    InPlace,
    /// Into a device or FIFO, which cannot be replaced; it is held open, because its reader stops
    /// when the last writer closes it. Or into standard output or standard error, if the name
    /// leads there: the shell keeps the file open.
    Stream(File),
}

impl OutFile {
    /// Looks whether a file can be written, and leaves it as it is.
    ///
    /// # Errors
    /// It is a folder, its folder does not exist, or the system does not let it be written.
    pub fn open(name: &Path) -> Result<Self, OutputError> {
        let refuse = |error| OutputError::Unwritable { file: name.into(), error };
        let (path, means) = match name.metadata() {
            Ok(found) if found.is_dir() => return Err(OutputError::Folder(name.into())),
            Ok(found) => {
                let path = name.canonicalize().unwrap_or_else(|_| name.to_owned());
                let means = match (standard_stream(name), found.is_file()) {
                    (Some(stream), _) => Means::Stream(stream.map_err(refuse)?),
                    (None, true) => regular(&path).map_err(refuse)?,
                    (None, false) => Means::Stream(open_stream(name).map_err(refuse)?),
                };
                (path, means)
            }
            Err(_) if is_named_as_folder(name) => {
                return Err(OutputError::Folder(name.into()));
            }
            Err(error) if is_absence(&error) => {
                let path = expected_path(name)?;
                Sibling::make(&path).map_err(refuse)?;
                (path, Means::Rename)
            }
            Err(error) => return Err(refuse(error)),
        };
        let identity = Identity::of(name);
        Ok(Self { name: name.to_owned(), path, means, identity })
    }

    /// As the user named it.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Whether it is this file, or a result below this folder.
    #[must_use]
    pub fn is_below(&self, input: &Path) -> bool {
        let Ok(input) = input.canonicalize() else { return false };
        let is_result = self.path.extension().is_some_and(|extension| extension == "json");
        self.path == input || (is_result && input.is_dir() && self.path.starts_with(input))
    }

    /// Whether what was written cannot be replaced.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.means, Means::Stream(_))
    }

    /// Whether both are one file.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let is_one = self.identity.is_some() && self.identity == other.identity;
        self.path == other.path || is_one
    }

    /// Whether standard output is redirected to this file.
    #[must_use]
    pub fn is_redirected_stdout(&self) -> bool {
        self.path.is_file() && self.identity.is_some() && self.identity == Identity::of_stdout()
    }

    /// Makes a page its content.
    ///
    /// # Errors
    /// The system does not let it be written. A file that was there is as it was then, unless its
    /// folder takes no other file.
    pub fn write(&mut self, page: &[u8]) -> Result<(), OutputError> {
        let written = match &mut self.means {
            Means::Rename => replace(&self.path, page),
            Means::InPlace => overwrite(&self.path, page),
            Means::Stream(stream) => stream.write_all(page),
        };
        written.map_err(|error| OutputError::Unwritable { file: (&self.name).into(), error })
    }
}

/// How a page gets into a file that is there.
fn regular(path: &Path) -> io::Result<Means> {
    OpenOptions::new().write(true).open(path)?;
    Ok(if Sibling::make(path).is_ok() { Means::Rename } else { Means::InPlace })
}

/// Whether a path says by its end that it is one of a folder.
fn is_named_as_folder(name: &Path) -> bool {
    let text = name.as_os_str().to_string_lossy();
    let end = text.trim_end_matches('.');
    text.ends_with(std::path::is_separator)
        || (end.len() < text.len() && end.ends_with(std::path::is_separator))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where a file that does not exist will be: a link that leads to nothing names it.
fn expected_path(name: &Path) -> Result<PathBuf, OutputError> {
    let mut path = name.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = path.read_link() else { break };
        path = path.with_file_name("").join(target);
    }
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(file)) if folder.is_dir() => Ok(folder.join(file)),
        _ => Err(OutputError::NoFolder { file: name.into(), folder: folder.into() }),
    }
}

fn replace(path: &Path, page: &[u8]) -> io::Result<()> {
    let mut sibling = Sibling::make(path)?;
    sibling.file.write_all(page)?;
    if let Ok(replaced) = path.metadata() {
        sibling.file.set_permissions(replaced.permissions())?;
    }
    // It may be a mount of its own, or another user's in a folder where only he can replace it.
    fs::rename(&sibling.path, path).or_else(|_| overwrite(path, page))
}

/// Makes a page the content of a file, and the file if it is not there.
fn overwrite(path: &Path, page: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(true);
    // Another user's file is not opened by one who may create it (proc_sys_fs(5),
    // protected_regular).
    let mut file = match options.open(path) {
        Err(error) if is_absence(&error) => options.create(true).open(path)?,
        opened => opened?,
    };
    file.write_all(page)
}

/// Standard output or standard error, if a path leads to what one of them is.
fn standard_stream(path: &Path) -> Option<io::Result<File>> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        let identity = Identity::of(path)?;
        let duplicate =
            |stream: std::os::fd::BorrowedFd<'_>| Some(stream.try_clone_to_owned().map(File::from));
        if Some(&identity) == Identity::of_stdout().as_ref() {
            return duplicate(io::stdout().as_fd());
        }
        if Some(&identity) == Identity::of_stderr().as_ref() {
            return duplicate(io::stderr().as_fd());
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    None
}

/// An unnamed neighbour of a file, which is gone when dropped.
struct Sibling {
    path: PathBuf,
    file: File,
}

impl Sibling {
    fn make(of: &Path) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let name = format!(".iomatrix-{}-{number}.tmp", std::process::id());
            let path = of.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                // One that was killed has left its own.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 9 => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        // Where it has taken another's place there is none any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens a device or a FIFO without waiting for its reader.
fn open_stream(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        // A page may be longer than what a pipe takes at once.
        let flags = rustix::fs::fcntl_getfl(&file)? - rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&file, flags)?;
    }
    Ok(file)
}
