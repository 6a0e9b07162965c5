//! Tries what IORING_REGISTER_PROBE does not list: the flags of io_uring_setup(2), multishot
//! operations, and buffer rings.
#![expect(unsafe_code, reason = "the kernel is given entries with pointers and descriptors")]

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::{Builder, IoUring, cqueue, opcode, types};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::ring_needs::SETUP_FLAGS;

/// The smallest ring: few entries are charged to the user's locked memory.
const ENTRIES: u32 = 8;
/// How long an operation may take that has all it needs.
const PATIENCE: Duration = Duration::from_secs(1);
/// The buffer group of a trial.
const GROUP: u16 = 0;

/// The setup flags with which the kernel sets up a ring.
pub(super) fn setup_flags() -> Vec<&'static str> {
    let names = SETUP_FLAGS.iter().map(|flag| flag.name);
    names.filter(|name| builder_with(name).is_some_and(|ring| is_known(&ring))).collect()
}

/// Whether the kernel knows the flags. It may refuse a ring for other reasons, such as a lack of
/// memory, and then the server that needs the ring finds out.
fn is_known(ring: &Builder) -> bool {
    match ring.build(ENTRIES) {
        Ok(_) => true,
        Err(error) => Errno::from_io_error(&error) != Some(Errno::INVAL),
    }
}

/// A ring with one flag, and with those without which the kernel refuses it.
fn builder_with(flag: &str) -> Option<Builder> {
    let mut ring = IoUring::builder();
    match flag {
        "IOPOLL" => ring.setup_iopoll(),
        "CQSIZE" => ring.setup_cqsize(2 * ENTRIES),
        "SUBMIT_ALL" => ring.setup_submit_all(),
        "COOP_TASKRUN" => ring.setup_coop_taskrun(),
        "TASKRUN_FLAG" => ring.setup_coop_taskrun().setup_taskrun_flag(),
        "SINGLE_ISSUER" => ring.setup_single_issuer(),
        "DEFER_TASKRUN" => ring.setup_single_issuer().setup_defer_taskrun(),
        _ => return None,
    };
    Some(ring)
}

/// Tries an operation. Fails if the trial could not be made.
type Trial = fn() -> io::Result<bool>;

/// The operations that the kernel's probe does not list.
pub(super) const UNLISTED: [(&str, Trial); 3] = [
    ("accept_multishot", accepts_many),
    ("buffer_ring", takes_buffer_ring),
    ("recv_multishot", receives_many),
];

/// Those of [`UNLISTED`] that work, or could not be tried: the server that needs them finds out.
pub(super) fn unlisted_operations() -> Vec<&'static str> {
    let working = UNLISTED.into_iter().filter(|(_, works)| works().unwrap_or(true));
    working.map(|(name, _)| name).collect()
}

/// Whether a multishot accept accepts a client and stays in flight.
fn accepts_many() -> io::Result<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    let mut ring = IoUring::new(ENTRIES)?;
    let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build();
    let Some((accepted, flags)) = run(&mut ring, accept)? else { return Ok(false) };
    run(&mut ring, opcode::Close::new(types::Fd(accepted)).build())?;
    Ok(cqueue::more(flags))
}

/// Whether a multishot receive gets a byte into a provided buffer and stays in flight.
fn receives_many() -> io::Result<bool> {
    const BYTES: usize = 16;

    let (mut sender, receiver) = UnixStream::pair()?;
    sender.write_all(b"x")?;
    // Outlives the ring.
    let mut buffer = [0_u8; BYTES];
    let mut ring = IoUring::new(ENTRIES)?;
    let length = BYTES as i32;
    let provide = opcode::ProvideBuffers::new(buffer.as_mut_ptr(), length, 1, GROUP, 0).build();
    if run(&mut ring, provide)?.is_none() {
        return Ok(false);
    }
    let receive = opcode::RecvMulti::new(types::Fd(receiver.as_raw_fd()), GROUP).build();
    let received = run(&mut ring, receive)?;
    Ok(received.is_some_and(|(_, flags)| cqueue::more(flags)))
}

/// Whether the kernel accepts a buffer ring.
fn takes_buffer_ring() -> io::Result<bool> {
    /// A buffer ring begins at a page boundary, and kernels have pages of up to 64 KiB.
    #[repr(C, align(65536))]
    struct Page([u8; 65_536]);

    let page = Box::new(Page([0; 65_536]));
    let ring = IoUring::new(ENTRIES)?;
    let address = page.0.as_ptr() as u64;
    let count = ENTRIES as u16;
    // SAFETY: the page has room for the entries, and is freed after the ring.
    let registered =
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0) };
    match registered {
        Ok(()) => Ok(true),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Submits an operation and waits for its first completion, whose result and flags it returns;
/// `None` if the kernel does not know the operation or its flags (EINVAL). What the operation
/// points to must outlive the ring.
///
/// # Errors
/// Any other error, and `TimedOut` after [`PATIENCE`].
fn run(ring: &mut IoUring, operation: Entry) -> io::Result<Option<(i32, u32)>> {
    {
        let mut queue = ring.submission();
        // SAFETY: the callers in this file keep what the operation points to.
        let pushed = unsafe { queue.push(&operation) };
        pushed.map_err(io::Error::other)?;
    }
    ring.submit()?;
    let deadline = Deadline::after(PATIENCE);
    let completion = loop {
        if let Some(completion) = ring.completion().next() {
            break completion;
        }
        if deadline.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        wait_for_completion(ring, deadline.left())?;
    };
    match completion.result() {
        result @ 0.. => Ok(Some((result, completion.flags()))),
        refused if refused == -Errno::INVAL.raw_os_error() => Ok(None),
        failed => Err(io::Error::from_raw_os_error(-failed)),
    }
}

/// Waits until the ring has a completion: its descriptor is then readable. A wait in
/// io_uring_enter(2) has a time limit only since Linux 5.11.
fn wait_for_completion(ring: &IoUring, time: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    let mut waiting = [PollFd::new(ring, PollFlags::IN)];
    match poll(&mut waiting, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_the_list_can_be_tried() {
        for flag in SETUP_FLAGS {
            assert!(builder_with(flag.name).is_some(), "{}", flag.name);
        }
    }
}
