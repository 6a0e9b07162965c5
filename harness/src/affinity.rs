//! Which processors a thread may run on. Implemented on Linux only.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use crate::error::Error;

/// A set of at least one processor, by the numbers that the system gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(BTreeSet<usize>);

impl Cpus {
    /// `None` if `numbers` is empty.
    #[must_use]
    pub fn new(numbers: impl IntoIterator<Item = usize>) -> Option<Self> {
        let numbers: BTreeSet<usize> = numbers.into_iter().collect();
        (!numbers.is_empty()).then_some(Self(numbers))
    }

    /// In ascending order.
    #[must_use]
    pub fn numbers(&self) -> Vec<usize> {
        self.0.iter().copied().collect()
    }
}

/// In the list format of cpuset(7): `0,2-3`.
impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for &number in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                Some(_) | None => ranges.push((number, number)),
            }
        }
        let words = ranges.into_iter().map(|(first, last)| match last - first {
            0 => format!("{first}"),
            _ => format!("{first}-{last}"),
        });
        f.pad(&words.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Cpus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let sentence = "expected numbers of processors such as 0,2-3";
            Error::Restriction(format!("{sentence}, got '{text}'").into())
        };
        let number = |digits: &str| match digits.parse::<usize>() {
            Ok(number) if number < system::CPU_LIMIT => Ok(number),
            Ok(_) | Err(_) => Err(wrong()),
        };
        let mut numbers = BTreeSet::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(wrong());
            }
            numbers.extend(first..=last);
        }
        Ok(Self(numbers))
    }
}

/// The processors that the calling thread may run on: all that this process was given, unless the
/// thread was pinned.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] on systems other than Linux; otherwise the kernel's error.
pub fn allowed_cpus() -> io::Result<Cpus> {
    thread_cpus(None)
}

/// Pins the calling thread, and all threads and processes that it starts from now on, to these
/// processors.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] on systems other than Linux. Otherwise the kernel's error, or an
/// error that shows which processors the thread got, if some of them do not exist.
pub fn pin_this_thread(cpus: &Cpus) -> io::Result<()> {
    system::pin_this_thread(cpus)
}

#[cfg(target_os = "linux")]
pub(crate) use system::thread_cpus;
#[cfg(not(target_os = "linux"))]
use system::thread_cpus;

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use super::Cpus;

    /// One more than the highest possible number.
    pub(super) const CPU_LIMIT: usize = CpuSet::MAX_CPU;

    /// The processors that `thread`, or the calling thread, may run on.
    pub(crate) fn thread_cpus(thread: Option<Pid>) -> io::Result<Cpus> {
        let set = sched_getaffinity(thread)?;
        let numbers = (0..CPU_LIMIT).filter(|&number| set.is_set(number));
        Cpus::new(numbers).ok_or_else(|| io::Error::other("no processor is allowed"))
    }

    pub(super) fn pin_this_thread(cpus: &Cpus) -> io::Result<()> {
        let mut set = CpuSet::new();
        for number in cpus.numbers() {
            if number >= CPU_LIMIT {
                return Err(io::Error::other(format!("no processor has the number {number}")));
            }
            set.set(number);
        }
        sched_setaffinity(None, &set)?;
        // The kernel ignores processors that do not exist, and fails only if none is left.
        match thread_cpus(None)? {
            now if now == *cpus => Ok(()),
            now => Err(io::Error::other(format!("asked for processors {cpus}, got {now}"))),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use super::Cpus;

    /// One more than the highest number that is accepted.
    pub(super) const CPU_LIMIT: usize = 1024;

    pub(super) fn thread_cpus(_: Option<std::convert::Infallible>) -> io::Result<Cpus> {
        Err(unsupported())
    }

    pub(super) fn pin_this_thread(_: &Cpus) -> io::Result<()> {
        Err(unsupported())
    }

    fn unsupported() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "only Linux can be told who runs where")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_back() {
        for text in ["0", "0-1", "0,2-3,7"] {
            assert_eq!(text.parse::<Cpus>().unwrap().to_string(), text);
        }
        let cpus = Cpus::new([3, 1, 2, 1]).unwrap();
        assert_eq!((cpus.to_string().as_str(), cpus.numbers()), ("1-3", vec![1, 2, 3]));
        assert_eq!(Cpus::new([]), None);
        for text in ["", "a", "1-", "3-2", "0,,1", "0-99999999999"] {
            assert!(text.parse::<Cpus>().unwrap_err().to_string().contains("0,2-3"), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pinned_thread_and_its_child_stay_where_they_were_put() {
        let all = allowed_cpus().unwrap();
        let last = Cpus::new(all.numbers().pop()).unwrap();
        let child = std::thread::spawn({
            let last = last.clone();
            move || {
                pin_this_thread(&last).unwrap();
                assert_eq!(allowed_cpus().unwrap(), last);
                std::process::Command::new("cat").arg("/proc/self/status").output().unwrap().stdout
            }
        });
        let status = String::from_utf8(child.join().unwrap()).unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        assert_eq!(list.map(str::trim), Some(last.to_string().as_str()));
        assert_eq!(allowed_cpus().unwrap(), all);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_processor_that_is_not_there_is_an_error() {
        let all = allowed_cpus().unwrap().numbers();
        for extra in [system::CPU_LIMIT - 1, system::CPU_LIMIT] {
            let beyond = Cpus::new(all.iter().copied().chain([extra])).unwrap();
            let pinned = std::thread::spawn(move || pin_this_thread(&beyond)).join().unwrap();
            assert!(pinned.is_err());
        }
    }
}
