//! Parses a server's announcement, the first line of its standard output. The parser follows
//! docs/CONTRACT.md only: the judge shares no code with the servers.

use std::net::SocketAddr;
use std::path::PathBuf;

use report::{Failure, FailureKind, Outside, outside};
use serde::Deserialize;

/// What a server prints when it starts under `--announce json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// The server listens and serves.
    Ready(Ready),
    /// This host cannot run the server, for this reason.
    Unavailable(Outside),
    /// The server does not offer what was asked for, for this reason.
    Unsupported(Outside),
}

/// The announcement of a server that is ready.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// Version of the format, 1.
    pub ready: u32,
    /// `KIND:ADDRESS` of each listener, in the order of the `--listen` options.
    pub listeners: Vec<Outside>,
    pub backend: Outside,
    /// Name and version.
    pub runtime: Outside,
    /// `readiness`, `completion` or `blocking`.
    pub model: Outside,
    pub driver: Outside,
    pub flavor: Outside,
    /// Threads that do I/O.
    pub workers: u32,
    /// Optional parts of the contract that the server implements.
    #[serde(default)]
    pub capabilities: Vec<Outside>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Ready(Ready),
    Unavailable { unavailable: Outside },
    Unsupported { unsupported: Outside },
}

impl Announcement {
    /// Parses one line.
    ///
    /// # Errors
    /// `announcement`, with what is wrong with the line.
    pub fn parse(line: &[u8]) -> Result<Self, Failure> {
        let shown = || Outside::from(String::from_utf8_lossy(line));
        let wrong = |sentence: &str| Err(failure(sentence, &format!("{:?}", shown())));
        let Ok(parsed) = serde_json::from_slice(line) else {
            return wrong("not one of the three forms of docs/CONTRACT.md");
        };
        match parsed {
            Line::Ready(ready) if ready.ready != 1 => {
                wrong(&format!("\"ready\" is {}, not 1", ready.ready))
            }
            Line::Ready(ready) if ready.listeners.is_empty() => wrong("\"listeners\" is empty"),
            Line::Ready(ready) => Ok(Self::Ready(ready)),
            Line::Unavailable { unavailable: reason } if reason.is_empty() => {
                wrong("\"unavailable\" without a reason")
            }
            Line::Unsupported { unsupported: reason } if reason.is_empty() => {
                wrong("\"unsupported\" without a reason")
            }
            Line::Unavailable { unavailable } => Ok(Self::Unavailable(unavailable)),
            Line::Unsupported { unsupported } => Ok(Self::Unsupported(unsupported)),
        }
    }
}

impl Ready {
    /// The addresses of the `tcp` listeners.
    ///
    /// # Errors
    /// `announcement` if an address cannot be parsed or has port 0. The failure names the address.
    pub fn tcp_addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        self.addresses("tcp")
    }

    /// Checks that the server listens where the `--listen` options asked it to, in their order. If
    /// an option asks for port 0, any port is right.
    ///
    /// # Errors
    /// `announcement`, with what was asked for.
    pub fn expect_listeners(&self, asked: &[String]) -> Result<(), Failure> {
        let is_requested = self.listeners.len() == asked.len()
            && self.listeners.iter().zip(asked).all(|(there, asked)| is_requested(there, asked));
        if is_requested {
            Ok(())
        } else {
            Err(self.wrong_listeners(format!("listeners as asked for: {asked:?}")))
        }
    }

    /// The paths of the listeners of one kind, `unix` or `unixgram`.
    pub fn paths(&self, kind: &str) -> impl Iterator<Item = PathBuf> {
        self.texts(kind).filter_map(|text| text.parse().ok())
    }

    /// What follows `KIND:` in each listener of one kind.
    fn texts(&self, kind: &str) -> impl Iterator<Item = Outside> {
        let prefix = format!("{kind}:");
        self.listeners.iter().filter_map(move |text| text.strip_prefix(&prefix))
    }

    /// The addresses of the listeners of one kind: `tcp`, `cpu` or `udp`.
    ///
    /// # Errors
    /// See [`Ready::tcp_addresses`].
    pub fn addresses(&self, kind: &str) -> Result<Vec<SocketAddr>, Failure> {
        self.texts(kind)
            .map(|address| match address.parse::<SocketAddr>() {
                Ok(parsed) if parsed.port() != 0 => Ok(parsed),
                Ok(_) => Err(self.wrong_listeners(outside!("\"{}\" has port 0", address))),
                Err(_) => Err(self.wrong_listeners(outside!("\"{}\" is no address", address))),
            })
            .collect()
    }

    /// The failure of a server whose listeners are not the expected ones.
    #[must_use]
    pub fn wrong_listeners(&self, expected: impl Into<Outside>) -> Failure {
        failure(expected, &format!("{:?}", self.listeners))
    }
}

fn failure(expected: impl Into<Outside>, actual: &str) -> Failure {
    Failure::new(FailureKind::Announcement, expected, actual)
}

fn is_requested(there: &Outside, asked: &str) -> bool {
    // A bare address means TCP.
    let asked = if asked.parse::<SocketAddr>().is_ok() { &format!("tcp:{asked}") } else { asked };
    let address = || {
        let (kind, address) = asked.split_once(':')?;
        let asked: SocketAddr = address.parse().ok()?;
        Some((asked, there.strip_prefix(&format!("{kind}:"))))
    };
    match address() {
        Some((asked, there)) => {
            let there = there.and_then(|there| there.parse::<SocketAddr>().ok());
            there.is_some_and(|there| {
                let is_port = asked.port() == 0 || asked.port() == there.port();
                there.ip() == asked.ip() && is_port
            })
        }
        // A path.
        None => there.equals(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_those_that_were_asked_for() {
        let asked = |asked: &[&str], there: &[&str]| {
            let line = format!(
                r#"{{"ready":1,"listeners":{there:?},"backend":"b","runtime":"r 1",
                "model":"readiness","driver":"epoll","flavor":"f","workers":1}}"#
            );
            let Ok(Announcement::Ready(ready)) = Announcement::parse(line.as_bytes()) else {
                return false;
            };
            let asked: Vec<String> = asked.iter().copied().map(str::to_owned).collect();
            ready.expect_listeners(&asked).is_ok()
        };
        assert!(asked(&["127.0.0.1:0", "unix:/x"], &["tcp:127.0.0.1:9", "unix:/x"]));
        assert!(asked(&["udp:[::1]:7"], &["udp:[0:0:0:0:0:0:0:1]:7"]));
        assert!(!asked(&["udp:[::1]:7"], &["udp:[::1]:8"]));
        assert!(!asked(&["tcp:127.0.0.1:0"], &["tcp:127.0.0.2:9"]));
        assert!(!asked(&["tcp:127.0.0.1:0"], &["udp:127.0.0.1:9"]));
        assert!(!asked(&["unix:/x", "tcp:[::1]:0"], &["tcp:[::1]:9", "unix:/x"]));
        assert!(!asked(&["unix:/x"], &["unix:/y"]));
        assert!(!asked(&["127.0.0.1:0", "127.0.0.1:0"], &["tcp:127.0.0.1:9"]));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(Announcement::parse(b"listening on 8080").is_err());
        assert!(Announcement::parse(b"{\"unavailable\":\"\"}").is_err());
        assert_eq!(
            Announcement::parse(b"{\"unsupported\":\"no udp\"}\n"),
            Ok(Announcement::Unsupported("no udp".into()))
        );
    }
}
