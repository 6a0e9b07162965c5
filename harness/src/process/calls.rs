//! System calls of a server, counted in the kernel. Counting slows every system call of the host,
//! so it needs a separate run.

use report::Failure;
use report::bench::Count;
use report::outside;

use super::{Process, system};
use crate::error::Error;

/// A running count of the system calls of a server: of all threads that it had when the count
/// began, and of all threads and processes that these start. It ends when this is dropped.
#[derive(Debug)]
pub struct CallCounter {
    attached: system::Attached,
}

/// The system calls that were counted up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// Threads that the count began with.
    pub threads: usize,
}

impl Process {
    /// Begins to count its system calls.
    ///
    /// # Errors
    /// [`Error::CallCount`], with what to do about it where that is known.
    pub fn count_calls(&self) -> Result<CallCounter, Error> {
        let error = |failure: Failure| {
            let sentence = outside!("{}: {}", failure.expected, failure.actual);
            Error::CallCount(sentence)
        };
        let threads = || {
            let each = self.in_each("its threads", system::thread_names).map_err(error)?;
            Ok(each.into_iter().flatten().map(|(number, _)| number).collect())
        };
        Ok(CallCounter { attached: system::Attached::to(threads)? })
    }
}

impl CallCounter {
    /// What it has counted so far.
    ///
    /// # Errors
    /// [`Error::CallCount`], with what the kernel said.
    pub fn calls(&mut self) -> Result<Calls, Error> {
        let count = self.attached.read().map_err(|error| {
            Error::CallCount(format!("a counter of system calls cannot be read: {error}").into())
        })?;
        Ok(Calls { count, threads: self.attached.threads() })
    }
}

impl Calls {
    /// System calls for each of the `messages` that were echoed since `before`. None at all is
    /// what a counter shows that saw nothing, and never 0.
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
