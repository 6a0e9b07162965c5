//! Counts system calls with the tracepoint `raw_syscalls:sys_enter` on every thread of a server.

use std::collections::BTreeSet;
use std::io;

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use rustix::io::Errno;

use crate::error::Error;
use crate::host::system_call_tracepoint;

/// How many times to try, if a server keeps starting threads.
const ATTEMPTS: u32 = 20;

/// One counter per thread.
#[derive(Debug)]
pub(super) struct ThreadCounters(Vec<Counter>);

impl ThreadCounters {
    /// Attaches to all of `threads`. If a new thread appears during the attempt, the counter of its
    /// parent thread may or may not include it. So an attempt is valid only if no thread appeared.
    pub(super) fn attach(
        threads: impl Fn() -> Result<BTreeSet<u32>, Error>,
    ) -> Result<Self, Error> {
        let event = Tracepoint::with_id(system_call_tracepoint()?);
        for _ in 0..ATTEMPTS {
            let before = threads()?;
            let counters: Result<Vec<_>, _> =
                before.iter().map(|thread| open(event, *thread)).collect();
            match counters {
                Ok(counters) if threads()? == before => return Ok(Self(counters)),
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                Err(e) => {
                    return Err(Error::CallCount(
                        format!("system calls cannot be counted: {e}").into(),
                    ));
                }
            }
        }
        Err(Error::CallCount(
            format!("the server started or ended threads during each of {ATTEMPTS} attempts")
                .into(),
        ))
    }

    pub(super) fn threads(&self) -> usize {
        self.0.len()
    }

    pub(super) fn read(&mut self) -> io::Result<u64> {
        self.0.iter_mut().map(Counter::read).sum()
    }
}

fn open(event: Tracepoint, thread: u32) -> io::Result<Counter> {
    let thread = i32::try_from(thread).map_err(io::Error::other)?;
    let mut builder = Builder::new(event);
    // The event is in the kernel. Without `include_kernel` the count is 0.
    builder.observe_pid(thread).any_cpu().include_kernel().inherit(true).enabled(true).build()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use rustix::process::getppid;
    use rustix::thread::gettid;

    use super::*;

    /// `None` if this host does not allow system calls to be counted. Then it must report why.
    fn attached(thread: u32) -> Option<ThreadCounters> {
        let attached = ThreadCounters::attach(|| Ok(BTreeSet::from([thread])));
        match (system_call_tracepoint(), attached) {
            (_, Ok(attached)) => Some(attached),
            (Err(reason), Err(error)) => {
                assert_eq!(error.to_string(), reason.to_string());
                None
            }
            // A filter such as Docker's may refuse it all the same.
            (Ok(_), Err(error)) => {
                let error = error.to_string();
                assert!(error.contains("not permitted") || error.contains("denied"), "{error}");
                None
            }
        }
    }

    #[test]
    fn the_calls_of_threads_that_come_later_are_counted() {
        const CALLS: u64 = 3000;
        let Some(mut attached) = attached(gettid().as_raw_nonzero().get().unsigned_abs()) else {
            return;
        };
        let call = || (0..CALLS).for_each(|_| _ = getppid());
        let before = attached.read().unwrap();
        call();
        let own = attached.read().unwrap() - before;
        std::thread::spawn(call).join().unwrap();
        let both = attached.read().unwrap() - before;
        assert!((CALLS..CALLS + 50).contains(&own), "{own}");
        assert!((2 * CALLS..2 * CALLS + 200).contains(&both), "{both}");
    }

    #[test]
    fn the_calls_of_processes_that_come_later_are_counted() {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "echo; read -r line; dd if=/dev/zero of=/dev/null bs=1 count=9000; echo"]);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = shell.spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        output.read_exact(&mut [0]).unwrap();
        let attached = attached(child.id());
        input.write_all(b"\n").unwrap();
        output.read_exact(&mut [0]).unwrap();
        let count = attached.map(|mut attached| attached.read().unwrap());
        child.wait().unwrap();
        // 9000 reads, 9000 writes, and the start of dd(1).
        assert!(count.is_none_or(|count| (18_000..18_500).contains(&count)), "{count:?}");
    }

    #[test]
    fn threads_that_never_stay_the_same_are_no_count() {
        let looks = std::cell::Cell::new(0);
        let never_twice = || {
            looks.set(looks.get() + 1);
            let own = gettid().as_raw_nonzero().get().unsigned_abs();
            Ok(if looks.get() & 1 == 0 { BTreeSet::new() } else { BTreeSet::from([own]) })
        };
        if system_call_tracepoint().is_ok() {
            assert!(ThreadCounters::attach(never_twice).is_err());
            assert!(looks.get() <= 2 * ATTEMPTS);
        }
    }
}
