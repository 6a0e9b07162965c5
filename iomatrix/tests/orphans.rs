//! A check that is ended from outside leaves no server behind, whatever ends it. On Linux, which
//! shows what every process was started with.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::binaries;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Much longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// A variable that all that a check starts inherits.
const MARK: &str = "IOMATRIX_TEST_OF_ORPHANS";

/// A check whose servers run, in a process group of its own as a shell would start it, with all
/// that it has started.
struct Started {
    check: Child,
    mark: String,
}

impl Started {
    /// Of a server that serves for ever, and whose cases take longer than this test.
    fn new() -> Self {
        Self::under(Command::new(env!("CARGO_BIN_EXE_iomatrix")))
    }

    /// The same, with a program in front of it.
    fn under(mut start: Command) -> Self {
        let mutant = binaries::locate(&["mutant"], binaries::OWN_PROFILE).expect("it is built");
        let command = format!("'{}' --listen tcp:{{addr}}", mutant["mutant"].display());
        let mark = distinct();
        let check = start
            .args([
                "check",
                "--command",
                &command,
                "--case",
                "idle/connection-survives",
                "--profile",
                "full",
            ])
            .env(MARK, &mark)
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let started = Self { check, mark };
        let servers = || !started.named("mutant").is_empty();
        assert!(soon(servers), "no server was started");
        started
    }

    /// Its processes, by the name of their program.
    fn named(&self, program: &str) -> Vec<Pid> {
        let has_mark = |process: &PathBuf| {
            let variables = fs::read(process.join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&variables).contains(&format!("{MARK}={}", self.mark))
        };
        let is_named = |process: &PathBuf| {
            let executable = fs::read_link(process.join("exe")).unwrap_or_default();
            let name = executable.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(program)
        };
        let processes = fs::read_dir("/proc").expect("procfs").flatten().map(|entry| entry.path());
        let own = processes.filter(|process| has_mark(process) && is_named(process));
        own.filter_map(|process| Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?))
            .collect()
    }

    fn end(&mut self) {
        self.check.wait().expect("it ends");
        assert!(soon(|| self.named("").is_empty()), "{:?}", self.named(""));
    }

    fn group(&self) -> Pid {
        i32::try_from(self.check.id()).ok().and_then(Pid::from_raw).expect("an id")
    }
}

impl Drop for Started {
    /// After a test that has failed.
    fn drop(&mut self) {
        let _ = self.check.kill();
        let _ = self.check.wait();
    }
}

/// No two checks, of this test or of another at the same time, have the same.
fn distinct() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{}", std::process::id(), since.map_or(0, |since| since.as_nanos()))
}

/// Whether something comes true while one waits.
fn soon(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn a_signal_to_its_group_leaves_no_server_behind() {
    // As a terminal, timeout(1), a closed terminal and a cancelled job send them.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let mut started = Started::new();
        kill_process_group(started.group(), signal).expect("a group");
        started.end();
    }
}

#[test]
fn killed_after_its_supervisors_it_leaves_no_server_behind() {
    let mut started = Started::new();
    // They are the same program, and one of them that outlives the check would kill its server.
    let (check, supervisors) = (started.group(), started.named("iomatrix"));
    for process in supervisors.into_iter().filter(|process| *process != check).chain([check]) {
        // Fails only when it has ended.
        let _ = kill_process(process, Signal::KILL);
    }
    started.end();
}

#[test]
fn ended_by_timeout_it_leaves_no_server_behind() {
    // timeout(1) hands on the signal that it gets, as it sends its own when the time is over.
    let mut start = Command::new("timeout");
    start.args(["600", env!("CARGO_BIN_EXE_iomatrix")]);
    let mut started = Started::under(start);
    kill_process(started.group(), Signal::TERM).expect("timeout(1) runs");
    started.end();
}
