//! The server's process: its descriptor limit, its panic hook and its end.

use std::panic;
use std::process;

/// Raises the soft limit of descriptors to the hard limit: 1024, a common soft limit, is less than
/// the connections that a server has to hold. If that fails, `accept` will report the lower limit.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    // macOS reports an infinite hard limit, and refuses more than OPEN_MAX (setrlimit(2)).
    const OPEN_MAX: u64 = 10_240;

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = if cfg!(target_vendor = "apple") { maximum.or(Some(OPEN_MAX)) } else { maximum };
    if current != wanted {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum });
    }
}

/// Windows has no limit of descriptors to raise.
#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit() {}

/// Makes a panic of any thread end the process: a server that has lost a worker would look alive.
pub(crate) fn exit_on_panic() {
    // The exit status of a Rust program whose `main` panics.
    const PANICKED: i32 = 101;

    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::exit(PANICKED);
    }));
}

/// Ends the process without unwinding, and removes the paths of its sockets.
pub(crate) fn exit(status: i32) -> ! {
    #[cfg(unix)]
    crate::unix_path::remove_all();
    process::exit(status)
}
