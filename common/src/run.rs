//! The program around a backend: from its arguments to its exit status.

use std::io;

#[cfg(unix)]
use crate::unix_path;
use crate::{
    Backend, Cancel, Capability, Context, Drained, Flavor, Listener, Listeners, ServeError,
    Unavailable, Work,
    announcement::Refusal,
    host,
    life::Life,
    listen::Listen,
    listener::{self, Family},
    log,
    options::Options,
    signals,
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
    life.keep_deadline().map_err(|e| End::Failed(format!("start the thread of the drain: {e}")))?;
    signals::stop_on_signals(&life).map_err(|e| End::Failed(format!("handle signals: {e}")))?;
    if options.stop_on_stdin_eof {
        let stdin = signals::stop_on_stdin_eof(&life);
        stdin.map_err(|e| End::Failed(format!("read standard input: {e}")))?;
    }
    let (listeners, endpoints) = bind(asked)?;
    let flavor: &Flavor = options.flavor(backend);
    let workers = options.workers(flavor.workers);
    let announcement = backend.announcement(flavor, driver, workers, endpoints);
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

/// One thing to serve, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    listen: Listen,
    family: Family,
    work: Option<Work>,
}

/// What to serve and what messages cost there, if everything that was asked is something that the
/// backend offers.
fn offered(backend: &Backend, options: &Options) -> Result<Vec<Asked>, End> {
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
    let family = if options.dual_stack { Family::DualStack } else { Family::AsWritten };
    let served = |listen: &Listen| {
        let is_offered = match listen.transport() {
            Some(transport) => backend.transports.contains(&transport) && transport.exists_here(),
            None => backend.offers(listen.kind()),
        };
        if !is_offered {
            return Err(lacks(format!("has no {} listeners", listen.kind())));
        }
        let work = matches!(listen, Listen::Cpu(_)).then(|| options.work());
        Ok(Asked { listen: listen.clone(), family, work })
    };
    options.listen.iter().map(served).collect()
}

/// The capabilities that there are, for a message about one that is not.
fn known(backend: &Backend) -> String {
    let names: Vec<&str> = backend.capabilities.iter().map(|known| known.name()).collect();
    if names.is_empty() { String::new() } else { format!(", only {}", names.join(" and ")) }
}

/// Binds everything; with the addresses that the system gave, in the order asked for.
fn bind(asked: Vec<Asked>) -> Result<(Listeners, Vec<Listen>), End> {
    let (mut listeners, mut endpoints) = (Listeners::default(), Vec::new());
    for asked in asked {
        let named = |error| End::Failed(format!("listen on {}: {error}", asked.listen));
        endpoints.push(bind_one(&asked, &mut listeners).map_err(named)?);
    }
    Ok((listeners, endpoints))
}

fn bind_one(asked: &Asked, listeners: &mut Listeners) -> io::Result<Listen> {
    let &Asked { ref listen, family, work } = asked;
    Ok(match listen {
        Listen::Tcp(address) | Listen::Cpu(address) => {
            let socket = listener::bind(*address, family)?;
            let bound = socket.local_addr()?;
            listeners.tcp.push(Listener { socket, work });
            if work.is_some() { Listen::Cpu(bound) } else { Listen::Tcp(bound) }
        }
        Listen::Udp(address) => {
            let socket = listener::bind_udp(*address, family)?;
            let bound = socket.local_addr()?;
            listeners.udp.push(socket);
            Listen::Udp(bound)
        }
        #[cfg(unix)]
        Listen::Unix(path) => {
            listeners.unix.push(unix_path::listen(path)?);
            listen.clone()
        }
        #[cfg(unix)]
        Listen::Unixgram(path) => {
            listeners.unixgram.push(unix_path::bind_datagram(path)?);
            listen.clone()
        }
        #[cfg(not(unix))]
        Listen::Unix(_) | Listen::Unixgram(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::BACKEND;

    /// What comes of asking the backend of the tests, which has the capability `cpu` alone.
    fn ask(arguments: &[&str]) -> Result<Vec<Asked>, End> {
        let arguments = [&["backend-test"], arguments].concat();
        offered(&BACKEND, &Options::try_parse(&BACKEND, arguments).unwrap())
    }

    #[test]
    fn a_cpu_listener_stands_beside_others_and_costs_work() {
        let listen = ["--listen", "cpu:127.0.0.1:1", "--listen", "127.0.0.1:2"];
        let asked = ask(&[&listen[..], &["--capability", "cpu", "--cpu-work", "7ms"]].concat());
        let work = Work::Offloaded(std::time::Duration::from_millis(7));
        let expected =
            [("cpu:127.0.0.1:1", Some(work)), ("127.0.0.1:2", None)].map(|(listen, work)| {
                let listen = listen.parse().unwrap();
                Asked { listen, family: Family::AsWritten, work }
            });
        assert_eq!(asked, Ok(expected.to_vec()));
    }

    #[test]
    fn listeners_of_all_kinds_are_announced_as_they_were_asked_for() {
        let asked = ask(&["--listen", "udp:127.0.0.1:0", "--listen", "127.0.0.1:0"]).unwrap();
        let (listeners, endpoints) = bind(asked).unwrap();
        let udp = listeners.udp[0].local_addr().unwrap();
        let tcp = listeners.tcp[0].socket.local_addr().unwrap();
        assert_eq!(endpoints, [Listen::Udp(udp), Listen::Tcp(tcp)]);
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
