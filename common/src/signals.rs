//! What tells a server to stop: signals, and the end of its standard input.

use std::io;
use std::sync::Arc;
use std::thread;

use crate::life::Life;
use crate::{host, log};

/// Stops the server on SIGINT, SIGTERM and SIGHUP, or a console event on Windows; the second one
/// ends the process with status 1.
///
/// # Errors
/// The handler or its thread could not be set up.
pub(crate) fn stop_on_signals(life: &Arc<Life>) -> Result<(), ctrlc::Error> {
    let life = Arc::clone(life);
    ctrlc::set_handler(move || {
        let open = life.open();
        if life.stopping() {
            log::line(format_args!("stopped by a second signal; connections cut: {open}"));
            host::exit(1);
        }
        log::line(format_args!("stopping; open connections: {open} (once more to stop at once)"));
        life.stop();
    })
}

/// Stops the server at the end of standard input. It never counts as a second signal, because
/// the sender of a signal may close the pipe as well.
///
/// # Errors
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
