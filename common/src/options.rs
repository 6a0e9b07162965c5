//! The command line that all backends share.

use std::{num::NonZeroUsize, thread, time::Duration};

use clap::{
    Arg, CommandFactory as _, FromArgMatches as _, Parser,
    builder::{PossibleValue, PossibleValuesParser},
    error::ErrorKind,
};

use crate::{
    Backend, Cancel, Driver, Work, Workers,
    announcement::Announce,
    capability::{CancelAfter, parse_time},
    listen::Listen,
    versions::locked_version,
};

/// Options as they were given; what they mean for a backend is decided in [`Options::parse`].
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
pub(crate) struct Options {
    /// Where to listen, such as tcp:127.0.0.1:8080; port 0 picks one. A bare address is tcp.
    /// Can be given several times. Also: udp:, unix:PATH, unixgram:PATH, and cpu:, a tcp listener
    /// on which each message costs time
    #[arg(long, value_name = "KIND:ADDR", default_value = Listen::DEFAULT)]
    pub(crate) listen: Vec<Listen>,
    /// Let a listener on `[::]` take IPv4 clients too
    #[arg(long)]
    pub(crate) dual_stack: bool,
    /// How to say on standard output that the server is ready
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Announce::Text)]
    pub(crate) announce: Announce,
    /// How the runtime is set up
    #[arg(long, value_name = "NAME")]
    pub(crate) flavor: String,
    /// The I/O API to insist on; there is no silent fallback
    #[arg(long, value_name = "NAME")]
    pub(crate) driver: Option<String>,
    /// Threads that do I/O [default: one per core, or 1 if the flavor has one by nature]
    #[arg(long, value_name = "N", value_parser = parse_workers)]
    workers: Option<NonZeroUsize>,
    /// Size of the buffer of a connection, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=BUFFER_BYTES_MAX))]
    buffer: u32,
    /// How long connections may take to end after the stop signal, such as 5s or 500ms
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_drain)]
    pub(crate) drain: Duration,
    /// Take the end of standard input as a stop signal
    #[arg(long)]
    pub(crate) stop_on_stdin_eof: bool,
    /// Insist on a capability; a server without it says so and ends with status 69
    #[arg(long, value_name = "NAME")]
    pub(crate) capability: Vec<String>,
    /// What each message on a cpu: listener costs before it is echoed [default: 100ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    cpu_work: Option<Duration>,
    /// Do that work on the thread that does I/O, to see what it does to everybody else
    #[arg(long)]
    cpu_inline: bool,
    /// Cancel an operation that has waited for so long, and begin it anew, such as accept=1ms or
    /// read=1ms. Can be given once for each
    #[arg(long = "cancel", value_name = "OPERATION=DURATION")]
    cancel_after: Vec<CancelAfter>,
    /// All values of `--cancel` together
    #[arg(skip)]
    pub(crate) cancel: Cancel,
}

