//! tokio 1.54.1 on its own: `spawn_blocking` panics if the system refuses a thread, and no call
//! returns an error instead. Before 1.54 its task never ends (tokio#8406).
//!
//! A seccomp filter refuses threads, because RLIMIT_NPROC does not apply to root.
//!
//! Exits with 0 if the fault shows.

use std::{env::consts::ARCH, process::ExitCode, time::Duration};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tokio::{runtime::Builder, task, time};

fn main() -> ExitCode {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    refuse_threads();
    let ended = runtime.block_on(async {
        let client = task::spawn(async { task::spawn_blocking(|| ()).await });
        time::timeout(Duration::from_secs(2), client).await
    });
    runtime.shutdown_background();
    let panicked = matches!(&ended, Ok(Err(error)) if error.is_panic());
    println!("spawn_blocking panicked: {panicked}; never ended: {}", ended.is_err());
    if panicked || ended.is_err() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse_threads() {
    let calls = [libc::SYS_clone, libc::SYS_clone3].map(|call| (call, vec![]));
    let refuse = SeccompAction::Errno(libc::EAGAIN as u32);
    let host = ARCH.try_into().expect("an architecture that seccomp knows");
    let filter = SeccompFilter::new(calls.into(), SeccompAction::Allow, refuse, host);
    let program = BpfProgram::try_from(filter.expect("a filter")).expect("a program");
    seccompiler::apply_filter_all_threads(&program).expect("seccomp");
}
