//! Servers that must not cost the judge its time or its memory. No suite is about them and no case
//! catches them; the judge's own tests start them.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::Fault;
use crate::connection::Connection;
use crate::hooks::{Gate, Hooks};
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::process("never-announces", "Never announces itself", &NeverAnnounces),
    Fault::process("prints-garbage", "Prints garbage instead of an announcement", &PrintsGarbage),
    Fault::process("dies-early", "Exits with status 3 before it announces itself", &DiesEarly),
    Fault::process(
        "hangs",
        "Announces itself and then hangs, even when it is asked to stop",
        &Hangs,
    ),
    Fault::process(
        "floods-stderr",
        "Writes 64 MiB to standard error while it serves",
        &FloodsStderr,
    ),
    Fault::new(
        "floods-clients",
        "Sends every client an endless stream that nobody asked for",
        || Box::new(FloodsClients),
    ),
    Fault::new("drips", "Echoes one byte per second", || Box::new(Drips)),
    Fault::process(
        "closes-streams",
        "Closes its standard output and standard error after its announcement (not on Windows)",
        &ClosesStreams,
    ),
    Fault::process(
        "leaves-child",
        "Starts a process in another group that holds its streams for a day (settable; Linux only)",
        &LeavesChild,
    ),
    Fault::process(
        "lacks-capabilities",
        "Offers no capability, and only TCP listeners",
        &LacksCapabilities,
    ),
];

/// Bytes per write to a client that did not ask for them.
const UNASKED_BYTES: usize = 64 * 1024;

struct NeverAnnounces;

impl ProcessHooks for NeverAnnounces {
    fn begin(&self) -> Option<ExitCode> {
        park()
    }
}

struct PrintsGarbage;

impl ProcessHooks for PrintsGarbage {
    fn begin(&self) -> Option<ExitCode> {
        println!("\u{7f}ELF {{\"ready\": [[[ listening, more or less");
        park()
    }
}

struct DiesEarly;

impl ProcessHooks for DiesEarly {
    fn begin(&self) -> Option<ExitCode> {
        Some(ExitCode::from(3))
    }
}

struct Hangs;

impl ProcessHooks for Hangs {
    fn announced(&self, _at: Option<u64>) -> io::Result<()> {
        park()
    }
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

struct FloodsStderr;

impl ProcessHooks for FloodsStderr {
    fn announcing(&self) -> io::Result<()> {
        thread::spawn(flood);
        Ok(())
    }
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

struct FloodsClients;

impl Hooks for FloodsClients {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.pending.is_empty() {
            connection.pending.resize(UNASKED_BYTES, b'?');
        }
        Gate::Go
    }

    fn wrote(&mut self, connection: &mut Connection) {
        if connection.written == connection.pending.len() {
            connection.drop_pending();
            connection.pending.resize(UNASKED_BYTES, b'?');
        }
    }
}

struct Drips;

impl Hooks for Drips {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let due = connection.last_read + Duration::from_secs(connection.written as u64);
        if due <= Instant::now() { Gate::Go } else { Gate::Until(due) }
    }

    fn write_limit(&mut self, _connection: &Connection) -> usize {
        1
    }
}

/// Puts /dev/null in place of both streams, so that their readers reach the end.
struct ClosesStreams;

impl ProcessHooks for ClosesStreams {
    #[cfg(unix)]
    fn announced(&self, _at: Option<u64>) -> io::Result<()> {
        let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        Ok(rustix::stdio::dup2_stderr(&nowhere)?)
    }
}

struct LeavesChild;

impl ProcessHooks for LeavesChild {
    #[cfg(target_os = "linux")]
    fn announced(&self, at: Option<u64>) -> io::Result<()> {
        use std::os::unix::process::CommandExt as _;
        // The test finds the process by this argument.
        let seconds = at.unwrap_or(86_400).to_string();
        std::process::Command::new("sleep").arg(seconds).process_group(0).spawn().map(drop)
    }
}

struct LacksCapabilities;

impl ProcessHooks for LacksCapabilities {
    fn offers_options(&self) -> bool {
        false
    }
}
