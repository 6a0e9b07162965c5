//! Reads a file that somebody else named, with care: opens only regular files, never waits for
//! another process, and reads no more than a limit, whatever length the system claims.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use super::ReadError;

/// The longest file that is read: about 100 times the largest result that was ever written.
pub(super) const LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Reads all bytes of a regular file.
///
/// # Errors
/// The file does not exist, is not regular, is too long, or cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    // Checked before opening, because opening a device may have effects.
    expect_regular(&path.metadata()?)?;
    let file = open(path)?;
    // Checked again, because another file may have taken its place.
    let metadata = file.metadata()?;
    expect_regular(&metadata)?;
    if metadata.len() > LIMIT_BYTES {
        return Err(ReadError::TooLong);
    }
    let mut bytes = Vec::new();
    // The file may grow, and files in /proc report no length.
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT_BYTES { Err(ReadError::TooLong) } else { Ok(bytes) }
}

/// Opens the file without waiting for the other end of a FIFO.
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

/// Names the type of something that is not a regular file.
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
