//! The program around a backend: from its arguments to its exit status.

use std::io;
use std::sync::Arc;

use crate::announcement::Refusal;
use crate::endpoint::Endpoint;
use crate::life::Life;
use crate::options::Options;
use crate::sockets::{self, Family};
#[cfg(unix)]
use crate::unix_path;
use crate::{
    Backend, Cancel, Capability, Context, Drained, Driver, Listener, ServeError, Sockets,
    Unavailable, Work, host, log, signals,
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
    host::exit(status)
}

/// Why a server ends otherwise than after a stop signal.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Unsupported(String),
    Unavailable(String),
    Failed(String),
    /// The reason was logged when the server failed, before it drained.
    FailedWhileServing,
}

impl End {
    /// Logs the reason unless that was done before, prints a refusal to standard output, and
    /// returns the exit status.
    fn report(&self) -> i32 {
        match self {
            Self::Unsupported(reason) => {
                log::line(format_args!("unsupported: {reason}"));
                Refusal::Unsupported(reason).print();
                EX_UNAVAILABLE
            }
            Self::Unavailable(reason) => {
                log::line(format_args!("unavailable: {reason}"));
                Refusal::Unavailable(reason).print();
                EX_UNAVAILABLE
            }
            Self::Failed(reason) => {
                log::line(format_args!("error: {reason}"));
                1
            }
            Self::FailedWhileServing => 1,
        }
    }
}

impl From<ServeError> for End {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Unavailable(Unavailable(reason)) => Self::Unavailable(reason),
            ServeError::Failed(error) => Self::Failed(format!("start the server: {error}")),
        }
    }
}

fn serve(backend: &'static Backend, options: &Options) -> Result<(), End> {
    let (driver, asked) = offered(backend, options)?;
    (backend.probe)(driver).map_err(|Unavailable(reason)| End::Unavailable(reason))?;
    host::raise_descriptor_limit();
    let life = Life::new(options.drain);
    let ended = Arc::clone(&life);
    life.keep_deadline(move || end_overdue(&ended))
        .map_err(|e| End::Failed(format!("start the thread of the drain: {e}")))?;
    signals::stop_on_signals(&life).map_err(|e| End::Failed(format!("handle signals: {e}")))?;
    if options.stop_on_stdin_eof {
        let stdin = signals::stop_on_stdin_eof(&life);
        stdin.map_err(|e| End::Failed(format!("read standard input: {e}")))?;
    }
    let (sockets, endpoints) = bind(asked)?;
    let Options { flavor, workers, .. } = *options;
    let announcement = backend.announcement(flavor, driver, workers, endpoints);
    let (announce, buffer_bytes) = (options.announce, options.buffer_bytes);
    let (cancel, life_of_server) = (options.cancel, life.clone());
    let context =
        Context::new(announcement, announce, driver, workers, buffer_bytes, cancel, life_of_server);
    let Drained { cut } = (flavor.serve)(sockets, context)?;
    log::line(format_args!("drained; connections cut: {cut}, served: {}", life.served()));
    match life.failure() {
        Some(_) => Err(End::FailedWhileServing),
        None => Ok(()),
    }
}

/// Ends a server that has not ended at the deadline of its drain, because a thread still computes.
fn end_overdue(life: &Life) {
    let (cut, served) = (life.cut(), life.served());
    log::line(format_args!("drained, with work left; connections cut: {cut}, served: {served}"));
    host::exit(if life.failure().is_some() { 1 } else { 0 })
}

/// One thing to serve, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    endpoint: Endpoint,
    family: Family,
    work: Option<Work>,
}

/// The driver to run on, what to serve, and what messages cost there, if the backend offers
/// everything that was asked for.
fn offered(backend: &Backend, options: &Options) -> Result<(Driver, Vec<Asked>), End> {
    let lacks = |what: String| End::Unsupported(format!("{} {what}", backend.package));
    let lacks_capability =
        |name: &str| lacks(format!("has no capability `{name}`{}", known(backend)));
    if let Some(name) = options.capabilities.iter().find(|name| !backend.offers(name)) {
        return Err(lacks_capability(name));
    }
    let cancel = Capability::Cancel.name();
    if options.cancel != Cancel::default() && !backend.offers(cancel) {
        return Err(lacks_capability(cancel));
    }
    let driver = options.driver.unwrap_or(backend.drivers[0]);
    if !backend.drivers.contains(&driver) {
        let offered: Vec<&str> = backend.drivers.iter().map(|driver| driver.name()).collect();
        let offered = offered.join(" or ");
        return Err(lacks(format!("runs on {offered} here, not on {driver}")));
    }
    let family = if options.dual_stack { Family::DualStack } else { Family::AsWritten };
    let served = |endpoint: &Endpoint| {
        let is_offered = match endpoint.transport() {
            Some(transport) => backend.transports.contains(&transport) && transport.exists_here(),
            None => backend.offers(endpoint.kind()),
        };
        if !is_offered {
            return Err(lacks(format!("has no {} listeners", endpoint.kind())));
        }
        let work = matches!(endpoint, Endpoint::Cpu(_)).then_some(options.work);
        Ok(Asked { endpoint: endpoint.clone(), family, work })
    };
    let asked = options.endpoints.iter().map(served).collect::<Result<_, _>>()?;
    Ok((driver, asked))
}

