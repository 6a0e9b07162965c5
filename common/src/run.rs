//! The program around a backend: from its arguments to its exit status.

use std::{
    net::{SocketAddr, TcpListener},
    process,
};

use crate::{
    Backend, Context, Drained, Flavor, ServeError, Unavailable,
    announcement::{Announcement, Refusal},
    host,
    life::Life,
    listener, log,
    options::{Listen, Options},
};

/// Exit status of a server that cannot serve what was asked, EX_UNAVAILABLE of sysexits.h.
const EX_UNAVAILABLE: i32 = 69;

/// Runs `backend` as a program: reads the arguments, binds, serves until the stop signal, exits.
///
/// It exits without unwinding, so that connections cut by the drain deadline cannot hold it.
pub fn run(backend: &'static Backend) -> ! {
    host::exit_on_panic();
    let options = Options::parse(backend);
    let status = match serve(backend, &options) {
        Ok(()) => 0,
        Err(end) => end.report(),
    };
    process::exit(status)
}

/// Why a server ends otherwise than after a stop signal.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Unsupported(String),
    Unavailable(String),
    Failed(String),
}

impl End {
    /// Tells people and programs, and says the exit status.
    fn report(&self) -> i32 {
        match self {
            End::Unsupported(reason) => {
                log::line(format_args!("unsupported: {reason}"));
                Refusal::Unsupported(reason).print();
                EX_UNAVAILABLE
            }
            End::Unavailable(reason) => {
                log::line(format_args!("unavailable: {reason}"));
                Refusal::Unavailable(reason).print();
                EX_UNAVAILABLE
            }
            End::Failed(reason) => {
                log::line(format_args!("error: {reason}"));
                1
            }
        }
    }
}

impl From<ServeError> for End {
    fn from(error: ServeError) -> End {
        match error {
            ServeError::Unavailable(Unavailable(reason)) => End::Unavailable(reason),
            ServeError::Failed(error) => End::Failed(format!("begin to serve: {error}")),
        }
    }
}

fn serve(backend: &'static Backend, options: &Options) -> Result<(), End> {
    let addresses = offered(backend, options)?;
    (backend.probe)().map_err(|Unavailable(reason)| End::Unavailable(reason))?;
    host::raise_descriptor_limit();
    let life = Life::new(options.drain);
    host::stop_on_signals(&life).map_err(|e| End::Failed(format!("handle signals: {e}")))?;
    if options.stop_on_stdin_eof {
        let stdin = host::stop_on_stdin_eof(&life);
        stdin.map_err(|e| End::Failed(format!("read standard input: {e}")))?;
    }
    let listeners = bind(&addresses)?;
    let flavor: &Flavor = options.flavor(backend);
    let workers = options.workers(flavor.workers);
    let announcement = Announcement::new(backend, flavor, workers, bound(&listeners)?);
    let context =
        Context::new(announcement, options.announce, workers, options.buffer_bytes(), life.clone());
    let Drained { cut } = (flavor.serve)(listeners, context)?;
    log::line(format_args!("drained; connections cut: {cut}, served: {}", life.served()));
    if life.failed() {
        return Err(End::Failed("a listener broke; see the line about accept above".to_owned()));
    }
    Ok(())
}

/// The addresses to serve, if everything that was asked is something backends offer.
fn offered(backend: &Backend, options: &Options) -> Result<Vec<SocketAddr>, End> {
    let lacks = |what: String| End::Unsupported(format!("{} {what}", backend.package));
    if let Some(capability) = options.capability.first() {
        return Err(lacks(format!("has no capability `{capability}`, and no other")));
    }
    if let Some(driver) = &options.driver
        && driver != backend.driver.name()
    {
        return Err(lacks(format!("runs on {} here, not on {driver}", backend.driver)));
    }
    let tcp = |listen: &Listen| match listen {
        Listen::Tcp(address) => Ok(*address),
        Listen::Cpu(_) | Listen::Udp(_) | Listen::Unix(_) | Listen::Unixgram(_) => {
            Err(lacks(format!("has no {} listeners, only tcp", listen.kind())))
        }
    };
    options.listen.iter().map(tcp).collect()
}

fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, End> {
    let bind = |&address: &SocketAddr| {
        if !address.ip().is_loopback() {
            log::line(format_args!(
                "warning: other hosts can reach {address}, an open echo server"
            ));
        }
        listener::bind(address).map_err(|e| End::Failed(format!("listen on {address}: {e}")))
    };
    addresses.iter().map(bind).collect()
}

/// The addresses that the system gave to the listeners.
fn bound(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, End> {
    let address = |listener: &TcpListener| {
        listener.local_addr().map_err(|e| End::Failed(format!("address of a listener: {e}")))
    };
    listeners.iter().map(address).collect()
}
