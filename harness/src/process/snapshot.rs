//! Looks at a server while a client's connection is idle: where the client's socket is waited for,
//! in which system calls threads sleep, and what rings have completed. `attest` judges it.

use std::io;

use super::{Process, Snapshot, system};

impl Process {
    /// Looks at the server now. `socket` is the inode of the server's end of the client's
    /// connection.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn snapshot(&self, socket: u64) -> io::Result<Snapshot> {
        let family =
            self.family().map_err(|e| io::Error::other(e.actual.on_terminal().to_string()))?;
        let mut all: Option<Snapshot> = None;
        let mut refusal = io::Error::from(io::ErrorKind::NotFound);
        for pid in family {
            match system::snapshot(pid, socket) {
                Ok(snapshot) => {
                    all = Some(all.map_or(snapshot.clone(), |seen| seen.merge(snapshot)))
                }
                // This process has ended meanwhile.
                Err(e) if !self.has_process(pid).unwrap_or(true) => refusal = e,
                Err(e) => return Err(e),
            }
        }
        all.ok_or(refusal)
    }
}
