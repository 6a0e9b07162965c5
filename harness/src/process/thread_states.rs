//! Reads in which system calls the threads of another process sleep, from `/proc/PID/task/TID`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use nix::libc;

use super::links::{Target, target};

/// Prefix of the kernel's names for the threads of a ring: `iou-wrk-PID` and `iou-sqp-PID`. Before
/// Linux 5.12 these were not threads of the process.
pub(super) const RING_THREAD: &str = "iou-";

/// `IORING_ENTER_REGISTERED_RING`: the call names the ring by its index in a table of the thread.
const REGISTERED_RING: u64 = 1 << 4;
/// More descriptors than any thread polls at once. The bound keeps an absurd length from reading
/// gigabytes.
const MOST_POLLED: u64 = 65_536;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// It runs, is about to run, or waits outside a system call.
    Runs,
    /// It sleeps in the epoll instance with this descriptor.
    WaitsInEpoll(u32),
    /// It sleeps in a ring that has a descriptor.
    WaitsInRing,
    /// It sleeps in a ring that it names without a descriptor.
    WaitsInHiddenRing,
    /// It sleeps in a read of this descriptor.
    Reads(u32),
    /// It sleeps in poll(2) or select(2) on these descriptors.
    Polls(Vec<u32>),
    /// The kernel runs it for a ring.
    ServesRing,
    /// It sleeps somewhere else.
    Sleeps,
}

pub(super) fn threads(pid: u32) -> io::Result<Vec<ThreadState>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path();
        // A thread may end before it is read.
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        if name.starts_with(RING_THREAD) {
            all.push(ThreadState::ServesRing);
            continue;
        }
        match fs::read_to_string(path.join("syscall")) {
            Ok(text) => all.push(parse_state(pid, &text)),
            Err(error) if is_end(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Whether the thread or the process no longer exists.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Parses what `proc_pid_syscall` writes (fs/proc/base.c in the kernel): `running`, or the number
/// of the call, its six arguments, the stack pointer and the program counter.
fn parse_state(pid: u32, text: &str) -> ThreadState {
    let mut words = text.split_whitespace();
    let Some(first) = words.next() else { return ThreadState::Runs };
    if first == "running" {
        return ThreadState::Runs;
    }
    let number = match first.parse::<libc::c_long>() {
        Ok(number) if number >= 0 => number,
        // It waits for a page of its memory, or was suspended. Then it continues what it was doing.
        Ok(_) | Err(_) => return ThreadState::Runs,
    };
    let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let arguments: Vec<u64> = words.filter_map(hexadecimal).collect();
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // A descriptor is an int, whatever the upper half of its register contains.
    let descriptor = argument(0) as u32;
    match Call::from_number(number) {
        Some(Call::Epoll) => ThreadState::WaitsInEpoll(descriptor),
        Some(Call::Ring) if argument(3) & REGISTERED_RING != 0 => ThreadState::WaitsInHiddenRing,
        Some(Call::Ring) if is_ring(pid, descriptor) => ThreadState::WaitsInRing,
        Some(Call::Ring) => ThreadState::WaitsInHiddenRing,
        Some(Call::Read) => ThreadState::Reads(descriptor),
        Some(Call::Poll) => ThreadState::Polls(polled_descriptors(pid, argument(0), argument(1))),
        Some(Call::Select) => {
            ThreadState::Polls(selected_descriptors(pid, argument(0), argument(1)))
        }
        None => ThreadState::Sleeps,
    }
}

fn is_ring(pid: u32, descriptor: u32) -> bool {
    target(format!("/proc/{pid}/fd/{descriptor}")) == Target::Ring
}

/// The system calls that wait for input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Epoll,
    Ring,
    Read,
    Poll,
    Select,
}

impl Call {
    pub(super) fn from_number(number: libc::c_long) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        match number {
            libc::SYS_epoll_wait => return Some(Self::Epoll),
            libc::SYS_poll => return Some(Self::Poll),
            libc::SYS_select => return Some(Self::Select),
            _ => {}
        }
        match number {
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Some(Self::Epoll),
            libc::SYS_io_uring_enter => Some(Self::Ring),
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_preadv2
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_splice => Some(Self::Read),
            libc::SYS_ppoll => Some(Self::Poll),
            libc::SYS_pselect6 => Some(Self::Select),
            _ => None,
        }
    }
}

/// The descriptors that an array of `struct pollfd` waits for input from.
fn polled_descriptors(pid: u32, address: u64, count: u64) -> Vec<u32> {
    /// `POLLIN` and `POLLRDNORM`.
    const INPUT: u16 = 0x1 | 0x40;
    let bytes = read_memory(pid, address, count.min(MOST_POLLED) * 8);
    let entries = bytes.chunks_exact(8).filter_map(|entry| {
        let events = u16::from_ne_bytes(entry[4..6].try_into().ok()?);
        let descriptor = i32::from_ne_bytes(entry[..4].try_into().ok()?);
        // The kernel ignores negative descriptors.
        (events & INPUT != 0).then(|| u32::try_from(descriptor).ok()).flatten()
    });
    entries.collect()
}

/// The descriptors below `count` in the bit set at `address`.
fn selected_descriptors(pid: u32, count: u64, address: u64) -> Vec<u32> {
    if address == 0 {
        return Vec::new();
    }
    let count = count.min(MOST_POLLED);
    // The kernel's sets are arrays of longs. On a little-endian machine their bytes are in
    // ascending order.
    let bytes = read_memory(pid, address, count.div_ceil(64) * 8);
    let is_in = |number: &u64| {
        let byte = bytes.get(usize::try_from(number / 8).unwrap_or(usize::MAX));
        byte.is_some_and(|byte| byte >> (number % 8) & 1 != 0)
    };
    (0..count).filter(is_in).filter_map(|number| u32::try_from(number).ok()).collect()
}

/// Memory of another process; empty if it cannot be read.
fn read_memory(pid: u32, address: u64, bytes: u64) -> Vec<u8> {
    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let file = File::open(format!("/proc/{pid}/mem"));
    let read = file.and_then(|file| file.read_exact_at(&mut buffer, address));
    read.map_or_else(|_| Vec::new(), |()| buffer)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn a_thread_is_seen_to_sleep_in_its_call() {
        let (reader, writer) = io::pipe().unwrap();
        let number = reader.as_raw_fd().unsigned_abs();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut polled = [PollFd::new(&reader, PollFlags::IN)];
                poll(&mut polled, None).unwrap();
            });
            let start = Instant::now();
            let polls = ThreadState::Polls(vec![number]);
            while !threads(std::process::id()).unwrap().contains(&polls) {
                assert!(start.elapsed() < Duration::from_secs(10), "{polls:?}");
                thread::yield_now();
            }
            rustix::io::write(&writer, b"x").unwrap();
        });
    }

    #[test]
    fn a_call_is_read_as_linux_writes_it() {
        let read = "0 0x8 0x7f1ca9f54000 0x20000 0x0 0x0 0x0 0x7ffcc3d8a6e8 0x7f1caa0d02ad";
        let call = libc::SYS_read;
        let futex = format!("{} 0x1", libc::SYS_futex);
        assert_eq!(parse_state(1, &futex), ThreadState::Sleeps);
        assert_eq!(
            parse_state(1, &read.replacen('0', &call.to_string(), 1)),
            ThreadState::Reads(8)
        );
        assert_eq!(parse_state(1, "running\n"), ThreadState::Runs);
        assert_eq!(parse_state(1, "-1 0x7ffcc3d8a6e8 0x7f1caa0d02ad"), ThreadState::Runs);
    }
}
