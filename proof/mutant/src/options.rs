//! The command line: the options of the contract, and the choice of faults.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};

use crate::capability::{Cancel, Work, Worker};
use crate::faults::{self, Fault, Faults};

/// The driver of `mio` on this system.
pub(crate) const DRIVER: &str = if cfg!(windows) {
    "afd"
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    "epoll"
} else {
    "kqueue"
};

/// An echo server that is wrong on purpose.
#[derive(Debug, Parser)]
#[command(name = "mutant", version)]
pub(crate) struct Options {
    /// Where to listen: `tcp:127.0.0.1:0`, or a bare address; also `cpu:`, `udp:`, `unix:PATH` and
    /// `unixgram:PATH`; repeatable
    #[arg(long, value_name = "KIND:ADDR", default_value = "tcp:127.0.0.1:8080")]
    pub(crate) listen: Vec<Endpoint>,
    /// Take IPv4 clients too on `[::]`
    #[arg(long)]
    pub(crate) dual_stack: bool,
    /// How to announce the listeners on standard output
    #[arg(long, value_enum, default_value_t = Announce::Text)]
    pub(crate) announce: Announce,
    /// The only flavor is `default`
    #[arg(long, default_value = "default", value_parser = ["default"])]
    pub(crate) flavor: String,
    /// The only driver is the readiness queue of this system
    #[arg(long, default_value = DRIVER, value_parser = [DRIVER])]
    pub(crate) driver: String,
    /// I/O threads: this server has one by nature
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1))]
    pub(crate) workers: u32,
    /// Bytes of a read
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(crate) buffer: u32,
    /// How long open connections are read to their end after a stop
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(crate) drain: humantime::Duration,
    /// Take the end of standard input as a stop signal
    #[arg(long)]
    pub(crate) stop_on_stdin_eof: bool,
    /// Ask for a capability: this server has `cpu` and `cancel`
    #[arg(long, value_name = "NAME")]
    pub(crate) capability: Vec<String>,
    /// A fault to commit, repeatable; see `--list-faults`
    #[arg(long, value_parser = fault_parser(), value_name = "NAME", hide_possible_values = true)]
    fault: Vec<&'static Fault>,
    /// Where the fault strikes (bytes, messages or connections, by fault) instead of its default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    fault_at: Option<u64>,
    /// Print every fault and what it does
    #[arg(long)]
    pub(crate) list_faults: bool,
    /// Cancel what has waited for this long and start it again: `accept=1ms`, `read=1ms`
    #[arg(long, value_name = "OPERATION=DURATION")]
    cancel: Vec<Cancel>,
    /// What each message on a `cpu` listener costs
    #[arg(long, value_name = "DURATION", default_value = "100ms")]
    cpu_work: humantime::Duration,
    /// Do that work in the loop
    #[arg(long)]
    cpu_inline: bool,
}

/// How the server says that it is ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Announce {
    /// A line for a person on standard output for each listener, the rest on standard error
    Text,
    /// Exactly one line of JSON on standard output
    Json,
}

/// A value of `--listen`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Endpoint {
    /// A TCP address. With port 0, the kernel chooses the port.
    Tcp(SocketAddr),
    /// A TCP address at which each message costs CPU time.
    Cpu(SocketAddr),
    /// A UDP address. With port 0, the kernel chooses the port.
    Udp(SocketAddr),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
    /// The path of a Unix datagram socket.
    Unixgram(PathBuf),
    /// A kind of listener that the contract has and this system does not.
    NotOffered(String),
}

/// The optional parts of the contract that this server has.
pub(crate) const CAPABILITIES: [&str; 2] = ["cpu", "cancel"];

impl FromStr for Endpoint {
    type Err = String;

    /// A bare address means TCP. A kind that the contract does not have is an error.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let address = |text: &str| {
            text.parse().map_err(|error| {
                format!("{text} is no address ({error}); write one such as tcp:127.0.0.1:0")
            })
        };
        match text.split_once(':') {
            Some(("tcp", rest)) => address(rest).map(Self::Tcp),
            Some(("cpu", rest)) => address(rest).map(Self::Cpu),
            Some(("udp", rest)) => address(rest).map(Self::Udp),
            Some((kind @ ("unix" | "unixgram"), _)) if !cfg!(unix) => {
                Ok(Self::NotOffered(kind.to_owned()))
            }
            Some(("unix", rest)) => Ok(Self::Unix(rest.into())),
            Some(("unixgram", rest)) => Ok(Self::Unixgram(rest.into())),
            Some(_) | None => Err("write KIND:ADDR, such as tcp:127.0.0.1:0".to_owned()),
        }
    }
}

impl Endpoint {
    /// The IP address and port, if the endpoint has them.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Cpu(address) | Self::Udp(address) => Some(*address),
            Self::Unix(_) | Self::Unixgram(_) | Self::NotOffered(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Cpu(address) => write!(f, "cpu:{address}"),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
            Self::NotOffered(kind) => write!(f, "{kind}:"),
        }
    }
}

impl Options {
    /// The faults of `--fault`. By default there are none.
    pub(crate) fn faults(&self) -> Faults {
        Faults::new(self.fault.clone(), self.fault_at)
    }

