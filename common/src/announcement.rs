//! The announcement: the lines on standard output that say the server is ready, or why it is not.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::log;
use crate::versions::locked_version;

/// The form of the announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Announce {
    /// `Server listening on ADDRESS`, one line per listener
    Text,
    /// One line of JSON
    Json,
}

/// The announcement of a server that is ready.
#[derive(Debug, Serialize)]
pub(crate) struct Announcement {
    pub(crate) ready: u32,
    pub(crate) listeners: Vec<String>,
    pub(crate) backend: &'static str,
    pub(crate) runtime: String,
    pub(crate) model: String,
    pub(crate) driver: &'static str,
    pub(crate) flavor: &'static str,
    pub(crate) workers: usize,
    pub(crate) capabilities: Vec<&'static str>,
    #[serde(skip)]
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Announcement {
    /// Version of the announcement's format.
    pub(crate) const FORMAT: u32 = 1;

    /// Writes the announcement to standard output, and a summary to standard error.
    pub(crate) fn print(&self, announce: Announce) {
        log::line(format_args!("{}", self.summary()));
        match announce {
            Announce::Text => {
                say(&self.text());
                log::line(format_args!("{}", self.hints()));
            }
            Announce::Json => say(&json(self)),
        }
    }

    fn text(&self) -> String {
        let line = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(address) | Endpoint::Cpu(address) => {
                format!("Server listening on {address}")
            }
            Endpoint::Udp(_) | Endpoint::Unix(_) | Endpoint::Unixgram(_) => {
                format!("Server listening on {endpoint}")
            }
        };
        self.endpoints.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The runtime, driver, flavor and workers, in one line.
    fn summary(&self) -> String {
        let Self { backend, runtime, model, driver, flavor, workers, .. } = self;
        let version = locked_version(&format!("backend-{backend}"));
        let plural = if *workers == 1 { "" } else { "s" };
        format!(
            "backend-{backend} {version}   {runtime}   driver {driver} ({model})   \
             flavor {flavor}   {workers} worker{plural}"
        )
    }

    /// Commands that a person can try next.
    fn hints(&self) -> String {
        let mut hints = String::new();
        if let Some(client) = self.endpoints.first().and_then(client) {
            hints.push_str(&format!("\n  try it:   {client}"));
        }
        hints.push_str("\n  stop it:  Ctrl-C, and again to stop at once");
        if cfg!(debug_assertions) {
            hints.push_str("\n  note:     this is a debug build; measure with --release");
        }
        hints.push('\n');
        hints
    }
}

/// A command that talks to a listener; a Unix datagram needs a client with a name of its own.
fn client(endpoint: &Endpoint) -> Option<String> {
    let (program, address) = match endpoint {
        Endpoint::Tcp(address) | Endpoint::Cpu(address) => ("nc", address),
        Endpoint::Udp(address) => ("nc -u", address),
        Endpoint::Unix(path) => return Some(format!("nc -U {}", path.display())),
        Endpoint::Unixgram(_) => return None,
    };
    Some(format!("{program} {} {}", reachable(address.ip()), address.port()))
}

/// An address that a client on this host can use for a listener on `ip`.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

/// The line that a server prints instead of an announcement if it does not serve.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refusal<'a> {
    /// This host cannot run the server.
    Unavailable(&'a str),
    /// The server does not offer what was asked for.
    Unsupported(&'a str),
}

impl Refusal<'_> {
    /// Prints the line of JSON, which is the same in both forms of announcement.
    pub(crate) fn print(&self) {
        say(&json(self));
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// Writes to standard output. An error is ignored: the reader may have gone.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::tests::BACKEND;
    use crate::versions::locked_version;
    use crate::{Capability, Driver};

    fn announcement() -> Announcement {
        let endpoints = [("tcp", "127.0.0.1:41235"), ("cpu", "[::1]:8080")]
            .map(|(kind, address)| format!("{kind}:{address}").parse().unwrap());
        BACKEND.announcement(&BACKEND.flavors[0], Driver::Epoll, 2, endpoints.to_vec())
    }

    #[test]
    fn the_line_of_json_is_that_of_the_contract() {
        let version = locked_version("clap");
        let expected = [
            r#"{"ready":1,"listeners":["tcp:127.0.0.1:41235","cpu:[::1]:8080"],"backend":"test","#,
            &format!(r#""runtime":"clap {version}","model":"readiness","driver":"epoll","#),
            r#""flavor":"many","workers":2,"capabilities":["cpu"]}"#,
        ];
        assert_eq!(json(&announcement()), expected.concat());
    }

    /// The examples of docs/CONTRACT.md, which a test of the judge reads, too.
    #[test]
    fn the_examples_of_the_contract_are_what_is_written() {
        let contract = include_str!("../../docs/CONTRACT.md");
        let blocks = contract.split("```json\n").skip(1);
        let examples: Vec<&str> =
            blocks.map(|block| block.split("\n```").next().unwrap()).collect();
        let ready = Announcement {
            ready: Announcement::FORMAT,
            listeners: vec!["tcp:127.0.0.1:41235".to_owned()],
            backend: "tokio",
            runtime: "tokio 1.54.1".to_owned(),
            model: "readiness".to_owned(),
            driver: "epoll",
            flavor: "multi-thread",
            workers: 2,
            capabilities: Capability::ALL.map(Capability::name).to_vec(),
            endpoints: Vec::new(),
        };
        let denied = "io_uring_setup: Operation not permitted: sysctl kernel.io_uring_disabled \
                      is 2, off for everybody";
        let written = [
            json(&ready),
            json(&Refusal::Unavailable(denied)),
            json(&Refusal::Unsupported("udp listeners")),
        ];
        assert_eq!(examples, written);
    }

    #[test]
    fn refusals_are_one_line_of_json() {
        assert_eq!(json(&Refusal::Unavailable("no \"ring\"")), r#"{"unavailable":"no \"ring\""}"#);
        assert_eq!(json(&Refusal::Unsupported("udp\n")), r#"{"unsupported":"udp\n"}"#);
    }

    #[test]
    fn text_has_a_line_for_each_listener() {
        let text = "Server listening on 127.0.0.1:41235\nServer listening on [::1]:8080";
        assert_eq!(announcement().text(), text);
    }

    #[test]
    fn hints_name_an_address_that_can_be_reached() {
        let announcement = |listen: &str| {
            let endpoints = vec![listen.parse().unwrap()];
            BACKEND.announcement(&BACKEND.flavors[1], Driver::Epoll, 1, endpoints)
        };
        assert!(announcement("udp:[::]:80").hints().contains("nc -u ::1 80"));
        assert!(announcement("unix:/x").hints().contains("nc -U /x"));
        assert!(!announcement("unixgram:/x").hints().contains("try it"));
        let announcement = announcement("0.0.0.0:80");
        assert!(announcement.hints().contains("nc 127.0.0.1 80"));
        assert!(announcement.summary().ends_with("flavor one   1 worker"));
    }
}
