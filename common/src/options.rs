//! The command line that all backends share.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser};

use crate::announcement::Announce;
use crate::capability::{CancelAfter, parse_time};
use crate::endpoint::Endpoint;
use crate::versions::locked_version;
use crate::{Backend, Cancel, Driver, Flavor, Work, Workers};

/// The options, with what they mean for a backend.
#[derive(Debug)]
pub(crate) struct Options {
    /// What to listen on; at least one.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) dual_stack: bool,
    pub(crate) announce: Announce,
    pub(crate) flavor: &'static Flavor,
    /// The driver asked for, which the backend may lack; `None` is the backend's first.
    pub(crate) driver: Option<Driver>,
    /// Threads that do I/O; at least 1.
    pub(crate) workers: usize,
    /// Size of the buffer of a connection, in bytes; at least 1.
    pub(crate) buffer_bytes: usize,
    pub(crate) drain: Duration,
    pub(crate) stop_on_stdin_eof: bool,
    /// Names of capabilities that the backend may lack.
    pub(crate) capabilities: Vec<String>,
    /// What a message on a `cpu:` listener costs.
    pub(crate) work: Work,
    pub(crate) cancel: Cancel,
}

/// The command line, as given.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    /// Where to listen, such as tcp:127.0.0.1:8080; port 0 picks one. A bare address is tcp.
    /// Can be given several times. Also: udp:, unix:PATH, unixgram:PATH, and cpu:, a tcp listener
    /// on which each message costs time
    #[arg(long, value_name = "KIND:ADDR", default_value = Endpoint::DEFAULT)]
    listen: Vec<Endpoint>,
    /// Let a listener on `[::]` take IPv4 clients too
    #[arg(long)]
    dual_stack: bool,
    /// How to say on standard output that the server is ready
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Announce::Text)]
    announce: Announce,
    /// How the runtime is set up
    #[arg(long, value_name = "NAME")]
    flavor: String,
    /// The I/O API to insist on; there is no silent fallback
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Threads that do I/O [default: one per core, or 1 if the flavor has one by nature]
    #[arg(long, value_name = "N", value_parser = parse_workers)]
    workers: Option<NonZeroUsize>,
    /// Size of the buffer of a connection, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=BUFFER_BYTES_MAX))]
    buffer: u32,
    /// How long connections may take to end after the stop signal, such as 5s or 500ms
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_drain)]
    drain: Duration,
    /// Take the end of standard input as a stop signal
    #[arg(long)]
    stop_on_stdin_eof: bool,
    /// Insist on a capability; a server without it says so and ends with status 69
    #[arg(long, value_name = "NAME")]
    capability: Vec<String>,
    /// What each message on a cpu: listener costs before it is echoed [default: 100ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    cpu_work: Option<Duration>,
    /// Do that work on the thread that does I/O, to see what it does to everybody else
    #[arg(long)]
    cpu_inline: bool,
    /// Cancel an operation that has waited for this long, and start it again, such as accept=1ms or
    /// read=1ms. Can be given once for each operation
    #[arg(long = "cancel", value_name = "OPERATION=DURATION")]
    cancel_after: Vec<CancelAfter>,
}

