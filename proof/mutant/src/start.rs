//! Faults of starting: each strikes at one step between the command line and the loop.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::fault::Fault;
use crate::listener::Bound;
use crate::options::{Endpoint, Options};

/// Instead of starting at all.
pub(crate) fn misbehave(fault: Option<Fault>) -> Option<ExitCode> {
    match fault {
        Some(Fault::NeverAnnounces) => park(),
        Some(Fault::PrintsGarbage) => {
            println!("\u{7f}ELF {{\"ready\": [[[ listening, more or less");
            park()
        }
        Some(Fault::DiesEarly) => Some(ExitCode::from(3)),
        Some(Fault::DiesOfFilter) => {
            let is_filtered = proc_value("status", "Seccomp:").is_some_and(|mode| mode > 0);
            assert!(!is_filtered, "system calls are filtered");
            None
        }
        Some(Fault::NeedsIpv6) => {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None);
            socket.expect("every host has IPv6");
            None
        }
        Some(Fault::DiesOfMemlock) => {
            let limit = proc_value("limits", "Max locked memory");
            assert!(limit.is_none_or(|bytes| bytes >= 1 << 20), "too little memory to lock");
            None
        }
        Some(_) | None => None,
    }
}

/// The status after a start that failed.
pub(crate) fn failed(fault: Option<Fault>) -> ExitCode {
    assert!(fault != Some(Fault::PanicsAtFailedStart), "nobody expected this");
    if fault == Some(Fault::ExitsZeroOnBindFailure) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The lock files of [`Fault::LockFile`], to be removed after an orderly stop; an error if there
/// is one already for a port that was asked for.
pub(crate) fn lock(options: &Options, listeners: &[Bound]) -> io::Result<Vec<PathBuf>> {
    if options.fault != Some(Fault::LockFile) {
        return Ok(Vec::new());
    }
    let mut locks = Vec::new();
    for (asked, port) in ports(options, listeners) {
        let lock = std::env::temp_dir().join(format!("mutant-{port}.lock"));
        if asked != 0 && lock.exists() {
            return Err(io::Error::other(format!("{} exists", lock.display())));
        }
        File::create(&lock)?;
        locks.push(lock);
    }
    Ok(locks)
}

/// [`Fault::RefusesThirdStart`] counts the starts on a port that was asked for in a file.
pub(crate) fn count_starts(options: &Options, listeners: &[Bound]) -> io::Result<()> {
    if options.fault != Some(Fault::RefusesThirdStart) {
        return Ok(());
    }
    for (asked, port) in ports(options, listeners) {
        let file = std::env::temp_dir().join(format!("mutant-{port}.starts"));
        let starts = if asked == 0 { 0 } else { std::fs::read(&file)?.len() };
        if starts == 2 {
            std::fs::remove_file(&file)?;
            return Err(io::Error::other("started twice before"));
        }
        std::fs::write(&file, vec![b'.'; starts + 1])?;
    }
    Ok(())
}

/// The ports that were asked for, and those that there are.
fn ports(options: &Options, listeners: &[Bound]) -> impl Iterator<Item = (u16, u16)> {
    let port = |endpoint: &Endpoint| endpoint.address().map(|address| address.port());
    options
        .endpoints()
        .zip(listeners)
        .filter_map(move |((asked, _), bound)| Some((port(asked)?, port(&bound.endpoint)?)))
}

/// The first number behind `key` in a file of procfs about this process.
fn proc_value(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
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
pub(crate) fn after_announcing(options: &Options, listeners: &[Bound]) -> io::Result<()> {
    match options.fault {
        Some(Fault::AnnouncesBeforeListening) => {
            std::thread::sleep(Duration::from_millis(50));
            listeners.iter().try_for_each(Bound::listen)
        }
        Some(Fault::Hangs) => park(),
        #[cfg(unix)]
        Some(Fault::ClosesStreams) => close_streams(),
        #[cfg(target_os = "linux")]
        Some(Fault::LeavesChild) => leave_child(options),
        Some(_) | None => Ok(()),
    }
}

/// Nobody has the other ends any more but their readers.
#[cfg(unix)]
fn close_streams() -> io::Result<()> {
    let nowhere = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    Ok(rustix::stdio::dup2_stderr(&nowhere)?)
}

#[cfg(target_os = "linux")]
fn leave_child(options: &Options) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    // By its argument the test that looks for it knows it.
    let seconds = options.fault_at.unwrap_or(86_400).to_string();
    std::process::Command::new("sleep").arg(seconds).process_group(0).spawn().map(drop)
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
