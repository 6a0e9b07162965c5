//! What a server says of itself: the lines on standard output, and what it runs on.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use clap::ValueEnum;
use serde::Serialize;

use crate::{listen::Listen, log, versions::locked_version};

/// Form of the line on standard output that says the server is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Announce {
    /// `Server listening on ADDRESS`, a line for each listener
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
    pub(crate) endpoints: Vec<Listen>,
}

impl Announcement {
    /// Version of the announcement's format.
    pub(crate) const FORMAT: u32 = 1;

    /// Tells standard output that the server is ready, and standard error what it runs on.
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
        let line = |endpoint: &Listen| match endpoint {
            Listen::Tcp(address) | Listen::Cpu(address) => format!("Server listening on {address}"),
            Listen::Udp(_) | Listen::Unix(_) | Listen::Unixgram(_) => {
                format!("Server listening on {endpoint}")
            }
        };
        self.endpoints.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What the server runs on, in one line.
    fn summary(&self) -> String {
        let Announcement { backend, runtime, model, driver, flavor, workers, .. } = self;
        let version = locked_version(&format!("backend-{backend}"));
        let plural = if *workers == 1 { "" } else { "s" };
        format!(
            "backend-{backend} {version}   {runtime}   driver {driver} ({model})   \
             flavor {flavor}   {workers} worker{plural}"
        )
    }

    /// What a person can do next.
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
fn client(endpoint: &Listen) -> Option<String> {
    let (program, address) = match endpoint {
        Listen::Tcp(address) | Listen::Cpu(address) => ("nc", address),
        Listen::Udp(address) => ("nc -u", address),
        Listen::Unix(path) => return Some(format!("nc -U {}", path.display())),
        Listen::Unixgram(_) => return None,
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

/// Why a server does not serve, in place of an announcement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refusal<'a> {
    /// This host cannot run it.
    Unavailable(&'a str),
    /// It does not offer what was asked.
    Unsupported(&'a str),
}

impl Refusal<'_> {
    /// Prints the line of JSON that the contract asks for in both forms of announcement.
    pub(crate) fn print(&self) {
        say(&json(self));
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// Writes to standard output. A reader that has gone is no reason to end.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capability, Driver, backend::tests::BACKEND, versions::locked_version};

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

    /// The examples of docs/CONTRACT.md; the judge's own test reads them too.
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
