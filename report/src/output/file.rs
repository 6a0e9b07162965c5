//! A file that a page is written to. It is checked before a command starts. Wherever its folder
//! allows it, the file is replaced as a whole, so that a reader never sees half a page.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::OutputError;
use super::identity::Identity;

/// The kernel follows at most this many links in a chain (path_resolution(7)).
const MAX_LINKS: u32 = 40;

#[derive(Debug)]
pub struct OutputFile {
    /// The path that the user gave.
    name: PathBuf,
    /// The path after all links.
    path: PathBuf,
    method: WriteMethod,
    /// `None` if there was no file.
    identity: Option<Identity>,
}

/// How the page gets into the file.
#[derive(Debug)]
enum WriteMethod {
    /// Into another file of the folder, which then replaces this file. A reader never sees half a
    /// page, and an old result stays until the whole page replaces it.
    Rename,
    /// Into the file itself, because its folder takes no other file.
    InPlace,
    /// Into a device or a FIFO, which cannot be replaced. It stays open, because its reader stops
    /// when the last writer closes it. Or into standard output or standard error, if the name leads
    /// there; the shell keeps these open.
    Stream(File),
}

impl OutputFile {
    /// Checks whether a file can be written, and does not change it.
    ///
    /// # Errors
    /// It is a folder, its folder does not exist, or the system does not allow writing it.
    pub fn open(name: &Path) -> Result<Self, OutputError> {
        let refuse = |error| OutputError::Unwritable { file: name.into(), error };
        let (path, method) = match name.metadata() {
            Ok(found) if found.is_dir() => return Err(OutputError::Folder(name.into())),
            Ok(found) => {
                let path = name.canonicalize().unwrap_or_else(|_| name.to_owned());
                let method = match (standard_stream(name), found.is_file()) {
                    (Some(stream), _) => WriteMethod::Stream(stream.map_err(refuse)?),
                    (None, true) => choose_method(&path).map_err(refuse)?,
                    (None, false) => WriteMethod::Stream(open_stream(name).map_err(refuse)?),
                };
                (path, method)
            }
            Err(_) if is_named_as_folder(name) => {
                return Err(OutputError::Folder(name.into()));
            }
            Err(error) if is_absence(&error) => {
                let path = expected_path(name)?;
                Sibling::make(&path).map_err(refuse)?;
                (path, WriteMethod::Rename)
            }
            Err(error) => return Err(refuse(error)),
        };
        let identity = Identity::from_path(name);
        Ok(Self { name: name.to_owned(), path, method, identity })
    }

    /// The path that the user gave.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Whether it is the file `input`, or a result below the folder `input`.
    #[must_use]
    pub fn is_below(&self, input: &Path) -> bool {
        let Ok(input) = input.canonicalize() else { return false };
        let is_result = self.path.extension().is_some_and(|extension| extension == "json");
        self.path == input || (is_result && input.is_dir() && self.path.starts_with(input))
    }

    /// Whether a page in it cannot be replaced later.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.method, WriteMethod::Stream(_))
    }

    /// Whether both names lead to one file.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let is_one = self.identity.is_some() && self.identity == other.identity;
        self.path == other.path || is_one
    }

    /// Whether standard output is redirected to this file.
    #[must_use]
    pub fn is_redirected_stdout(&self) -> bool {
        self.path.is_file() && self.identity.is_some() && self.identity == Identity::from_stdout()
    }

    /// Makes a page the content of the file.
    ///
    /// # Errors
    /// The system does not allow writing it. An existing file keeps its content, unless its folder
    /// takes no other file.
    pub fn write(&mut self, page: &[u8]) -> Result<(), OutputError> {
        let written = match &mut self.method {
            WriteMethod::Rename => replace(&self.path, page),
            WriteMethod::InPlace => overwrite(&self.path, page),
            WriteMethod::Stream(stream) => stream.write_all(page),
        };
        written.map_err(|error| OutputError::Unwritable { file: (&self.name).into(), error })
    }
}

/// How a page gets into an existing file.
fn choose_method(path: &Path) -> io::Result<WriteMethod> {
    OpenOptions::new().write(true).open(path)?;
    Ok(if Sibling::make(path).is_ok() { WriteMethod::Rename } else { WriteMethod::InPlace })
}

/// Whether the path ends like that of a folder: in a separator, or in dots after a separator.
fn is_named_as_folder(name: &Path) -> bool {
    let text = name.as_os_str().to_string_lossy();
    let end = text.trim_end_matches('.');
    text.ends_with(std::path::is_separator)
        || (end.len() < text.len() && end.ends_with(std::path::is_separator))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where a file that does not exist yet will be: a dangling link points there.
fn expected_path(name: &Path) -> Result<PathBuf, OutputError> {
    let mut path = name.to_owned();
    for _ in 0..MAX_LINKS {
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
    // The path may be a mount point, or another user's file in a folder where only its owner can
    // replace it.
    fs::rename(&sibling.path, path).or_else(|_| overwrite(path, page))
}

/// Writes a page into the file itself, and creates the file if it does not exist.
fn overwrite(path: &Path, page: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(true);
    // With O_CREAT the kernel may refuse to open another user's file (proc_sys_fs(5),
    // protected_regular).
    let mut file = match options.open(path) {
        Err(error) if is_absence(&error) => options.create(true).open(path)?,
        opened => opened?,
    };
    file.write_all(page)
}

/// Standard output or standard error, if the path leads to one of them.
fn standard_stream(path: &Path) -> Option<io::Result<File>> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        let identity = Identity::from_path(path)?;
        let duplicate =
            |stream: std::os::fd::BorrowedFd<'_>| Some(stream.try_clone_to_owned().map(File::from));
        if Some(&identity) == Identity::from_stdout().as_ref() {
            return duplicate(io::stdout().as_fd());
        }
        if Some(&identity) == Identity::from_stderr().as_ref() {
            return duplicate(io::stderr().as_fd());
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    None
}

/// A temporary file next to another file; removed when dropped.
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
                // A process that was killed has left its file.
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
        // After a rename the file no longer exists.
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
        // A page may be longer than the capacity of a pipe, so writes must block.
        let flags = rustix::fs::fcntl_getfl(&file)? - rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&file, flags)?;
    }
    Ok(file)
}
