//! strace itself: finds it, starts a server with it, and recognizes that it may not trace.
//!
//! strace starts the server instead of attaching to it. A parent may trace its child where nobody
//! may attach to another process (`kernel.yama.ptrace_scope` is 1 on Ubuntu). No thread is missed,
//! and no call is interrupted, whereas attaching interrupts a call of every thread.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use harness::launcher::Program;
use report::{Outside, outside};

use crate::error::Error;

/// The error that a tracer gets if it may not trace (ptrace(2)).
const DENIED: &str = "Operation not permitted";

pub(super) fn find() -> Result<PathBuf, Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::NoTracer {
            reason: outside!("strace is Linux's, this is {}", std::env::consts::OS),
            fix: "run it on Linux, or in a container there".into(),
        });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|folder| folder.join("strace"));
    candidates.into_iter().find(|file| file.is_file()).ok_or_else(|| Error::NoTracer {
        reason: "strace is not installed".into(),
        fix: "apt-get install strace, or your distribution's package of that name".into(),
    })
}

/// The server's program, which strace starts and follows. strace writes to `output`.
pub(super) fn wrap(strace: &Path, server: Program, output: &Path) -> Program {
    // Show what each descriptor is, no bytes of the payload, and nothing about the ends of threads.
    let mut arguments: Vec<OsString> = ["-f", "-y", "-s", "0", "-qq", "-o"].map(Into::into).into();
    arguments.extend([output.into(), "--".into(), server.executable.into()]);
    arguments.extend(server.arguments);
    Program { executable: strace.to_owned(), arguments }
}

/// The error if strace says in these lines that it may not trace. The lines are the end of standard
/// error, which strace and the server share.
pub(super) fn denial(lines: &[Outside]) -> Option<Error> {
    let line = lines.iter().find(|l| l.contains("strace: ") && l.contains(DENIED))?;
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    Some(denial_error(line, scope.trim()))
}

/// `scope` is that of Yama (Documentation/admin-guide/LSM/Yama.rst), or empty if there is none.
fn denial_error(line: &Outside, scope: &str) -> Error {
    let in_container = "in a container: docker run --cap-add SYS_PTRACE, or a seccomp profile \
                        that allows ptrace";
    let fix = match scope {
        "" | "0" | "1" => in_container.to_owned(),
        "3" => "kernel.yama.ptrace_scope is 3, which only a reboot changes".to_owned(),
        scope => format!(
            "sudo sysctl kernel.yama.ptrace_scope=0 (it is {scope}), or run as root; {in_container}"
        ),
    };
    Error::NoTracer { reason: outside!("ptrace is not allowed here: {}", line), fix: fix.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_that_of_the_cause() {
        let line = "strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted";
        let lines = ["other: Operation not permitted".into(), line.into()];
        let told = denial(&lines).unwrap().to_string();
        assert!(told.starts_with(&format!("ptrace is not allowed here: {line}\n")), "{told}");
        assert!(denial(&lines[..1]).is_none());
        let fix = |scope| denial_error(&line.into(), scope).to_string();
        assert!(fix("2").contains("fix: sudo sysctl kernel.yama.ptrace_scope=0"));
        assert!(fix("3").contains("reboot"));
        assert!(fix("").contains("SYS_PTRACE"));
    }
}
