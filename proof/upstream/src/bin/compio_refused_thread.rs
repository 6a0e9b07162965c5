//! compio 0.19.2 on its own: `spawn_blocking` panics inside the driver if the system refuses a
//! thread (compio-driver 0.12.5, src/asyncify.rs, `std::thread::spawn`). No call returns an error
//! instead.
//!
//! A seccomp filter refuses threads, because RLIMIT_NPROC does not apply to root.
//!
//! Exits with 0 if the fault shows.

use std::env::consts::ARCH;
use std::panic;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use compio::runtime::{Runtime, spawn_blocking};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() {
    panic::set_hook(Box::new(|panic| {
        println!("{panic}");
        PANICKED.store(true, Ordering::Relaxed);
    }));
    let runtime = Runtime::new().expect("a runtime");
    refuse_threads();
    let ended = runtime.block_on(async { spawn_blocking(|| ()).await });
    println!("the work ended with {ended:?}");
    // Does not drop the runtime, which may be waiting for the work.
    process::exit(if PANICKED.load(Ordering::Relaxed) { 0 } else { 1 })
}

fn refuse_threads() {
    let calls = [libc::SYS_clone, libc::SYS_clone3].map(|call| (call, vec![]));
    let refuse = SeccompAction::Errno(libc::EAGAIN as u32);
    let host = ARCH.try_into().expect("an architecture that seccomp knows");
    let filter = SeccompFilter::new(calls.into(), SeccompAction::Allow, refuse, host);
    let program = BpfProgram::try_from(filter.expect("a filter")).expect("a program");
    seccompiler::apply_filter_all_threads(&program).expect("seccomp");
}
