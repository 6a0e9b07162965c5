//! Counts the system calls of a server in the kernel. Counting slows every system call of the host,
//! so it needs a separate run.

use report::Failure;
use report::bench::Count;
use report::outside;

use super::{Process, system};
use crate::error::Error;

/// Counts the system calls of a server until it is dropped: of all threads that exist when the
/// count begins, and of all threads and processes that they start.
#[derive(Debug)]
pub struct CallCounter {
    counters: system::ThreadCounters,
}

/// The system calls counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    pub count: u64,
    /// Threads that existed when the count began.
    pub threads: usize,
}

impl Process {
    /// Begins to count the server's system calls.
    ///
    /// # Errors
    /// [`Error::CallCount`], with a remedy if one is known.
    pub fn count_calls(&self) -> Result<CallCounter, Error> {
        let error = |failure: Failure| {
            let sentence = outside!("{}: {}", failure.expected, failure.actual);
            Error::CallCount(sentence)
        };
        let threads = || {
            let each = self.read_each("its threads", system::thread_names).map_err(error)?;
            Ok(each.into_iter().flatten().map(|(number, _)| number).collect())
        };
        Ok(CallCounter { counters: system::ThreadCounters::attach(threads)? })
    }
}

impl CallCounter {
    /// The count so far.
    ///
    /// # Errors
    /// [`Error::CallCount`], with the kernel's error.
    pub fn calls(&mut self) -> Result<Calls, Error> {
        let count = self.counters.read().map_err(|error| {
            Error::CallCount(format!("a counter of system calls cannot be read: {error}").into())
        })?;
        Ok(Calls { count, threads: self.counters.threads() })
    }
}

impl Calls {
    /// System calls per message, for the `messages` that were echoed since `before`. If no call was
    /// counted, the counter saw nothing: that is no data, and never 0.
    #[must_use]
    pub fn per_message(self, before: Self, messages: u64) -> Count {
        let Self { count, threads } = self;
        match (count.saturating_sub(before.count), messages) {
            (_, 0) => Count::none("no message was echoed while system calls were counted"),
            (0, _) => Count::none(format!(
                "no system call was counted on {threads} threads while {messages} messages were \
                 echoed"
            )),
            (count, messages) => Count::Of(count as f64 / messages as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_counted_is_no_number() {
        let at = |count| Calls { count, threads: 3 };
        assert_eq!(at(250).per_message(at(50), 100), Count::Of(2.0));
        let Count::NoData { no_data } = at(50).per_message(at(50), 100) else { panic!("a number") };
        assert!(no_data.contains("3 threads while 100 messages"), "{no_data:?}");
        assert_eq!(at(250).per_message(at(50), 0).number(), None);
    }
}
