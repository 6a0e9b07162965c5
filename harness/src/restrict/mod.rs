//! Drops abilities of the current process: processors, io_uring, memory, descriptors, IPv6, events,
//! threads, standard streams. A launcher restricts itself and then executes the server, so no other
//! process is restricted.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::affinity::{self, Cpus};
use crate::error::Error;

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))] {
        mod filter;
    } else {
        mod filter_stubs;
        use filter_stubs as filter;
    }
}
cfg_if::cfg_if! {
    if #[cfg(unix)] {
        mod limit;
    } else {
        mod limit_stubs;
        use limit_stubs as limit;
    }
}
cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod threads;
    } else {
        mod threads_stubs;
        use threads_stubs as threads;
    }
}

pub(crate) use threads::set_refused;

/// What to take away. The default takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// The only processors to run on (Linux).
    pub cpus: Option<Cpus>,
    /// Every io_uring system call fails with this error (Linux, x86_64 and aarch64).
    pub deny_io_uring: Option<Denial>,
    /// Soft and hard RLIMIT_MEMLOCK, in bytes. CAP_IPC_LOCK, which exempts from it, is dropped too.
    pub memlock_bytes: Option<u64>,
    /// Soft and hard RLIMIT_NOFILE: one more than the highest descriptor number. CAP_SYS_RESOURCE,
    /// which allows a process to raise it again, is dropped too.
    pub open_files: Option<u64>,
    /// IPv6 sockets cannot be created, as on a kernel without IPv6 (Linux, x86_64 and aarch64).
    pub no_ipv6: bool,
    /// Waiting for events fails with EIO once the server is busy, not while it waits for its first
    /// client: an epoll wait that returns at once, an io_uring_enter that waits and submits nothing
    /// (Linux, x86_64 and aarch64).
    pub failing_poller: bool,
    /// When the kernel begins to refuse threads (Linux).
    pub thread_limit: Option<ThreadLimit>,
    /// Standard input and standard error are closed (Unix).
    pub closed_streams: bool,
    /// Standard error is a pipe that nobody reads (Unix).
    pub unread_stderr: bool,
}

/// When the kernel starts to refuse threads and processes: `clone` fails with EAGAIN, as under
/// `ulimit -u` or in a control group with `pids.max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadLimit {
    /// Before the program is executed.
    Now,
    /// When the judge says so, because a server may need threads to start.
    Later,
}

impl ThreadLimit {
    const ALL: [Self; 2] = [Self::Now, Self::Later];

    fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
        }
    }
}

impl fmt::Display for ThreadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ThreadLimit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|limit| limit.name() == text).ok_or_else(|| {
            Error::Restriction(format!("expected now or later, got '{text}'").into())
        })
    }
}

/// How a denied io_uring call fails. Each of these errors occurs in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// As on a kernel without io_uring, and in gVisor.
    Enosys,
    /// As under Docker's default seccomp profile (moby/moby#46762).
    Eperm,
    /// As when locked memory is used up.
    Enomem,
}

impl Denial {
    const ALL: [Self; 3] = [Self::Enosys, Self::Eperm, Self::Enomem];

    fn name(self) -> &'static str {
        match self {
            Self::Enosys => "ENOSYS",
            Self::Eperm => "EPERM",
            Self::Enomem => "ENOMEM",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Denial {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|denial| denial.name() == text).ok_or_else(|| {
            Error::Restriction(format!("expected ENOSYS, EPERM or ENOMEM, got '{text}'").into())
        })
    }
}

const CPUS: &str = "--cpus";
const DENY_IO_URING: &str = "--deny-io-uring";
const MEMLOCK: &str = "--memlock";
const OPEN_FILES: &str = "--open-files";
const IPV6: &str = "--ipv6";
const OFF: &str = "off";
const POLLER: &str = "--poller";
const FAILING: &str = "failing";
const THREAD_LIMIT: &str = "--thread-limit";
const STREAMS: &str = "--streams";
const CLOSED: &str = "closed";
const STDERR: &str = "--stderr";
const UNREAD: &str = "unread";

