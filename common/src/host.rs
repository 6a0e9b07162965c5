//! What a server sets up in its process: descriptor limit, panic hook, stop signals.

use std::{io, panic, process, sync::Arc, thread};

use crate::{life::Life, log};

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

/// Stops the server on SIGINT, SIGTERM and SIGHUP, or a console event on Windows; the second one
/// ends the process with status 1.
///
/// # Errors
///
/// The handler or its thread could not be set up.
pub(crate) fn stop_on_signals(life: &Arc<Life>) -> Result<(), ctrlc::Error> {
    let life = Arc::clone(life);
    ctrlc::set_handler(move || {
        let open = life.open();
        if life.stopping() {
            log::line(format_args!("stopped by a second signal; connections cut: {open}"));
            exit(1);
        }
        log::line(format_args!("stopping; open connections: {open} (once more to stop at once)"));
        life.stop();
    })
}

/// Stops the server at the end of standard input. It never counts as a second signal, because
/// whoever sends a signal may close the pipe as well.
///
/// # Errors
///
/// The thread that reads could not be spawned.
pub(crate) fn stop_on_stdin_eof(life: &Arc<Life>) -> io::Result<()> {
    let life = Arc::clone(life);
    let reader = move || {
        // An error is the end as well: nothing more will come from there.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        if !life.stopping() {
            log::line(format_args!("standard input ended, stopping"));
        }
        life.stop();
    };
    thread::Builder::new().name("stdin".into()).spawn(reader).map(drop)
}
