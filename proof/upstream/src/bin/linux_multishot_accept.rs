//! Linux on its own: a multishot accept on a Unix listener stays armed when the listener is shut
//! down, although no client can connect any more. On a TCP listener it completes with EINVAL.
//!
//! Exits with 0 if the fault shows.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{ExitCode, id};

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};

fn main() -> ExitCode {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
    let name = SocketAddr::from_abstract_name(id().to_string()).expect("a name");
    let unix = UnixListener::bind_addr(&name).expect("a Unix listener");
    let [tcp, unix] = [completion_of(&tcp), completion_of(&unix)];
    println!("what the accept completes with after shutdown(2): TCP {tcp:?}, Unix {unix:?}");
    match (tcp, unix) {
        (Some(_), None) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The result with which a multishot accept completes within 1 s after its listener is shut down.
fn completion_of(listener: &(impl AsFd + AsRawFd)) -> Option<i32> {
    let mut ring = IoUring::new(8).expect("a ring");
    let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build();
    // SAFETY: the entry names no memory, and the listener outlives the ring.
    unsafe { ring.submission().push(&accept) }.expect("room in the ring");
    ring.submit().expect("submit");
    rustix::net::shutdown(listener, rustix::net::Shutdown::Both).expect("shutdown");
    let limit = Timespec::new().sec(1);
    let _ = ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit));
    ring.completion().next().map(|completion| completion.result())
}
