//! What stops the server: a signal, or the end of standard input. A second signal ends it at once.

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use mio::Waker;

use crate::fault::Fault;
use crate::log;
use crate::options::Options;

/// Whether the server was asked to stop.
#[derive(Clone)]
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
    signals: Arc<AtomicU32>,
    fault: Option<Fault>,
    waker: Arc<Waker>,
}

/// Which signal came, where that can be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Signal {
    Interrupt,
    Terminate,
}

impl Stop {
    /// Starts to watch for what stops the server; an error means that a signal cannot be handled.
    pub(crate) fn watch(options: &Options, waker: Waker) -> io::Result<Self> {
        let stop = Self {
            requested: Arc::default(),
            signals: Arc::default(),
            fault: options.fault,
            waker: Arc::new(waker),
        };
        watch_signals(stop.clone())?;
        if options.stop_on_stdin_eof && options.fault != Some(Fault::IgnoresStdinEof) {
            let stop = stop.clone();
            thread::spawn(move || stop.when_stdin_ends());
        }
        Ok(stop)
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    fn signal(&self, signal: Signal) {
        if self.fault == Some(Fault::IgnoresSigint) && signal == Signal::Interrupt {
            return;
        }
        let earlier = self.signals.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 && self.fault != Some(Fault::IgnoresSecondSignal) {
            log::line(format_args!("second signal, ending at once"));
            std::process::exit(1);
        }
        self.request();
    }

    fn when_stdin_ends(&self) {
        let mut ignored = [0; 512];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return self.request(),
            }
        }
    }

    fn request(&self) {
        self.requested.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            log::line(format_args!("cannot wake the loop, ending at once: {error}"));
            std::process::exit(1);
        }
    }
}

#[cfg(unix)]
fn watch_signals(stop: Stop) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        for number in signals.forever() {
            stop.signal(if number == SIGINT { Signal::Interrupt } else { Signal::Terminate });
        }
    });
    Ok(())
}

/// A console break is both: Windows has no other way to ask.
#[cfg(windows)]
fn watch_signals(stop: Stop) -> io::Result<()> {
    let signal = match stop.fault {
        Some(Fault::IgnoresSigint) => Signal::Interrupt,
        Some(_) | None => Signal::Terminate,
    };
    ctrlc::set_handler(move || stop.signal(signal)).map_err(io::Error::other)
}

/// The status of a server that stopped as it was asked to.
pub(crate) fn exit_code(fault: Option<Fault>) -> ExitCode {
    if fault == Some(Fault::Exits3) { ExitCode::from(3) } else { ExitCode::SUCCESS }
}
