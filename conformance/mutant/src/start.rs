//! Faults of starting: each strikes at one step between the command line and the loop.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::fault::Fault;
use crate::listener::Bound;
use crate::options::Options;

/// Instead of starting at all.
pub(crate) fn misbehave(fault: Option<Fault>) -> Option<ExitCode> {
    match fault {
        Some(Fault::NeverAnnounces) => park(),
        Some(Fault::PrintsGarbage) => {
            println!("\u{7f}ELF {{\"ready\": [[[ listening, more or less");
            park()
        }
        Some(Fault::DiesEarly) => Some(ExitCode::from(3)),
        Some(_) | None => None,
    }
}

/// The status after a start that failed.
pub(crate) fn failed(fault: Option<Fault>) -> ExitCode {
    if fault == Some(Fault::ExitsZeroOnBindFailure) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The lock files of [`Fault::LockFile`], to be removed after an orderly stop; an error if there
/// is one already for a port that was asked for.
pub(crate) fn lock(options: &Options, listeners: &[Bound]) -> io::Result<Vec<PathBuf>> {
    if options.fault != Some(Fault::LockFile) {
        return Ok(Vec::new());
    }
    let mut locks = Vec::new();
    for (asked, bound) in options.addresses().zip(listeners) {
        let lock = std::env::temp_dir().join(format!("mutant-{}.lock", bound.address.port()));
        if asked.port() != 0 && lock.exists() {
            return Err(io::Error::other(format!("{} exists", lock.display())));
        }
        File::create(&lock)?;
        locks.push(lock);
    }
    Ok(locks)
}

/// Between listening and the announcement.
pub(crate) fn before_announcing(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(Fault::UnusedRing) => open_ring(),
        Some(Fault::FloodsStderr) => {
            std::thread::spawn(flood);
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// Between the announcement and the loop.
pub(crate) fn after_announcing(fault: Option<Fault>, listeners: &[Bound]) -> io::Result<()> {
    match fault {
        Some(Fault::AnnouncesBeforeListening) => {
            std::thread::sleep(Duration::from_millis(50));
            listeners.iter().try_for_each(Bound::listen)
        }
        Some(Fault::Hangs) => park(),
        Some(_) | None => Ok(()),
    }
}

/// Opens a ring that lives as long as the process.
#[cfg(target_os = "linux")]
fn open_ring() -> io::Result<()> {
    std::mem::forget(io_uring::IoUring::new(8)?);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open_ring() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn flood() {
    let line = [b"all work and no play makes a long log ".as_slice(); 26].concat();
    for _ in 0..(64 << 20) / line.len() {
        let mut stderr = io::stderr().lock();
        if stderr.write_all(&line).and_then(|()| stderr.write_all(b"\n")).is_err() {
            return;
        }
    }
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}
