//! Decides which cells may run in parallel on this host. A cell holds a lock file: shared, or
//! exclusively if it judges latency or fairness. All runners of one user on this host share the
//! files.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// The lock files of one user on this host.
#[derive(Clone, Debug)]
pub struct Schedule {
    turnstile: PathBuf,
    floor: PathBuf,
}

/// Whether other cells may run in parallel with a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They may: they cannot disturb what is judged.
    Shared,
    /// They may not: they would disturb what is judged, or the case would disturb them.
    Exclusive,
}

/// A cell's right to run, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _floor: File,
}

impl Schedule {
    /// The schedule that all runners of this user on this host share.
    #[must_use]
    pub fn of_this_user() -> Self {
        let name = |part: &str| std::env::temp_dir().join(format!("iomatrix-{}-{part}", user()));
        Self { turnstile: name("turnstile.lock"), floor: name("floor.lock") }
    }

    /// Waits until a cell may run.
    ///
    /// # Errors
    /// A lock file cannot be opened or locked.
    pub fn enter(&self, sharing: Sharing) -> io::Result<Permit> {
        // Every cell passes the turnstile first. Otherwise, cells that share the floor could
        // forever overtake a cell that waits until the floor is empty.
        let turnstile = open(&self.turnstile)?;
        turnstile.lock()?;
        let floor = open(&self.floor)?;
        match sharing {
            Sharing::Shared => floor.lock_shared()?,
            Sharing::Exclusive => floor.lock()?,
        }
        Ok(Permit { _floor: floor })
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

#[cfg(unix)]
fn user() -> String {
    rustix::process::getuid().as_raw().to_string()
}

#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_default()
}
