//! Whether the kernel refuses threads to a server on request. The probe tries this on a child
//! process, because an emulator of Linux may accept the limit and ignore it.

use std::process::{Command, Stdio};

use report::host::Availability;

use super::answer::{available, unavailable};
use crate::restrict::{Restrictions, ThreadLimit};
use crate::supervisor::{RESTRICT, START_THREAD, THREAD_REFUSED, this_program};

pub(super) fn limit() -> Availability {
    match start_thread_under_limit() {
        Ok(()) => available("RLIMIT_NPROC of 0 refuses a thread"),
        Err(reason) => {
            unavailable(&format!("the threads of a process cannot be limited: {reason}"))
        }
    }
}

fn start_thread_under_limit() -> Result<(), String> {
    let limit = Some(ThreadLimit::Now);
    let restrictions = Restrictions { thread_limit: limit, ..Restrictions::default() };
    let own = this_program().map_err(|e| e.to_string())?;
    let mut probe = Command::new(&own);
    probe.arg(RESTRICT).args(restrictions.to_args()).arg("--").arg(&own).arg(START_THREAD);
    let probe = probe.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    match probe.status.code() {
        Some(THREAD_REFUSED) => Ok(()),
        Some(0) => Err("a process without leave to start a thread has started one".to_owned()),
        Some(_) | None => Err(String::from_utf8_lossy(&probe.stderr).trim().to_owned()),
    }
}