    /// The reason to answer `unsupported`, if there is one.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let kind = self.listen.iter().find_map(|endpoint| match endpoint {
            Endpoint::Tcp(_) | Endpoint::Cpu(_) => None,
            Endpoint::NotOffered(kind) => Some(format!("no {kind} listeners")),
            Endpoint::Udp(_) | Endpoint::Unix(_) | Endpoint::Unixgram(_) => {
                let is_lacking = !self.faults().process().offers_options();
                is_lacking.then(|| format!("nothing but TCP: {endpoint}"))
            }
        });
        let offered = self.capabilities();
        let lacking = self.capability.iter().find(|name| !offered.contains(&name.as_str()));
        kind.or(lacking.map(|name| format!("no capability {name}")))
    }

    /// The capabilities that the server announces and that `--capability` may ask for.
    pub(crate) fn capabilities(&self) -> &'static [&'static str] {
        if self.faults().process().offers_options() { &CAPABILITIES } else { &[] }
    }

    /// The endpoints to listen on, and what each message costs there.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&Endpoint, Option<Work>)> {
        let worker = if self.cpu_inline { Worker::Loop } else { Worker::Thread };
        let work = Work { time: self.cpu_work.into(), worker };
        let costs = move |endpoint: &Endpoint| matches!(endpoint, Endpoint::Cpu(_)).then_some(work);
        self.listen.iter().map(move |endpoint| (endpoint, costs(endpoint)))
    }

    fn heeded_cancels(&self) -> impl Iterator<Item = &Cancel> {
        let heeds = self.faults().process().cancels();
        self.cancel.iter().filter(move |_| heeds)
    }

    /// How long an `accept` may wait before it is cancelled.
    pub(crate) fn accept_limit(&self) -> Option<Duration> {
        self.heeded_cancels().find_map(|cancel| match cancel {
            Cancel::Accept(limit) => Some(*limit),
            Cancel::Read(_) => None,
        })
    }

    /// How long a read may wait before it is cancelled.
    pub(crate) fn read_limit(&self) -> Option<Duration> {
        self.heeded_cancels().find_map(|cancel| match cancel {
            Cancel::Read(limit) => Some(*limit),
            Cancel::Accept(_) => None,
        })
    }
}

/// Parses the arguments of this process. Bad arguments are an error that exits with status 2.
pub(crate) fn parse() -> Result<Options, clap::Error> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Options::try_parse_from(&arguments) {
        Err(error) if error.use_stderr() => match understood(&arguments) {
            Some(understood) => Options::try_parse_from(understood),
            None => Err(error),
        },
        parsed => parsed.and_then(|options| match options.faults().conflict() {
            Some([one, other]) => {
                let both = format!("{one} and {other} cannot be committed at once\n");
                Err(Options::command().error(ErrorKind::ArgumentConflict, both))
            }
            None => Ok(options),
        }),
    }
}

/// The arguments that a fault puts in place of a command line that does not parse. Such a fault is
/// found by its name among the words.
fn understood(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let mut named = arguments.iter().filter_map(|word| faults::find(word.to_str()?));
    named.find_map(|fault| fault.process_hooks()?.understood(arguments))
}

/// Parses the name of a fault. For an unknown name, clap lists the names and suggests the nearest.
fn fault_parser() -> impl TypedValueParser<Value = &'static Fault> {
    let names = faults::all().map(|fault| fault.name);
    PossibleValuesParser::new(names)
        .try_map(|name| faults::find(&name).ok_or_else(|| format!("no fault '{name}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["mutant"], arguments].concat())
    }

    #[test]
    fn a_bare_address_means_tcp() {
        let address = "[::1]:80".parse().unwrap();
        assert_eq!("[::1]:80".parse(), Ok(Endpoint::Tcp(address)));
        assert_eq!("tcp:[::1]:80".parse(), Ok(Endpoint::Tcp(address)));
    }

    #[test]
    fn what_is_no_endpoint_is_a_bad_argument() {
        for text in ["", "tcp:", "tcp:999.0.0.1:0", "tcp:127.0.0.1:65536", "carrier:pigeon"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_contract_knows_and_we_lack_is_unsupported() {
        let lacking = ["--fault", "lacks-capabilities", "--listen", "udp:127.0.0.1:0"];
        for arguments in [&lacking[..], &["--capability", "x"]] {
            assert!(options(arguments).unwrap().unsupported().is_some(), "{arguments:?}");
        }
        assert_eq!(options(&lacking[2..]).unwrap().unsupported(), None);
        assert_eq!(options(&[]).unwrap().unsupported(), None);
        let capable = options(&["--capability", "cpu", "--capability", "cancel"]).unwrap();
        assert_eq!(capable.unsupported(), None);
    }

    #[test]
    fn capabilities_come_with_options() {
        let asked = ["--listen", "cpu:127.0.0.1:0", "--cpu-work", "2ms", "--cancel", "read=3ms"];
        let options = options(&asked).unwrap();
        let work = Work { time: Duration::from_millis(2), worker: Worker::Thread };
        assert_eq!(options.endpoints().next().unwrap().1, Some(work));
        assert_eq!(options.read_limit(), Some(Duration::from_millis(3)));
        assert_eq!(options.accept_limit(), None);
    }

    #[test]
    fn what_has_one_value_by_nature_accepts_no_other() {
        let wrong = [["--workers", "2"], ["--flavor", "x"], ["--driver", "x"], ["--buffer", "0"]];
        for arguments in wrong {
            assert!(options(&arguments).is_err(), "{arguments:?}");
        }
    }
}
