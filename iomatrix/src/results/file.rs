//! A file that somebody else names, read with care: only a regular file is opened, opening it waits
//! for nobody, and no more than a limit is read, whatever length the system claims.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use super::ReadError;

/// The most that is read of a file: about a hundred times the largest result that was ever written.
pub(super) const LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// All bytes of a regular file.
///
/// # Errors
/// It does not exist, is no regular file, is too long, or cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    // Before it is opened, because to open a device may do something.
    expect_regular(&path.metadata()?)?;
    let file = open(path)?;
    // Once more, because another file may have taken its place.
    let metadata = file.metadata()?;
    expect_regular(&metadata)?;
    if metadata.len() > LIMIT_BYTES {
        return Err(ReadError::TooLong);
    }
    let mut bytes = Vec::new();
    // It may grow, and files of /proc have no length.
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT_BYTES { Err(ReadError::TooLong) } else { Ok(bytes) }
}

/// Opens it without waiting for the other end of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    }
    options.open(path)
}

fn expect_regular(metadata: &Metadata) -> Result<(), ReadError> {
    if metadata.is_file() { Ok(()) } else { Err(ReadError::NotAFile(kind(metadata.file_type()))) }
}

/// What something that is no regular file is.
fn kind(file_type: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if file_type.is_fifo() {
            return "a FIFO";
        }
        if file_type.is_socket() {
            return "a socket";
        }
        if file_type.is_block_device() || file_type.is_char_device() {
            return "a device";
        }
    }
    if file_type.is_dir() { "a folder" } else { "not a regular file" }
}
