//! What a look sees of a server while a client's connection is at rest: where its socket is waited
//! for, in which system calls threads sleep, and what rings have done. `attest` judges it.

use std::io;

use super::{Process, Sight, system};

impl Process {
    /// What is seen now, where the client's socket has this inode at the server.
    ///
    /// # Errors
    /// When the system does not let it be seen.
    pub fn sight(&self, socket: u64) -> io::Result<Sight> {
        let family =
            self.family().map_err(|e| io::Error::other(e.actual.on_terminal().to_string()))?;
        let mut all: Option<Sight> = None;
        let mut refusal = io::Error::from(io::ErrorKind::NotFound);
        for pid in family {
            match system::sight(pid, socket) {
                Ok(sight) => all = Some(all.map_or(sight.clone(), |seen| seen.and(sight))),
                // It has ended since.
                Err(e) if !self.has(pid).unwrap_or(true) => refusal = e,
                Err(e) => return Err(e),
            }
        }
        all.ok_or(refusal)
    }
}
