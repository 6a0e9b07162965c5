//! A file that a page is written to. Whether it can be written is known before a command starts,
//! and who reads it later sees the page before or the page after, never a part of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file to write a page to.
#[derive(Debug)]
pub(crate) struct OutFile {
    /// As the user named it.
    name: PathBuf,
    /// Where links lead to.
    path: PathBuf,
    means: Means,
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
    /// when the last writer closes it.
    Stream(File),
}

impl OutFile {
    /// Looks whether a file can be written, and leaves it as it is.
    ///
    /// # Errors
    /// It is a folder, its folder does not exist, or the system does not let it be written.
    pub(crate) fn open(name: &Path) -> Result<Self, Error> {
        let refuse = |error| Error::write(name, error);
        let (path, means) = match name.metadata() {
            Ok(found) if found.is_dir() => return Err(Error::OutputFolder(name.to_owned())),
            Ok(found) if found.is_file() => {
                let path = name.canonicalize().map_err(refuse)?;
                OpenOptions::new().write(true).open(&path).map_err(refuse)?;
                let means =
                    if Sibling::make(&path).is_ok() { Means::Rename } else { Means::InPlace };
                (path, means)
            }
            Ok(_) => (name.to_owned(), Means::Stream(open_stream(name).map_err(refuse)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = expected_path(name)?;
                Sibling::make(&path).map_err(refuse)?;
                (path, Means::Rename)
            }
            Err(error) => return Err(refuse(error)),
        };
        Ok(Self { name: name.to_owned(), path, means })
    }

    /// As the user named it.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    /// Whether it is this file, or a result below this folder.
    pub(crate) fn is_below(&self, input: &Path) -> bool {
        let Ok(input) = input.canonicalize() else { return false };
        let is_result = self.path.extension().is_some_and(|extension| extension == "json");
        self.path == input || (is_result && input.is_dir() && self.path.starts_with(input))
    }

    /// Whether what was written cannot be replaced.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.means, Means::Stream(_))
    }

    /// Whether both are one file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path
    }

    /// Makes a page its content.
    ///
    /// # Errors
    /// The system does not let it be written. A file that was there is as it was then, unless its
    /// folder takes no other file.
    pub(crate) fn write(&mut self, page: &[u8]) -> Result<(), Error> {
        let written = match &mut self.means {
            Means::Rename => replace(&self.path, page),
            Means::InPlace => fs::write(&self.path, page),
            Means::Stream(stream) => stream.write_all(page),
        };
        written.map_err(|error| Error::write(&self.name, error))
    }
}

/// Where a file that does not exist will be.
fn expected_path(name: &Path) -> Result<PathBuf, Error> {
    let folder = match name.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    match (folder.canonicalize(), name.file_name()) {
        (Ok(folder), Some(file)) if folder.is_dir() => Ok(folder.join(file)),
        _ => Err(Error::NoOutputFolder { file: name.to_owned(), folder: folder.to_owned() }),
    }
}

fn replace(path: &Path, page: &[u8]) -> io::Result<()> {
    let mut sibling = Sibling::make(path)?;
    sibling.file.write_all(page)?;
    if let Ok(replaced) = path.metadata() {
        sibling.file.set_permissions(replaced.permissions())?;
    }
    fs::rename(&sibling.path, path)
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