/// Lists the capabilities that the backend offers, for the message about one that it lacks.
fn known(backend: &Backend) -> String {
    let names: Vec<&str> = backend.capabilities.iter().map(|known| known.name()).collect();
    if names.is_empty() { String::new() } else { format!(", only {}", names.join(" and ")) }
}

/// Binds everything, and returns the bound addresses in the order asked for.
fn bind(asked: Vec<Asked>) -> Result<(Sockets, Vec<Endpoint>), End> {
    let (mut sockets, mut endpoints) = (Sockets::default(), Vec::new());
    for asked in asked {
        let named = |error| End::Failed(format!("listen on {}: {error}", asked.endpoint));
        endpoints.push(bind_one(&asked, &mut sockets).map_err(named)?);
    }
    Ok((sockets, endpoints))
}

fn bind_one(asked: &Asked, bound_sockets: &mut Sockets) -> io::Result<Endpoint> {
    let &Asked { ref endpoint, family, work } = asked;
    Ok(match endpoint {
        Endpoint::Tcp(address) | Endpoint::Cpu(address) => {
            let socket = sockets::bind(*address, family)?;
            let bound = socket.local_addr()?;
            bound_sockets.tcp.push(Listener { socket, work });
            if work.is_some() { Endpoint::Cpu(bound) } else { Endpoint::Tcp(bound) }
        }
        Endpoint::Udp(address) => {
            let socket = sockets::bind_udp(*address, family)?;
            let bound = socket.local_addr()?;
            bound_sockets.udp.push(socket);
            Endpoint::Udp(bound)
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            bound_sockets.unix.push(unix_path::listen(path)?);
            endpoint.clone()
        }
        #[cfg(unix)]
        Endpoint::Unixgram(path) => {
            bound_sockets.unixgram.push(unix_path::bind_datagram(path)?);
            endpoint.clone()
        }
        #[cfg(not(unix))]
        Endpoint::Unix(_) | Endpoint::Unixgram(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::BACKEND;

    /// What comes of asking the backend of the tests, which has the capability `cpu` alone.
    fn ask(arguments: &[&str]) -> Result<Vec<Asked>, End> {
        let arguments = [&["backend-test"], arguments].concat();
        let options = Options::try_parse(&BACKEND, arguments).unwrap();
        offered(&BACKEND, &options).map(|(_, asked)| asked)
    }

    #[test]
    fn a_cpu_listener_stands_beside_others_and_costs_work() {
        let listen = ["--listen", "cpu:127.0.0.1:1", "--listen", "127.0.0.1:2"];
        let asked = ask(&[&listen[..], &["--capability", "cpu", "--cpu-work", "7ms"]].concat());
        let work = Work::Offloaded(std::time::Duration::from_millis(7));
        let expected =
            [("cpu:127.0.0.1:1", Some(work)), ("127.0.0.1:2", None)].map(|(listen, work)| {
                let endpoint = listen.parse().unwrap();
                Asked { endpoint, family: Family::AsWritten, work }
            });
        assert_eq!(asked, Ok(expected.to_vec()));
    }

    #[test]
    fn listeners_of_all_kinds_are_announced_as_they_were_asked_for() {
        let asked = ask(&["--listen", "udp:127.0.0.1:0", "--listen", "127.0.0.1:0"]).unwrap();
        let (sockets, endpoints) = bind(asked).unwrap();
        let udp = sockets.udp[0].local_addr().unwrap();
        let tcp = sockets.tcp[0].socket.local_addr().unwrap();
        assert_eq!(endpoints, [Endpoint::Udp(udp), Endpoint::Tcp(tcp)]);
    }

    #[test]
    fn what_a_backend_lacks_is_unsupported() {
        for (arguments, what) in [
            (["--capability", "no-such"], "no capability `no-such`, only cpu"),
            (["--capability", "cancel"], "no capability `cancel`"),
            (["--cancel", "read=1ms"], "no capability `cancel`"),
            (["--listen", "unix:/tmp/x"], "no unix listeners"),
            (["--driver", "kqueue"], "on epoll here, not on kqueue"),
        ] {
            match ask(&arguments) {
                Err(End::Unsupported(reason)) => assert!(reason.contains(what), "{reason}"),
                other => panic!("{arguments:?} gives {other:?}"),
            }
        }
    }
}
