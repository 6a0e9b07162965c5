//! The program around a backend: from its arguments to its exit status.

use std::{net::SocketAddr, process};

use crate::{
    Backend, Cancel, Capability, Context, Drained, Flavor, Listener, ServeError, Unavailable, Work,
    announcement::{Announcement, Endpoint, Refusal},
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
    let asked = offered(backend, options)?;
    let driver = options.driver(backend);
    (backend.probe)(driver).map_err(|Unavailable(reason)| End::Unavailable(reason))?;
    host::raise_descriptor_limit();
    let life = Life::new(options.drain);
    host::stop_on_signals(&life).map_err(|e| End::Failed(format!("handle signals: {e}")))?;
    if options.stop_on_stdin_eof {
        let stdin = host::stop_on_stdin_eof(&life);
        stdin.map_err(|e| End::Failed(format!("read standard input: {e}")))?;
    }
    let listeners = bind(&asked)?;
    let flavor: &Flavor = options.flavor(backend);
    let workers = options.workers(flavor.workers);
    let announcement = Announcement::new(backend, flavor, driver, workers, &bound(&listeners)?);
    let (announce, buffer_bytes) = (options.announce, options.buffer_bytes());
    let (cancel, life_of_server) = (options.cancel, life.clone());
    let context =
        Context::new(announcement, announce, driver, workers, buffer_bytes, cancel, life_of_server);
    let Drained { cut } = (flavor.serve)(listeners, context)?;
    log::line(format_args!("drained; connections cut: {cut}, served: {}", life.served()));
    if life.failed() {
        return Err(End::Failed("a listener broke; see the line about accept above".to_owned()));
    }
    Ok(())
}

/// The addresses to serve and what messages cost there, if everything that was asked is something
/// that the backend offers.
fn offered(backend: &Backend, options: &Options) -> Result<Vec<(SocketAddr, Option<Work>)>, End> {
    let lacks = |what: String| End::Unsupported(format!("{} {what}", backend.package));
    let lacks_capability =
        |name: &str| lacks(format!("has no capability `{name}`{}", known(backend)));
    if let Some(name) = options.capability.iter().find(|name| !backend.offers(name)) {
        return Err(lacks_capability(name));
    }
    let cancel = Capability::Cancel.name();
    if options.cancel != Cancel::default() && !backend.offers(cancel) {
        return Err(lacks_capability(cancel));
    }
    if let Some(asked) = &options.driver
        && options.driver(backend).name() != asked
    {
        let offered: Vec<&str> = backend.drivers.iter().map(|driver| driver.name()).collect();
        let offered = offered.join(" or ");
        return Err(lacks(format!("runs on {offered} here, not on {asked}")));
    }
    let served = |listen: &Listen| match listen {
        Listen::Tcp(address) => Ok((*address, None)),
        Listen::Cpu(address) if backend.offers(listen.kind()) => {
            Ok((*address, Some(options.work())))
        }
        Listen::Cpu(_) | Listen::Udp(_) | Listen::Unix(_) | Listen::Unixgram(_) => {
            Err(lacks(format!("has no {} listeners", listen.kind())))
        }
    };
    options.listen.iter().map(served).collect()
}

/// The capabilities that there are, for a message about one that is not.
fn known(backend: &Backend) -> String {
    let names: Vec<&str> = backend.capabilities.iter().map(|known| known.name()).collect();
    if names.is_empty() { String::new() } else { format!(", only {}", names.join(" and ")) }
}

fn bind(asked: &[(SocketAddr, Option<Work>)]) -> Result<Vec<Listener>, End> {
    let bind = |&(address, work): &(SocketAddr, Option<Work>)| {
        if !address.ip().is_loopback() {
            log::line(format_args!(
                "warning: other hosts can reach {address}, an open echo server"
            ));
        }
        match listener::bind(address) {
            Ok(socket) => Ok(Listener { socket, work }),
            Err(error) => Err(End::Failed(format!("listen on {address}: {error}"))),
        }
    };
    asked.iter().map(bind).collect()
}

/// The kinds of the listeners, and the addresses that the system gave to them.
fn bound(listeners: &[Listener]) -> Result<Vec<Endpoint>, End> {
    let endpoint = |Listener { socket, work }: &Listener| match socket.local_addr() {
        Ok(address) => Ok(Endpoint { kind: if work.is_some() { "cpu" } else { "tcp" }, address }),
        Err(error) => Err(End::Failed(format!("address of a listener: {error}"))),
    };
    listeners.iter().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::BACKEND;

    /// What comes of asking the backend of the tests, which has the capability `cpu` alone.
    fn ask(arguments: &[&str]) -> Result<Vec<(SocketAddr, Option<Work>)>, End> {
        let arguments = [&["backend-test"], arguments].concat();
        offered(&BACKEND, &Options::try_parse(&BACKEND, arguments).unwrap())
    }

    #[test]
    fn a_cpu_listener_stands_beside_others_and_costs_work() {
        let listen = ["--listen", "cpu:127.0.0.1:1", "--listen", "127.0.0.1:2"];
        let asked = ask(&[&listen[..], &["--capability", "cpu", "--cpu-work", "7ms"]].concat());
        let work = Work::Offloaded(std::time::Duration::from_millis(7));
        let address = |text: &str| text.parse().unwrap();
        let expected = [(address("127.0.0.1:1"), Some(work)), (address("127.0.0.1:2"), None)];
        assert_eq!(asked, Ok(expected.to_vec()));
    }

    #[test]
    fn what_a_backend_lacks_is_unsupported() {
        for (arguments, what) in [
            (["--capability", "no-such"], "no capability `no-such`, only cpu"),
            (["--capability", "cancel"], "no capability `cancel`"),
            (["--cancel", "read=1ms"], "no capability `cancel`"),
            (["--listen", "udp:127.0.0.1:1"], "no udp listeners"),
            (["--driver", "kqueue"], "on epoll here, not on kqueue"),
        ] {
            match ask(&arguments) {
                Err(End::Unsupported(reason)) => assert!(reason.contains(what), "{reason}"),
                other => panic!("{arguments:?} gives {other:?}"),
            }
        }
    }
}
