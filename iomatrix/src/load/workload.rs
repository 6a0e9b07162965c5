//! The options that say what a load sends, shared by every command that runs one.

use std::net::SocketAddr;
use std::time::Duration;

use harness::place::Endpoint;
use report::load::{Amount, Arrival, MessageSizes, Target, Workload};
use report::{Outside, Seed, Transport, outside};

use crate::error::Error;
use crate::values::{parse_count, parse_number, parse_rate, parse_size, parse_time};

/// What is sent, how much of it, and when.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Workload")]
pub(crate) struct WorkloadArguments {
    /// Connections that carry messages.
    #[arg(short, long, value_name = "N", default_value_t = 64, aliases = ["number", "clients"])]
    #[arg(value_parser = parse_number)]
    pub(crate) connections: u32,
    /// How long to measure; default: 10s in a load, 2s in each round of a bench.
    #[arg(short, long, value_name = "TIME", short_alias = 'z', aliases = ["time"])]
    #[arg(value_parser = parse_time)]
    pub(crate) duration: Option<Duration>,
    /// Measure this many messages, however long they take.
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration", aliases = ["total"])]
    #[arg(value_parser = parse_count)]
    pub(crate) requests: Option<u64>,
    /// Open loop: so many messages a second over all connections, whatever the server does, such as
    /// 20k. Without it a message follows the echo of the one before.
    #[arg(short, long, value_name = "RATE", short_aliases = ['R', 'q'])]
    #[arg(aliases = ["qps", "mps", "message-rate"])]
    #[arg(value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Bytes of a message, such as 64 or 1KiB; several take turns, as in 64,1KiB,16KiB.
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_delimiter = ',')]
    #[arg(value_parser = parse_size, short_alias = 'l', aliases = ["length", "msg-size", "size"])]
    pub(crate) payload: Vec<u32>,
    /// Load that does not count, before the measured part; default: 2s in a load, 500ms in a bench.
    #[arg(short, long, value_name = "TIME", aliases = ["warm-up-time", "omit"])]
    #[arg(value_parser = parse_time)]
    pub(crate) warmup: Option<Duration>,
    /// Threads of the generator.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = parse_number)]
    pub(crate) threads: u32,
    /// Messages in flight on a connection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_number)]
    pub(crate) pipeline: u32,
    /// A connection for each message.
    #[arg(long)]
    pub(crate) churn: bool,
    /// Open so many connections a second at the start; default: as fast as the server takes them.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) connect_rate: Option<f64>,
    /// More connections, each silent after one echo.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_number)]
    pub(crate) idle: u32,
    /// Send the same bytes again. Random and printed if absent.
    #[arg(long, value_name = "HEX")]
    pub(crate) seed: Option<Seed>,
}

impl WorkloadArguments {
    /// Checks that the workload can be run over `transport`.
    ///
    /// # Errors
    /// It cannot; the error says what to write instead.
    pub(crate) fn validate(&self, transport: Transport) -> Result<(), Error> {
        let target = Target { transport, address: Outside::default() };
        let workload = self.workload(target, Duration::from_secs(1), Duration::ZERO);
        loadgen::validate_workload(&workload)
            .map_err(|error| Error::Workload(outside!("{}", error)))
    }

    /// The workload for a target. `duration` and `warmup` apply if the user gave none.
    pub(crate) fn workload(
        &self,
        target: Target,
        duration: Duration,
        warmup: Duration,
    ) -> Workload {
        Workload {
            target,
            connections: self.connections,
            idle_connections: self.idle,
            sizes: MessageSizes(self.payload.clone()),
            pipeline: self.pipeline,
            arrival: self.rate.map_or(Arrival::Closed, |messages_per_second| Arrival::Open {
                messages_per_second,
            }),
            churn: self.churn,
            connect_rate: self.connect_rate,
            warmup_seconds: self.warmup.unwrap_or(warmup).as_secs_f64(),
            amount: self.requests.map_or(
                Amount::Seconds(self.duration.unwrap_or(duration).as_secs_f64()),
                Amount::Messages,
            ),
            threads: self.threads,
            seed: self.seed.unwrap_or_else(harness::seed::random),
        }
    }
}

/// Parses `IP:PORT` or `localhost:PORT`, optionally with `tcp:` or `udp:` before it, or
/// `unix:/PATH`.
///
/// # Errors
/// The text has another form; the error says what to write instead.
pub(crate) fn parse_target(text: &str) -> Result<Target, Error> {
    let endpoint: Endpoint =
        text.parse().map_err(|error: harness::Error| Error::value(error.to_string()))?;
    if endpoint.transport == Transport::Unixgram {
        return Err(Error::value("there is no load for unixgram; write unix:/PATH"));
    }
    let address = endpoint.place.to_string().into();
    Ok(Target { transport: endpoint.transport, address })
}

/// Whether a target is a Unix path or on loopback.
pub(crate) fn is_local(target: &Target) -> bool {
    match target.transport {
        Transport::Unix | Transport::Unixgram => true,
        Transport::Tcp | Transport::Udp => {
            target.address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_transport_and_address() {
        let target = |text| parse_target(text).map(|target| target.words().on_terminal());
        assert_eq!(target("127.0.0.1:80").unwrap(), "tcp:127.0.0.1:80");
        assert_eq!(target("udp:[::1]:80").unwrap(), "udp:[::1]:80");
        assert_eq!(target("unix:/tmp/x").unwrap(), "unix:/tmp/x");
        assert!(target("127.0.0.1").is_err_and(|error| error.to_string().contains("has no port")));
        assert!(is_local(&parse_target("[::1]:1").unwrap()));
        assert!(!is_local(&parse_target("10.0.0.1:1").unwrap()));
    }
}
