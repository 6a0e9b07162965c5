//! The announcement: the line that says that the server listens, where, and what it runs on.

use std::io::{self, Write};

use serde::Serialize;

use crate::listener::Bound;
use crate::log;
use crate::options::{Announce, DRIVER, Endpoint, Options};

/// Package and version of mio. A test compares it with `Cargo.lock`.
const RUNTIME: &str = "mio 1.2.5";

#[derive(Serialize)]
struct Announcement {
    ready: u32,
    listeners: Vec<String>,
    backend: &'static str,
    runtime: &'static str,
    model: &'static str,
    driver: &'static str,
    flavor: &'static str,
    workers: u32,
    capabilities: &'static [&'static str],
}

/// Prints the announcement in the form that `--announce` chose. Fails if nobody reads it.
pub(crate) fn print(options: &Options, listeners: &[Bound]) -> io::Result<()> {
    let said = Announcement::new(options, listeners);
    let mut out = io::stdout().lock();
    match options.announce {
        Announce::Json => writeln!(out, "{}", serde_json::to_string(&said)?)?,
        Announce::Text => {
            for listener in &said.listeners {
                let (_, address) = listener.split_once(':').unwrap_or_default();
                writeln!(out, "Server listening on {address}")?;
            }
            let Announcement { runtime, model, driver, flavor, workers, .. } = said;
            log::line(format_args!(
                "{runtime}, {model}, {driver}, flavor {flavor}, {workers} worker"
            ));
        }
    }
    out.flush()
}

/// The line that a server prints in place of an announcement if it does not offer what was asked.
pub(crate) fn unsupported(reason: &str) -> String {
    serde_json::json!({ "unsupported": reason }).to_string()
}

impl Announcement {
    fn new(options: &Options, listeners: &[Bound]) -> Self {
        let claims_ring = options.faults().process().claims_ring();
        let (model, driver) =
            if claims_ring { ("completion", "io_uring") } else { ("readiness", DRIVER) };
        Self {
            ready: 1,
            listeners: listeners.iter().map(|bound| endpoint(options, bound)).collect(),
            backend: "mutant",
            runtime: RUNTIME,
            model,
            driver,
            flavor: "default",
            workers: options.faults().process().announced_workers(options.workers),
            capabilities: options.capabilities(),
        }
    }
}

fn endpoint(options: &Options, bound: &Bound) -> String {
    let mut endpoint = bound.endpoint.clone();
    if let Endpoint::Tcp(address) = &mut endpoint {
        address.set_port(options.faults().process().announced_port(address.port()));
    }
    endpoint.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_the_one_that_is_linked() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock: toml::Table = std::fs::read_to_string(lock).unwrap().parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        let own = packages.iter().find(|package| package["name"].as_str() == Some("mutant"));
        let linked = own.unwrap()["dependencies"].as_array().unwrap();
        // `Cargo.lock` adds the version to the name, because it has another version of mio, too.
        assert!(linked.iter().any(|package| package.as_str() == Some(RUNTIME)), "{linked:?}");
    }

    #[test]
    fn a_reason_is_escaped() {
        assert_eq!(unsupported("no \"x\""), r#"{"unsupported":"no \"x\""}"#);
    }
}
