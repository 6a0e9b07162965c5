//! Which cells may run side by side on this host: a lock file, held shared, or exclusively where a
//! cell judges latency or fairness. All runners of a user on this host share the file.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// The lock files of one user on this host.
#[derive(Clone, Debug)]
pub struct Schedule {
    turnstile: PathBuf,
    floor: PathBuf,
}

/// Whether others may run beside a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// They may: nothing is judged that they could disturb.
    Shared,
    /// They may not: they would disturb what is judged, or the case would disturb them.
    Exclusive,
}

/// A place among the running cells, given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    _floor: File,
}

impl Schedule {
    /// The schedule that all runners of this user on this host share.
    #[must_use]
    pub fn of_this_user() -> Self {
        let name = |part: &str| std::env::temp_dir().join(format!("iomatrix-{}-{part}", user()));
        Self { turnstile: name("turnstile.lock"), floor: name("floor.lock") }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// When a lock file cannot be opened or locked.
    pub fn enter(&self, company: Company) -> io::Result<Ticket> {
        // Everybody passes the turnstile one by one, so that a cell that waits for the floor to
        // be empty is not overtaken for ever by cells that share it.
        let turnstile = open(&self.turnstile)?;
        turnstile.lock()?;
        let floor = open(&self.floor)?;
        match company {
            Company::Shared => floor.lock_shared()?,
            Company::Exclusive => floor.lock()?,
        }
        Ok(Ticket { _floor: floor })
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
