//! A folder for the Unix paths of one launcher's servers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder with a name of its own, which is removed with what is in it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one where this user's temporary files are. Its name is short: a Unix address has room
    /// for about a hundred bytes.
    ///
    /// # Errors
    /// Those of mkdir(2).
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

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody can be told; the folder is among other temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
