//! Requests to stop: a signal, or the end of standard input. A second signal ends the process at
//! once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use mio::Waker;

use crate::log;
use crate::options::Options;
use crate::process::{ProcessHooks, StopRequest};

/// Whether the server was asked to stop.
#[derive(Clone)]
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
    signals: Arc<AtomicU32>,
    process: &'static dyn ProcessHooks,
    waker: Arc<Waker>,
}

impl Stop {
    /// Starts to watch for requests to stop. Fails if no signal handler can be installed.
    pub(crate) fn watch(options: &Options, waker: Waker) -> io::Result<Self> {
        let stop = Self {
            requested: Arc::default(),
            signals: Arc::default(),
            process: options.faults().process(),
            waker: Arc::new(waker),
        };
        watch_signals(stop.clone())?;
        if options.stop_on_stdin_eof && stop.process.heeds(StopRequest::StdinEnd) {
            let stop = stop.clone();
            thread::spawn(move || stop.when_stdin_ends());
        }
        Ok(stop)
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    fn signal(&self, signal: StopRequest) {
        if !self.process.heeds(signal) {
            return;
        }
        let earlier = self.signals.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 && self.process.heeds(StopRequest::SecondSignal) {
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
            let is_interrupt = number == SIGINT;
            let signal = if is_interrupt { StopRequest::Interrupt } else { StopRequest::Terminate };
            stop.signal(signal);
        }
    });
    Ok(())
}

/// Windows has only console events to ask for a stop, so one stands for both signals.
#[cfg(windows)]
fn watch_signals(stop: Stop) -> io::Result<()> {
    let is_heeded = stop.process.heeds(StopRequest::Interrupt);
    let signal = if is_heeded { StopRequest::Terminate } else { StopRequest::Interrupt };
    ctrlc::set_handler(move || stop.signal(signal)).map_err(io::Error::other)
}
