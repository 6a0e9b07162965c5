//! What a process holds that others could reach: sockets that accept clients, and descriptors that
//! a program it executes would inherit.

use report::Failure;

use super::readings::Waiting;
use super::{Process, system, unknown};

impl Process {
    /// Its sockets that wait for clients over IP, among its descriptors; empty where the system
    /// does not tell.
    ///
    /// # Errors
    /// `harness` when the system refuses to tell.
    pub fn waiting_sockets(&self) -> Result<Vec<Waiting>, Failure> {
        Ok(self.in_each("its sockets", system::waiting_sockets)?.concat())
    }

    /// Its descriptors above standard error without close-on-exec, in words; those with which it
    /// was started are its parent's. macOS tells it of sockets alone.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn inheritable(&self) -> Result<Vec<String>, Failure> {
        let given =
            system::inheritable(self.supervisor).map_err(|e| unknown("its parent's", &e))?;
        let of_each = self.in_each("its descriptors", system::inheritable)?;
        let own = of_each.into_iter().flatten().filter(|descriptor| !given.contains(descriptor));
        Ok(own.map(|(number, file)| format!("{number} ({file})")).collect())
    }

    /// Has the kernel refuse it threads and processes, if it was started with
    /// [`ThreadLimit::Later`](crate::restrict::ThreadLimit::Later).
    ///
    /// # Errors
    /// `harness` when the system does not do that.
    pub fn refuse_threads(&self) -> Result<(), Failure> {
        self.set_refused(true)
    }

    /// It may start threads again.
    ///
    /// # Errors
    /// As [`Process::refuse_threads`].
    pub fn allow_threads(&self) -> Result<(), Failure> {
        self.set_refused(false)
    }

    fn set_refused(&self, refused: bool) -> Result<(), Failure> {
        let set = |pid| crate::restrict::set_refused(pid, refused);
        self.in_each("its limit of threads", set).map(drop)
    }
}