const BUFFER_BYTES_MAX: i64 = 16 << 20;
const WORKERS_MAX: usize = 1024;
const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Options {
    /// Reads the process's arguments. Ends the process after `--help` and `--version` with
    /// status 0, and after a mistake with status 2 and a message that says what to write instead.
    pub(crate) fn parse(backend: &'static Backend) -> Options {
        match Options::try_parse(backend, std::env::args_os()) {
            Ok(options) => options,
            Err(error) => error.exit(),
        }
    }

    pub(crate) fn try_parse<I>(
        backend: &'static Backend,
        arguments: I,
    ) -> Result<Options, clap::Error>
    where
        I: IntoIterator<Item: Into<std::ffi::OsString> + Clone>,
    {
        let mut command = command(backend);
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut options = Options::from_arg_matches(&matches)?;
        let mut refuse = |message| Err(command.error(ErrorKind::ValueValidation, message));
        if options.flavor(backend).workers == Workers::One
            && options.workers.is_some_and(|workers| workers.get() != 1)
        {
            let flavor = &options.flavor;
            return refuse(format!(
                "flavor {flavor} has one worker by nature: write `--workers 1`"
            ));
        }
        let is_cpu = |listen: &Listen| matches!(listen, Listen::Cpu(_));
        if options.asks_for_work() && !options.listen.iter().any(is_cpu) {
            return refuse(
                "no cpu: listener to work for: add `--listen cpu:127.0.0.1:0`".to_owned(),
            );
        }
        let any = |listen: &Listen| match listen {
            Listen::Tcp(address) | Listen::Cpu(address) | Listen::Udp(address) => {
                address.is_ipv6() && address.ip().is_unspecified()
            }
            Listen::Unix(_) | Listen::Unixgram(_) => false,
        };
        if options.dual_stack && !options.listen.iter().any(any) {
            return refuse("no listener for both families: add `--listen [::]:0`".to_owned());
        }
        match Cancel::of(&options.cancel_after) {
            Ok(cancel) => options.cancel = cancel,
            Err(message) => return refuse(message),
        }
        Ok(options)
    }

    /// Whether an option says something about the work of `cpu:` listeners.
    fn asks_for_work(&self) -> bool {
        self.cpu_work.is_some() || self.cpu_inline
    }

    /// What a message on a `cpu:` listener costs.
    pub(crate) fn work(&self) -> Work {
        let time = self.cpu_work.unwrap_or(Work::DEFAULT);
        if self.cpu_inline { Work::Inline(time) } else { Work::Offloaded(time) }
    }

    /// The flavor that `--flavor` names.
    pub(crate) fn flavor(&self, backend: &'static Backend) -> &'static crate::Flavor {
        let named = backend.flavors.iter().find(|flavor| flavor.name == self.flavor);
        // The parser lets only names of flavors through, and a backend has at least one.
        named.unwrap_or(&backend.flavors[0])
    }

    /// The driver that `--driver` names, or the default of the backend, also if it has no such.
    pub(crate) fn driver(&self, backend: &Backend) -> Driver {
        let asked = |driver: &&Driver| self.driver.as_deref().is_none_or(|d| d == driver.name());
        *backend.drivers.iter().find(asked).unwrap_or(&backend.drivers[0])
    }

    /// How many threads do I/O.
    pub(crate) fn workers(&self, workers: Workers) -> usize {
        match (self.workers, workers) {
            (Some(workers), _) => workers.get(),
            (None, Workers::One) => 1,
            (None, Workers::PerCore) => thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Size of the buffer of a connection, in bytes.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer as usize
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
    Options::command()
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
        assert_eq!(options.listen, [Listen::Tcp("127.0.0.1:8080".parse().unwrap())]);
        assert_eq!(options.announce, Announce::Text);
        assert_eq!(options.flavor, "many");
        assert_eq!(options.buffer_bytes(), 4096);
        assert_eq!(options.drain, Duration::from_secs(5));
        assert!(!options.stop_on_stdin_eof);
        assert_eq!(options.work(), Work::Offloaded(Duration::from_millis(100)));
        assert_eq!(options.cancel, Cancel::default());
        assert!(options.workers(Workers::PerCore) >= 1);
        assert_eq!(options.workers(Workers::One), 1);
    }

    #[test]
    fn a_wildcard_address_can_be_for_both_families() {
        assert!(parse(&["--dual-stack", "--listen", "udp:[::]:0"]).unwrap().dual_stack);
        refused(&["--dual-stack", "--listen", "[::1]:0"], "add `--listen [::]:0`");
    }

    #[test]
    fn listeners_repeat_and_replace_the_default() {
        let options = parse(&["--listen", "127.0.0.1:1", "--listen", "udp:127.0.0.1:2"]).unwrap();
        let kinds: Vec<_> = options.listen.iter().map(Listen::kind).collect();
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
        assert!(parse(&["--flavor", "one", "--workers", "1"]).is_ok());
        assert!(parse(&["--flavor", "many", "--workers", "3"]).is_ok());
        refused(&["--flavor", "one", "--workers", "2"], "write `--workers 1`");
    }

    #[test]
    fn cpu_options_say_where_and_how_long() {
        let cpu = ["--listen", "cpu:127.0.0.1:0", "--cpu-work", "2s"];
        let two_seconds = Duration::from_secs(2);
        assert_eq!(parse(&cpu).unwrap().work(), Work::Offloaded(two_seconds));
        let inline = [&cpu[..], &["--cpu-inline"]].concat();
        assert_eq!(parse(&inline).unwrap().work(), Work::Inline(two_seconds));
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
