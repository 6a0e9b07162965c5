//! Which processors a thread may run on. Only Linux says so, and only Linux lets a program set it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use crate::error::Error;

/// Some processors, at least one, by the numbers that the system gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(BTreeSet<usize>);

impl Cpus {
    /// Those of these numbers; `None` without any.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Option<Self> {
        let numbers: BTreeSet<usize> = numbers.into_iter().collect();
        (!numbers.is_empty()).then_some(Self(numbers))
    }

    /// Their numbers, ascending.
    #[must_use]
    pub fn numbers(&self) -> Vec<usize> {
        self.0.iter().copied().collect()
    }
}

/// As the kernel writes it (cpuset(7)): `0,2-3`.
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
            Ok(number) if number < system::MOST => Ok(number),
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

/// Those that the calling thread may run on: all that this process was given, unless the thread
/// was pinned.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where this system does not tell.
pub fn allowed() -> io::Result<Cpus> {
    system::allowed(None)
}

/// Keeps the calling thread, and all threads and processes that it starts from now on, on these
/// processors.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where this system has no such thing; otherwise the kernel's
/// error, as when there is none of them.
pub fn pin_this_thread(cpus: &Cpus) -> io::Result<()> {
    system::pin_this_thread(cpus)
}

#[cfg(target_os = "linux")]
pub(crate) use system::allowed as allowed_to;

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use super::Cpus;

    /// One more than the highest number that there can be.
    pub(super) const MOST: usize = CpuSet::MAX_CPU;

    /// Those of a thread, or of the calling one.
    pub(crate) fn allowed(thread: Option<Pid>) -> io::Result<Cpus> {
        let set = sched_getaffinity(thread)?;
        let numbers = (0..MOST).filter(|&number| set.is_set(number));
        Cpus::of(numbers).ok_or_else(|| io::Error::other("no processor is allowed"))
    }

    pub(super) fn pin_this_thread(cpus: &Cpus) -> io::Result<()> {
        let mut set = CpuSet::new();
        for number in cpus.numbers() {
            if number >= MOST {
                return Err(io::Error::other(format!("no processor has the number {number}")));
            }
            set.set(number);
        }
        sched_setaffinity(None, &set)?;
        // The kernel leaves out those that there are not, and says so only when none is left.
        match allowed(None)? {
            now if now == *cpus => Ok(()),
            now => Err(io::Error::other(format!("asked for processors {cpus}, got {now}"))),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use super::Cpus;

    /// One more than the highest number that is believed.
    pub(super) const MOST: usize = 1024;

    pub(super) fn allowed(_: Option<std::convert::Infallible>) -> io::Result<Cpus> {
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
        let cpus = Cpus::of([3, 1, 2, 1]).unwrap();
        assert_eq!((cpus.to_string().as_str(), cpus.numbers()), ("1-3", vec![1, 2, 3]));
        assert_eq!(Cpus::of([]), None);
        for text in ["", "a", "1-", "3-2", "0,,1", "0-99999999999"] {
            assert!(text.parse::<Cpus>().unwrap_err().to_string().contains("0,2-3"), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pinned_thread_and_its_child_stay_where_they_were_put() {
        let all = allowed().unwrap();
        let last = Cpus::of(all.numbers().pop()).unwrap();
        let child = std::thread::spawn({
            let last = last.clone();
            move || {
                pin_this_thread(&last).unwrap();
                assert_eq!(allowed().unwrap(), last);
                std::process::Command::new("cat").arg("/proc/self/status").output().unwrap().stdout
            }
        });
        let status = String::from_utf8(child.join().unwrap()).unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        assert_eq!(list.map(str::trim), Some(last.to_string().as_str()));
        assert_eq!(allowed().unwrap(), all);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_processor_that_is_not_there_is_an_error() {
        let all = allowed().unwrap().numbers();
        for extra in [system::MOST - 1, system::MOST] {
            let beyond = Cpus::of(all.iter().copied().chain([extra])).unwrap();
            let pinned = std::thread::spawn(move || pin_this_thread(&beyond)).join().unwrap();
            assert!(pinned.is_err());
        }
    }
}
