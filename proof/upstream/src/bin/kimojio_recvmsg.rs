//! kimojio 0.19.0 on its own: `recvmsg` is a safe function, but writes to wherever the header
//! points. This program has no unsafe code, and changes a value through a shared reference.
//! `sendmsg` reads from anywhere in the same way.
//!
//! Exits with 0 if the fault shows. Does not compile once the functions are unsafe.

use std::hint::black_box;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::ptr::null_mut;

use kimojio::configuration::{Configuration, ExitBehavior};
use kimojio::{Runtime, operations};
use rustix::io_uring::{MsgHdr, iovec};
use rustix::net::RecvFlags;

fn main() -> ExitCode {
    let kept = Box::new([0_u8; 4]);
    let mut part = iovec { iov_base: kept.as_ptr().cast_mut().cast(), iov_len: 4 };
    let until = ExitBehavior::WhenMainTaskCompletes;
    let mut runtime = Runtime::new(0, Configuration::new().set_exit_behavior(until));
    runtime.block_on(async move {
        let (mut client, server) = UnixStream::pair().expect("sockets");
        client.write_all(b"evil").expect("send");
        let mut header = MsgHdr {
            msg_name: null_mut(),
            msg_namelen: 0,
            msg_iov: &mut part,
            msg_iovlen: 1,
            msg_control: null_mut(),
            msg_controllen: 0,
            msg_flags: RecvFlags::empty(),
        };
        operations::recvmsg(&server, &mut header, RecvFlags::empty(), None).await.expect("recvmsg")
    });
    let is_changed = **black_box(&kept) != [0; 4];
    println!("safe code has changed a value that it shares: {is_changed}");
    if is_changed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
