//! compio 0.19.2 on its own, with its epoll driver: an accept that fails at once is ready in its
//! first poll, so an accept loop that continues after errors keeps its thread. No timer fires, and
//! no other task runs.
//!
//! Exits with 0 if the fault shows.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use compio::driver::{DriverType, ProactorBuilder};
use compio::net::TcpListener;
use compio::runtime::{Runtime, spawn};
use compio::time::sleep;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static FAILED: AtomicU32 = AtomicU32::new(0);
static SLEPT: AtomicU32 = AtomicU32::new(0);

fn main() {
    thread::spawn(|| {
        thread::sleep(Duration::from_secs(1));
        let [failed, slept] = [&FAILED, &SLEPT].map(|count| count.load(Ordering::Relaxed));
        println!("in 1 s {failed} accepts failed, and a task slept {slept} times for 50 ms");
        process::exit(if failed > 0 && slept == 0 { 0 } else { 1 })
    });
    let mut proactor = ProactorBuilder::new();
    proactor.driver_type(DriverType::Poll);
    let runtime = Runtime::builder().with_proactor(proactor).build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let next = File::open("/dev/null").expect("a descriptor").as_raw_fd() as u64;
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(next), maximum }).expect("a limit");
        spawn(async {
            loop {
                sleep(Duration::from_millis(50)).await;
                SLEPT.fetch_add(1, Ordering::Relaxed);
            }
        })
        .detach();
        loop {
            let _ = listener.accept().await.expect_err("no descriptor is left");
            FAILED.fetch_add(1, Ordering::Relaxed);
        }
    });
}
