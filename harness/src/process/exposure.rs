//! What a process holds that others could reach: sockets that accept clients, and descriptors that
//! a program it executes would inherit. Also limits the threads of a process.

use report::Failure;

use super::readings::ListeningSocket;
use super::{Process, system, unknown};

impl Process {
    /// IP sockets of the server that wait for clients; empty if the system does not report them.
    ///
    /// # Errors
    /// `harness` if the system refuses to report them.
    pub fn listening_sockets(&self) -> Result<Vec<ListeningSocket>, Failure> {
        Ok(self.read_each("its sockets", system::listening_sockets)?.concat())
    }

    /// Descriptors above standard error that lack close-on-exec, in words, without those that the
    /// server got from its parent. macOS reports only sockets.
    ///
    /// # Errors
    /// `harness` if the system does not report them.
    pub fn inheritable_descriptors(&self) -> Result<Vec<String>, Failure> {
        let given = system::inheritable_descriptors(self.supervisor)
            .map_err(|e| unknown("its parent's", &e))?;
        let of_each = self.read_each("its descriptors", system::inheritable_descriptors)?;
        let own = of_each.into_iter().flatten().filter(|descriptor| !given.contains(descriptor));
        Ok(own.map(|(number, file)| format!("{number} ({file})")).collect())
    }

    /// Makes the kernel refuse new threads and processes to the server, which must have been
    /// started with [`ThreadLimit::Later`](crate::restrict::ThreadLimit::Later).
    ///
    /// # Errors
    /// `harness` if the system cannot do that.
    pub fn refuse_threads(&self) -> Result<(), Failure> {
        self.set_refused(true)
    }

    /// Allows the server to start threads again.
    ///
    /// # Errors
    /// See [`Process::refuse_threads`].
    pub fn allow_threads(&self) -> Result<(), Failure> {
        self.set_refused(false)
    }

    fn set_refused(&self, refused: bool) -> Result<(), Failure> {
        let set = |pid| crate::restrict::set_refused(pid, refused);
        self.read_each("its limit of threads", set).map(drop)
    }
}
