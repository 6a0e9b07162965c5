//! A folder for the Unix sockets of one launcher's servers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder with a unique name. Dropping this removes the folder and its contents.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates the folder among the user's temporary files. Its name is short, because a Unix
    /// address holds only about 100 bytes.
    ///
    /// # Errors
    /// See mkdir(2).
    pub fn new() -> io::Result<Self> {
        loop {
            let folder = std::env::temp_dir().join(format!("iom-{:08x}", fastrand::u32(..)));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody could handle the error, and the folder is among temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