const BUFFER_BYTES_MAX: i64 = 16 << 20;
const WORKERS_MAX: usize = 1024;
const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Options {
    /// Reads the process's arguments. Ends the process after `--help` and `--version` with
    /// status 0, and after a mistake with status 2 and a message that says what to write instead.
    pub(crate) fn parse(backend: &'static Backend) -> Self {
        match Self::try_parse(backend, std::env::args_os()) {
            Ok(options) => options,
            Err(error) => error.exit(),
        }
    }

    pub(crate) fn try_parse<I>(backend: &'static Backend, arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item: Into<std::ffi::OsString> + Clone>,
    {
        let mut command = command(backend);
        let matches = command.try_get_matches_from_mut(arguments)?;
        let given = Arguments::from_arg_matches(&matches)?;
        given.resolve(backend).map_err(|message| command.error(ErrorKind::ValueValidation, message))
    }
}

impl Arguments {
    /// What the arguments mean for `backend`, or what to write instead.
    fn resolve(self, backend: &'static Backend) -> Result<Options, String> {
        let named = backend.flavors.iter().find(|flavor| flavor.name == self.flavor);
        // The parser lets only names of flavors through, and a backend has at least one.
        let flavor = named.unwrap_or(&backend.flavors[0]);
        let workers = match (flavor.workers, self.workers.map(NonZeroUsize::get)) {
            (Workers::One, None | Some(1)) => 1,
            (Workers::One, Some(_)) => {
                let name = flavor.name;
                return Err(format!("flavor {name} has one worker by nature: write `--workers 1`"));
            }
            (Workers::PerCore, Some(workers)) => workers,
            (Workers::PerCore, None) => {
                thread::available_parallelism().map_or(1, NonZeroUsize::get)
            }
        };
        let is_cpu = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Cpu(_));
        let asks_for_work = self.cpu_work.is_some() || self.cpu_inline;
        if asks_for_work && !self.listen.iter().any(is_cpu) {
            return Err("no cpu: listener to work for: add `--listen cpu:127.0.0.1:0`".to_owned());
        }
        let is_wildcard = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(address) | Endpoint::Cpu(address) | Endpoint::Udp(address) => {
                address.is_ipv6() && address.ip().is_unspecified()
            }
            Endpoint::Unix(_) | Endpoint::Unixgram(_) => false,
        };
        if self.dual_stack && !self.listen.iter().any(is_wildcard) {
            return Err("no listener for both families: add `--listen [::]:0`".to_owned());
        }
        let time = self.cpu_work.unwrap_or(Work::DEFAULT);
        // The parser lets only names of drivers through.
        let driver = |name: &str| Driver::ALL.into_iter().find(|driver| driver.name() == name);
        Ok(Options {
            cancel: Cancel::from_options(&self.cancel_after)?,
            endpoints: self.listen,
            dual_stack: self.dual_stack,
            announce: self.announce,
            flavor,
            driver: self.driver.as_deref().and_then(driver),
            workers,
            buffer_bytes: self.buffer as usize,
            drain: self.drain,
            stop_on_stdin_eof: self.stop_on_stdin_eof,
            capabilities: self.capability,
            work: if self.cpu_inline { Work::Inline(time) } else { Work::Offloaded(time) },
        })
    }
}

/// The shared options, with the flavors and drivers that this backend has.
fn command(backend: &'static Backend) -> clap::Command {
    let runtime = backend.runtime_and_version();
    let Backend { package, .. } = backend;
    let on = |driver: &Driver| format!("driver {driver} ({} model)", driver.model());
    let on: Vec<String> = backend.drivers.iter().map(on).collect();
    let on = on.join(" or ");
    let flavors = backend.flavors.iter().map(|f| PossibleValue::new(f.name).help(f.about));
    let drivers = Driver::ALL.map(Driver::name);
    let examples = [
        ("", "listen on 127.0.0.1:8080; try `nc 127.0.0.1 8080`"),
        ("--listen tcp:[::1]:0 --workers 2", "any free port, two threads"),
        ("--announce json", "one line for a program to read"),
    ];
    let examples =
        examples.map(|(given, what)| format!("  {package} {given:<32}  {what}\n")).concat();
    Arguments::command()
        .name(package)
        .version(locked_version(package))
        .about(format!("Echo server on {runtime}: {on}"))
        .after_help(format!(
            "Examples:\n{examples}\n\
             Ends on Ctrl-C or SIGTERM after the connections have; a second one ends it at once.\n\
             Exit status: 0 after a stop, 1 if it failed, 2 for bad arguments, 69 if this host\n\
             cannot run it or it does not offer what was asked."
        ))
        .mut_arg("flavor", |arg: Arg| {
            arg.required(false)
                .default_value(backend.flavors[0].name)
                .value_parser(PossibleValuesParser::new(flavors))
        })
        .mut_arg("driver", |arg: Arg| {
            arg.hide_possible_values(true).value_parser(PossibleValuesParser::new(drivers))
        })
}

fn parse_workers(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(workers) if workers.get() <= WORKERS_MAX => Ok(workers),
        Ok(_) | Err(_) => Err(format!("write a number from 1 to {WORKERS_MAX}")),
    }
}

