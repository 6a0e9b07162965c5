//! compio 0.19.2 on its own, on io_uring: the first operation probes what the kernel supports, and
//! opens a second ring for that. Without a free descriptor, compio takes the operation for
//! unsupported (compio-driver 0.12.5, `is_op_supported`), and makes its system call in a thread of
//! the pool. A multishot accept has no such call, so it panics.
//!
//! Exits with 0 if the fault shows.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compio::driver::{DriverType, ProactorBuilder};
use compio::net::TcpListener;
use compio::runtime::{Runtime, spawn};
use compio::time::sleep;
use futures_lite::StreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() {
    panic::set_hook(Box::new(|panic| {
        println!("{panic}");
        PANICKED.store(true, Ordering::Relaxed);
    }));
    let mut proactor = ProactorBuilder::new();
    proactor.driver_type(DriverType::IoUring);
    let runtime = Runtime::builder().with_proactor(proactor).build().expect("a runtime");
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let next = File::open("/dev/null").expect("a descriptor").as_raw_fd() as u64;
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(next), maximum }).expect("a limit");
        spawn(async move { listener.incoming().next().await.map(drop) }).detach();
        sleep(Duration::from_millis(500)).await;
    });
    // Does not drop the runtime, whose driver may be waiting for the operation.
    process::exit(if PANICKED.load(Ordering::Relaxed) { 0 } else { 1 })
}
