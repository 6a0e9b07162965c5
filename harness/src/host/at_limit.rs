//! What becomes of a client whose accept finds no descriptor, which is tried in a process of our
//! own: the limit binds all threads of one.

use report::sockets::{AtLimit, Tried};

#[cfg(unix)]
pub(super) fn accept() -> Tried<AtLimit> {
    use std::process::{Command, Stdio};

    use crate::at_limit::{ACCEPT_AT_LIMIT, CLIENT_CLOSED, CLIENT_WAITS};
    use crate::supervisor::own_program;

    let output = own_program()
        .and_then(|own| Command::new(own).arg(ACCEPT_AT_LIMIT).stdin(Stdio::null()).output());
    let found =
        output.map_err(|error| error.to_string()).and_then(|output| match output.status.code() {
            Some(CLIENT_WAITS) => Ok(AtLimit::Waits),
            Some(CLIENT_CLOSED) => Ok(AtLimit::Closed),
            Some(_) | None => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(format!("the trial ended with {}: {said}", output.status))
            }
        });
    found.into()
}

#[cfg(not(unix))]
pub(super) fn accept() -> Tried<AtLimit> {
    Tried::Unknown("no limit on descriptors can be set here".into())
}
