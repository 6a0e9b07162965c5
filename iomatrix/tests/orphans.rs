//! A check that is ended from outside leaves no server behind, whatever ends it. Linux only,
//! because procfs shows the environment of every process.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::binaries;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Much longer than any of these steps takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// A variable that every process of a check inherits.
const MARK: &str = "IOMATRIX_TEST_OF_ORPHANS";

/// A check whose servers run, with all processes that it has started. It has a process group of its
/// own, as if a shell had started it.
struct RunningCheck {
    check: Child,
    mark: String,
}

impl RunningCheck {
    /// Starts a check of a server that never ends, with a case that takes longer than this test.
    fn new() -> Self {
        Self::start_with(Command::new(env!("CARGO_BIN_EXE_iomatrix")))
    }

    /// Starts the check with `start`, which may be another program in front of iomatrix.
    fn start_with(mut start: Command) -> Self {
        let mutant = binaries::locate(&["mutant"], binaries::OWN_PROFILE).expect("it is built");
        let command = format!("'{}' --listen tcp:{{addr}}", mutant["mutant"].display());
        let mark = unique_mark();
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
        let servers = || !started.processes_named("mutant").is_empty();
        assert!(wait_until(servers), "no server was started");
        started
    }

    /// The processes of the check whose program's name begins with `program`.
    fn processes_named(&self, program: &str) -> Vec<Pid> {
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

    fn expect_end(&mut self) {
        self.check.wait().expect("it ends");
        assert!(
            wait_until(|| self.processes_named("").is_empty()),
            "{:?}",
            self.processes_named("")
        );
    }

    fn group(&self) -> Pid {
        i32::try_from(self.check.id()).ok().and_then(Pid::from_raw).expect("an id")
    }
}

impl Drop for RunningCheck {
    /// Needed after a test that has failed.
    fn drop(&mut self) {
        let _ = self.check.kill();
        let _ = self.check.wait();
    }
}

/// A value that no other check has, in this test or in one that runs at the same time.
fn unique_mark() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{}", std::process::id(), since.map_or(0, |since| since.as_nanos()))
}

/// Waits until `is_so` is true. Returns `false` if that takes longer than [`PATIENCE`].
fn wait_until(is_so: impl Fn() -> bool) -> bool {
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
    // Sent by a terminal, by timeout(1), by a terminal that closes, and to a job that is cancelled.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let mut started = RunningCheck::new();
        kill_process_group(started.group(), signal).expect("a group");
        started.expect_end();
    }
}

#[test]
fn killed_after_its_supervisors_it_leaves_no_server_behind() {
    let mut started = RunningCheck::new();
    // The supervisors are the same program. One that outlives the check would kill its server.
    let (check, supervisors) = (started.group(), started.processes_named("iomatrix"));
    for process in supervisors.into_iter().filter(|process| *process != check).chain([check]) {
        // Fails only if the process has ended.
        let _ = kill_process(process, Signal::KILL);
    }
    started.expect_end();
}

#[test]
fn ended_by_timeout_it_leaves_no_server_behind() {
    // timeout(1) forwards the signal that it receives, just as it sends its own when time is up.
    let mut start = Command::new("timeout");
    start.args(["600", env!("CARGO_BIN_EXE_iomatrix")]);
    let mut started = RunningCheck::start_with(start);
    kill_process(started.group(), Signal::TERM).expect("timeout(1) runs");
    started.expect_end();
}
