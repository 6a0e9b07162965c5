//! What a server sets up in its process: descriptor limit and panic hook; and how it ends.

use std::{panic, process};

/// Raises the soft limit of descriptors to the hard one; 1024, a common soft limit, is less than
/// the connections a server is expected to hold. A refusal is left for `accept` to show.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    // macOS says the hard limit is infinite and then refuses more than OPEN_MAX, setrlimit(2).
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

/// Lets a panic of any thread end the process: a server that lost a worker looks alive and is not.
pub(crate) fn exit_on_panic() {
    // What the Rust runtime exits with when `main` panics.
    const PANICKED: i32 = 101;

    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::exit(PANICKED);
    }));
}

/// Ends the process without unwinding, and leaves no name of a socket behind.
pub(crate) fn exit(status: i32) -> ! {
    #[cfg(unix)]
    crate::unix_path::remove_all();
    process::exit(status)
}
