//! An echo server that is correct by default and commits faults with `--fault NAME`, to prove that
//! each case can fail. It shares no code with the backends, so that a fault can be planted
//! anywhere. `faults/` holds the faults; `hooks.rs`, `process.rs` and `datagrams.rs` hold the
//! points where they strike.

mod announcement;
mod capability;
mod connection;
mod datagrams;
mod faults;
mod hooks;
mod listener;
mod log;
mod options;
mod process;
#[cfg(target_os = "linux")]
mod ring;
mod server;
mod stop;
mod turn;

use std::io;
use std::process::ExitCode;

use crate::listener::{Bound, Name};
use crate::options::Options;
use crate::server::Server;
use crate::stop::Stop;

fn main() -> ExitCode {
    // No backtrace: its symbols would cost 1 s of CPU per panic, and there are a few hundred
    // panics.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    if std::env::args_os().nth(1).is_some_and(|first| first == faults::CHILD) {
        let done = faults::be_child();
        return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let options = match options::parse() {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    if options.list_faults {
        print!("{}", faults::list());
        return ExitCode::SUCCESS;
    }
    let process = options.faults().process();
    if let Some(reason) = options.unsupported() {
        return process.refuse(&announcement::unsupported(&reason));
    }
    if let Some(end) = process.begin() {
        return end;
    }
    match serve(&options) {
        Ok(end) => end,
        Err(error) => {
            log::line(format_args!("mutant: {error}"));
            process.failed()
        }
    }
}

fn serve(options: &Options) -> io::Result<ExitCode> {
    let process = options.faults().process();
    let listeners = listener::open(options)?;
    let ports = listener::ports(options, &listeners);
    let paths: Vec<Name> = listeners.iter().filter_map(Bound::path).map(Name::new).collect();
    process.bound(&ports)?;
    #[cfg(target_os = "linux")]
    if let Some(style) = process.ring_style() {
        return serve_on_ring(options, &listeners, style);
    }
    let mut server = Server::new(options, &listeners)?;
    let stop = Stop::watch(options, server.waker()?)?;
    process.announcing()?;
    announcement::print(options, &listeners)?;
    process.announced(options.faults().at())?;
    if !process.listens_first() {
        listeners.iter().try_for_each(|bound| bound.listen(process))?;
    }
    server.listen(listeners)?;
    let cut = server.run(&stop)?;
    log::line(format_args!("stopped, {cut} connections cut"));
    process.stopped(&ports)?;
    paths.iter().for_each(|name| name.leave(process));
    Ok(process.exit_code())
}

/// Serves on a ring. [`ring`] says what such a server leaves out.
#[cfg(target_os = "linux")]
fn serve_on_ring(
    options: &Options,
    listeners: &[Bound],
    style: ring::Style,
) -> io::Result<ExitCode> {
    let poll = mio::Poll::new()?;
    let stop = Stop::watch(options, mio::Waker::new(poll.registry(), mio::Token(0))?)?;
    announcement::print(options, listeners)?;
    let sockets: Vec<_> = listeners.iter().map(|bound| &bound.socket).collect();
    ring::serve(style, &sockets, poll, || stop.is_requested())?;
    Ok(options.faults().process().exit_code())
}