fn parse_drain(text: &str) -> Result<Duration, String> {
    let wanted = "write a duration of at most 24h, such as 5s or 500ms";
    match humantime::parse_duration(text) {
        Ok(drain) if drain <= DRAIN_MAX => Ok(drain),
        Ok(_) => Err(wanted.to_owned()),
        Err(error) => Err(format!("{error}: {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::BACKEND;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse(&BACKEND, [&["backend-test"], arguments].concat())
    }

    #[track_caller]
    fn refused(arguments: &[&str], says: &str) {
        let error = parse(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        assert!(error.use_stderr(), "{arguments:?}");
        assert!(error.to_string().contains(says), "{arguments:?} says {error}");
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.endpoints, [Endpoint::Tcp("127.0.0.1:8080".parse().unwrap())]);
        assert_eq!(options.announce, Announce::Text);
        assert_eq!(options.flavor.name, "many");
        assert_eq!(options.buffer_bytes, 4096);
        assert_eq!(options.drain, Duration::from_secs(5));
        assert!(!options.stop_on_stdin_eof);
        assert_eq!(options.work, Work::Offloaded(Duration::from_millis(100)));
        assert_eq!(options.cancel, Cancel::default());
        assert!(options.workers >= 1);
    }

    #[test]
    fn a_wildcard_address_can_be_for_both_families() {
        assert!(parse(&["--dual-stack", "--listen", "udp:[::]:0"]).unwrap().dual_stack);
        refused(&["--dual-stack", "--listen", "[::1]:0"], "add `--listen [::]:0`");
    }

    #[test]
    fn listeners_repeat_and_replace_the_default() {
        let options = parse(&["--listen", "127.0.0.1:1", "--listen", "udp:127.0.0.1:2"]).unwrap();
        let kinds: Vec<_> = options.endpoints.iter().map(Endpoint::kind).collect();
        assert_eq!(kinds, ["tcp", "udp"]);
    }

    #[test]
    fn mistakes_say_what_to_write_instead() {
        refused(&["--listen", "tcp:999.1.1.1:80"], "write 127.0.0.1:8080");
        refused(&["--listen", "127.0.0.1:99999"], "write 127.0.0.1:8080");
        refused(&["--listen", "sctp:127.0.0.1:0"], "write 127.0.0.1:8080");
        refused(&["--listen", "unix:"], "write unix:/tmp/echo.sock");
        refused(&["--flavor", "none"], "possible values: many, one");
        refused(&["--driver", "select"], "possible values: epoll");
        refused(&["--workers", "0"], "from 1 to 1024");
        refused(&["--workers", "4000"], "from 1 to 1024");
        refused(&["--buffer", "0"], "1..=16777216");
        refused(&["--drain", "soon"], "such as 5s");
        refused(&["--drain", "2days"], "at most 24h");
        refused(&["--announce", "xml"], "possible values: text, json");
        refused(&["--lisen", "x"], "--listen");
        refused(&["--dual-stack"], "add `--listen [::]:0`");
    }

    #[test]
    fn a_flavor_with_one_worker_refuses_others() {
        for (flavor, workers) in [("one", 1), ("many", 3)] {
            let options = parse(&["--flavor", flavor, "--workers", &workers.to_string()]).unwrap();
            assert_eq!((options.flavor.name, options.workers), (flavor, workers));
        }
        assert_eq!(parse(&["--flavor", "one"]).unwrap().workers, 1);
        refused(&["--flavor", "one", "--workers", "2"], "write `--workers 1`");
    }

    #[test]
    fn cpu_options_say_where_and_how_long() {
        let cpu = ["--listen", "cpu:127.0.0.1:0", "--cpu-work", "2s"];
        let two_seconds = Duration::from_secs(2);
        assert_eq!(parse(&cpu).unwrap().work, Work::Offloaded(two_seconds));
        let inline = [&cpu[..], &["--cpu-inline"]].concat();
        assert_eq!(parse(&inline).unwrap().work, Work::Inline(two_seconds));
        refused(&["--cpu-work", "2s"], "add `--listen cpu:127.0.0.1:0`");
        refused(&["--cpu-inline", "--listen", "127.0.0.1:0"], "add `--listen cpu:127.0.0.1:0`");
        refused(&[&cpu[..2], &["--cpu-work", "0s"]].concat(), "from 1ms to 1h, such as 100ms");
    }

    #[test]
    fn operations_are_cancelled_one_by_one_or_both() {
        let ms = Some(Duration::from_millis(1));
        let both = parse(&["--cancel", "accept=1ms", "--cancel", "read=1ms"]).unwrap();
        assert_eq!(both.cancel, Cancel { accept: ms, read: ms });
        refused(&["--cancel", "write=1ms"], "write accept=1ms or read=1ms");
        refused(&["--cancel", "read=soon"], "from 1ms to 1h");
        refused(&["--cancel", "read=1ms", "--cancel", "read=1ms"], "`--cancel read=...` once");
    }

    #[test]
    fn help_names_the_flavors() {
        let help = command(&BACKEND).render_long_help().to_string();
        assert!(help.contains("many threads"), "{help}");
        assert!(help.contains("Exit status"), "{help}");
    }
}
