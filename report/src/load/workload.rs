//! The workload: what is sent to a server, how much of it, and when.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host::{grouped, size};
use crate::outside;
use crate::outside::Outside;
use crate::quantity::{counted, number, seconds};
use crate::seed::Seed;
use crate::transport::Transport;

/// What is sent, to whom, how much and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// The server.
    pub target: Target,
    /// Connections that carry messages.
    pub connections: u32,
    /// More connections, each silent after one echo.
    pub idle_connections: u32,
    /// Lengths of messages.
    pub sizes: MessageSizes,
    /// Messages in flight on a connection at the most.
    pub pipeline: u32,
    /// When messages are sent.
    pub arrival: Arrival,
    /// Whether each message has a connection of its own.
    pub churn: bool,
    /// Connections opened a second at the start; `None` is as fast as the server takes them.
    pub connect_rate: Option<f64>,
    /// Seconds of load before anything counts.
    pub warmup_seconds: f64,
    /// When it is over.
    pub amount: Amount,
    /// Threads of the generator.
    pub threads: u32,
    /// Every payload is made from it.
    pub seed: Seed,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The kind of its listener.
    pub transport: Transport,
    /// `IP:PORT`, or a path.
    pub address: Outside,
}

/// Lengths of messages in bytes, used in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageSizes(pub Vec<u32>);

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "loop", rename_all = "lowercase")]
pub enum Arrival {
    /// A message follows the echo of the one before: the rate is the server's, and a stall hides
    /// the messages that would have been sent meanwhile (coordinated omission).
    Closed,
    /// At a fixed rate, whatever the server does.
    Open {
        /// Over all connections.
        messages_per_second: f64,
    },
}

/// When a load is over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// After so many seconds.
    Seconds(f64),
    /// After so many messages.
    Messages(u64),
}

impl Workload {
    /// All of it but the server's address, in a line.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, {}", self.arrival, self.details())
    }

    /// What [`Workload::describe`] says after the arrival.
    #[must_use]
    pub fn details(&self) -> String {
        let transport = self.target.transport;
        let mut parts =
            vec![format!("{} over {transport}", counted(self.connections.into(), "connection"))];
        if self.churn {
            parts.push("a new one for each message".to_owned());
        }
        if self.idle_connections > 0 {
            parts.push(format!("{} more idle", grouped(self.idle_connections.into())));
        }
        parts.push(format!("messages of {}", self.sizes));
        if self.pipeline > 1 {
            parts.push(format!("{} in flight on each", self.pipeline));
        }
        if let Some(rate) = self.connect_rate {
            parts.push(format!("{} connections/s at the start", number(rate)));
        }
        parts.push(format!("warm-up {}, then {}", seconds(self.warmup_seconds), self.amount));
        parts.push(format!("seed {}", self.seed));
        parts.join(", ")
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed loop"),
            Self::Open { messages_per_second } => {
                write!(f, "open loop at {} messages/s", number(*messages_per_second))
            }
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(length) => f.write_str(&seconds(*length)),
            Self::Messages(messages) => f.write_str(&counted(*messages, "message")),
        }
    }
}

impl fmt::Display for MessageSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(|length| size((*length).into())).collect();
        f.write_str(&sizes.join(", then "))
    }
}

impl Target {
    /// As it is typed: `TRANSPORT:ADDRESS`.
    #[must_use]
    pub fn words(&self) -> Outside {
        outside!("{}:{}", self.transport, self.address)
    }
}

impl MessageSizes {
    /// The longest message.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.0.iter().copied().max().unwrap_or(0)
    }
}
