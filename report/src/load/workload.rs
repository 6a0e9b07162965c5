//! The workload: what is sent to a server, how much of it, and when.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host::{group_digits, size};
use crate::outside;
use crate::outside::Outside;
use crate::quantity::{format_count, number, seconds};
use crate::seed::Seed;
use crate::transport::Transport;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub target: Target,
    /// Connections that carry messages.
    pub connections: u32,
    /// More connections, each silent after one echo.
    pub idle_connections: u32,
    pub sizes: MessageSizes,
    /// Messages in flight per connection, at most.
    pub pipeline: u32,
    pub arrival: Arrival,
    /// Whether each message has a connection of its own.
    pub churn: bool,
    /// Connections opened per second at the start; `None` is as fast as the server takes them.
    pub connect_rate: Option<f64>,
    /// Seconds of load before anything counts.
    pub warmup_seconds: f64,
    pub amount: Amount,
    /// Threads of the generator.
    pub threads: u32,
    /// Every payload derives from it.
    pub seed: Seed,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
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
    /// A message follows the echo of the one before. The server sets the rate, and a stall hides
    /// the messages that would have been sent during it (coordinated omission).
    Closed,
    /// A fixed rate, whatever the server does.
    Open {
        /// Over all connections.
        messages_per_second: f64,
    },
}

/// When a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    Seconds(f64),
    Messages(u64),
}

impl Workload {
    /// Everything but the server's address, in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, {}", self.arrival, self.details())
    }

    /// What [`Workload::describe`] says after the arrival.
    #[must_use]
    pub fn details(&self) -> String {
        let transport = self.target.transport;
        let mut parts = vec![format!(
            "{} over {transport}",
            format_count(self.connections.into(), "connection")
        )];
        if self.churn {
            parts.push("a new one for each message".to_owned());
        }
        if self.idle_connections > 0 {
            parts.push(format!("{} more idle", group_digits(self.idle_connections.into())));
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
            Self::Messages(messages) => f.write_str(&format_count(*messages, "message")),
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
    /// As a user types it: `TRANSPORT:ADDRESS`.
    #[must_use]
    pub fn words(&self) -> Outside {
        outside!("{}:{}", self.transport, self.address)
    }
}

impl MessageSizes {
    /// Bytes of the longest message.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.0.iter().copied().max().unwrap_or(0)
    }
}
