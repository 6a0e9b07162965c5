//! blocking 1.7.0 on its own (the thread pool of smol and async-std): if the system refuses the
//! first thread, `unblock` never returns. It holds the pool's lock and retries without a pause.
//!
//! A seccomp filter refuses threads, because RLIMIT_NPROC does not apply to root.
//!
//! Exits with 0 if the fault shows.

use std::{env::consts::ARCH, process, sync::mpsc, thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

fn main() {
    let (refused, refusing) = mpsc::channel();
    let (returned, returns) = mpsc::channel();
    thread::spawn(move || {
        refusing.recv().expect("threads are refused");
        blocking::unblock(|| ()).detach();
        returned.send(())
    });
    refuse_threads();
    refused.send(()).expect("a caller");
    let has_returned = returns.recv_timeout(Duration::from_secs(2)).is_ok();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32);
    println!("unblock returned within 2 s: {has_returned}; CPU time used: {cpu:.1?}");
    process::exit(if has_returned { 1 } else { 0 })
}

fn refuse_threads() {
    let calls = [libc::SYS_clone, libc::SYS_clone3].map(|call| (call, vec![]));
    let refuse = SeccompAction::Errno(libc::EAGAIN as u32);
    let host = ARCH.try_into().expect("an architecture that seccomp knows");
    let filter = SeccompFilter::new(calls.into(), SeccompAction::Allow, refuse, host);
    let program = BpfProgram::try_from(filter.expect("a filter")).expect("a program");
    seccompiler::apply_filter_all_threads(&program).expect("seccomp");
}
