//! Tries what happens to a client whose accept finds no free descriptor. The trial runs in a child
//! process, because the limit on descriptors binds all threads of a process.

use report::sockets::{AcceptAtLimit, ProbeResult};

#[cfg(unix)]
pub(super) fn run() -> ProbeResult<AcceptAtLimit> {
    use std::process::{Command, Stdio};

    use crate::accept_trial::{ACCEPT_AT_LIMIT, CLIENT_CLOSED, CLIENT_WAITS};
    use crate::supervisor::this_program;

    let output = this_program()
        .and_then(|own| Command::new(own).arg(ACCEPT_AT_LIMIT).stdin(Stdio::null()).output());
    let found =
        output.map_err(|error| error.to_string()).and_then(|output| match output.status.code() {
            Some(CLIENT_WAITS) => Ok(AcceptAtLimit::Waits),
            Some(CLIENT_CLOSED) => Ok(AcceptAtLimit::Closed),
            Some(_) | None => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(format!("the trial ended with {}: {said}", output.status))
            }
        });
    found.into()
}

#[cfg(not(unix))]
pub(super) fn run() -> ProbeResult<AcceptAtLimit> {
    ProbeResult::Unknown("no limit on descriptors can be set here".into())
}