impl Restrictions {
    /// The restrictions as arguments that [`Self::from_args`] reads back.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        [
            (CPUS, self.cpus.as_ref().map(Cpus::to_string)),
            (DENY_IO_URING, self.deny_io_uring.map(|it| it.to_string())),
            (MEMLOCK, self.memlock_bytes.map(|it| it.to_string())),
            (OPEN_FILES, self.open_files.map(|it| it.to_string())),
            (IPV6, self.no_ipv6.then(|| OFF.to_owned())),
            (POLLER, self.failing_poller.then(|| FAILING.to_owned())),
            (THREAD_LIMIT, self.thread_limit.map(|it| it.to_string())),
            (STREAMS, self.closed_streams.then(|| CLOSED.to_owned())),
            (STDERR, self.unread_stderr.then(|| UNREAD.to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .flatten()
        .collect()
    }

    /// Reads `--cpus LIST`, `--deny-io-uring ERRNO`, `--memlock BYTES`, `--open-files N`,
    /// `--ipv6 off`, `--poller failing`, `--thread-limit now|later`, `--streams closed` and
    /// `--stderr unread`, in any order.
    ///
    /// # Errors
    /// [`Error::Restriction`], which names the argument: it is unknown, lacks a value, is given
    /// twice, or has a bad value.
    pub fn from_args<A: AsRef<str>>(args: &[A]) -> Result<Self, Error> {
        let mut restrictions = Self::default();
        for pair in args.chunks(2) {
            let name = pair[0].as_ref();
            let value = pair.get(1).map(AsRef::as_ref);
            match name {
                CPUS => set(&mut restrictions.cpus, name, value)?,
                DENY_IO_URING => set(&mut restrictions.deny_io_uring, name, value)?,
                MEMLOCK => set(&mut restrictions.memlock_bytes, name, value)?,
                OPEN_FILES => set(&mut restrictions.open_files, name, value)?,
                IPV6 => set_flag(&mut restrictions.no_ipv6, name, value, OFF)?,
                POLLER => set_flag(&mut restrictions.failing_poller, name, value, FAILING)?,
                THREAD_LIMIT => set(&mut restrictions.thread_limit, name, value)?,
                STREAMS => set_flag(&mut restrictions.closed_streams, name, value, CLOSED)?,
                STDERR => set_flag(&mut restrictions.unread_stderr, name, value, UNREAD)?,
                unknown => {
                    return Err(Error::Restriction(
                        format!(
                            "expected {CPUS}, {DENY_IO_URING}, {MEMLOCK}, {OPEN_FILES}, {IPV6}, \
                             {POLLER}, {THREAD_LIMIT}, {STREAMS} or {STDERR}, got '{unknown}'"
                        )
                        .into(),
                    ));
                }
            }
        }
        Ok(restrictions)
    }

    /// Restricts the current process, all its threads, and all that they execute from now on.
    /// `cpus` restricts only the calling thread and what it starts. This cannot be undone.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`], naming the restriction, if this system does not have it.
    /// Otherwise the kernel's error, for example if an ordinary user would raise a hard limit.
    /// Restrictions that come before the failing one, in the order of the fields, stay applied.
    pub fn apply(&self) -> io::Result<()> {
        if let Some(cpus) = &self.cpus {
            affinity::pin_this_thread(cpus).map_err(|error| name_restriction(CPUS, &error))?;
        }
        if let Some(denial) = self.deny_io_uring {
            filter::deny_io_uring(denial)
                .map_err(|error| name_restriction(DENY_IO_URING, &error))?;
        }
        if let Some(bytes) = self.memlock_bytes {
            limit::set_memlock(bytes).map_err(|error| name_restriction(MEMLOCK, &error))?;
        }
        if let Some(count) = self.open_files {
            limit::set_open_files(count).map_err(|error| name_restriction(OPEN_FILES, &error))?;
        }
        if self.no_ipv6 {
            filter::deny_ipv6().map_err(|error| name_restriction(IPV6, &error))?;
        }
        if self.failing_poller {
            filter::fail_poller().map_err(|error| name_restriction(POLLER, &error))?;
        }
        if let Some(limit) = self.thread_limit {
            threads::limit(limit).map_err(|error| name_restriction(THREAD_LIMIT, &error))?;
        }
        if self.closed_streams {
            limit::close_streams().map_err(|error| name_restriction(STREAMS, &error))?;
        }
        // Last, because nobody reads an error after this.
        if self.unread_stderr {
            limit::leave_stderr_unread().map_err(|error| name_restriction(STDERR, &error))?;
        }
        Ok(())
    }
}

fn set<T>(slot: &mut Option<T>, name: &str, value: Option<&str>) -> Result<(), Error>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let value = value.ok_or_else(|| Error::Restriction(format!("{name} needs a value").into()))?;
    let parsed = value
        .parse()
        .map_err(|error| Error::Restriction(format!("{name} '{value}': {error}").into()))?;
    match slot.replace(parsed) {
        Some(_) => Err(Error::Restriction(format!("{name} is given twice").into())),
        None => Ok(()),
    }
}

fn set_flag(is_on: &mut bool, name: &str, value: Option<&str>, on: &str) -> Result<(), Error> {
    match value {
        Some(value) if value == on => {
            *is_on = true;
            Ok(())
        }
        _ => Err(Error::Restriction(format!("{name} takes '{on}'").into())),
    }
}

fn name_restriction(restriction: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{restriction}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_read_back() {
        let all = Restrictions {
            cpus: Cpus::new([0, 2, 3]),
            deny_io_uring: Some(Denial::Eperm),
            memlock_bytes: Some(65_536),
            open_files: Some(64),
            no_ipv6: true,
            failing_poller: true,
            thread_limit: Some(ThreadLimit::Later),
            closed_streams: true,
            unread_stderr: true,
        };
        let args = all.to_args();
        assert_eq!(
            args.join(" "),
            "--cpus 0,2-3 --deny-io-uring EPERM --memlock 65536 --open-files 64 --ipv6 off \
             --poller failing --thread-limit later --streams closed --stderr unread"
        );
        assert_eq!(Restrictions::from_args(&args).unwrap(), all);
        assert!(Restrictions::default().to_args().is_empty());
    }

    #[test]
    fn a_bad_argument_is_named() {
        let refusal = |args: &[&str]| Restrictions::from_args(args).unwrap_err().to_string();
        assert!(refusal(&["--cpus", "2-"]).contains("--cpus '2-': expected numbers"));
        assert!(refusal(&["--deny-io-uring", "EIO"]).contains("ENOSYS, EPERM or ENOMEM"));
        assert!(refusal(&["--memlock"]).contains("--memlock needs a value"));
        assert!(refusal(&["--memlock", "64k"]).contains("--memlock '64k'"));
        assert!(refusal(&["--open-files", "8", "--open-files", "9"]).contains("twice"));
        assert!(refusal(&["--ipv6", "on"]).contains("--ipv6 takes 'off'"));
        assert!(refusal(&["--thread-limit", "soon"]).contains("expected now or later"));
        assert!(refusal(&["--nofile", "8"]).contains("got '--nofile'"));
    }
}
