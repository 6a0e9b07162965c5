//! The ladder of system calls of a request, as data, and its pages: rows side by side. A debugger
//! slows and reorders what it watches, so nothing here is a time. `iomatrix trace` fills it.

use serde::{Deserialize, Serialize};

use crate::document::{Document, Kind};
use crate::exit::{Conclusion, Conclusions};
use crate::format::Format;
use crate::outside;
use crate::outside::Outside;
use crate::pages::Pages;
use crate::part::{Medium, Part};
use crate::verdict::Model;

mod fold;
mod parts;

/// The version of the format of traces that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Every page with a ladder says this.
pub const CAUTION: &str = "strace slows and reorders: shapes, not times";

/// Some rows under the same few requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Clients; each sends one message per request.
    pub connections: u32,
    pub message_bytes: u64,
    /// In the order in which they were asked for.
    pub rows: Vec<Ladder>,
}

/// What the server of one row did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: Outside,
    pub model: Model,
    /// The driver, as the server announced it.
    pub driver: Outside,
    /// Threads that do I/O, as announced.
    pub workers: u32,
    pub outcome: Outcome,
}

/// Whether a row's server could be watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Outcome {
    /// The server served every request.
    Traced {
        /// In the order in which they were sent.
        requests: Vec<Request>,
    },
    /// This host cannot run the server.
    Unavailable {
        /// Why this host cannot run it.
        reason: Outside,
    },
}

/// One message on each connection. A request begins and ends with the server at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The system calls that returned during the request; only these count. The first was pending
    /// before the request, and woke the server.
    pub calls: Vec<Call>,
    /// The system calls that began during the request and had not returned at its end. They count
    /// for the request that wakes them.
    pub waiting: Vec<Call>,
    /// What went through the server's rings during the request.
    pub operations: Operations,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The server's thread that made it, numbered from 0 in order of appearance.
    pub thread: usize,
    pub name: Outside,
    /// Its arguments and its result, in a few words.
    pub gist: Outside,
}

/// Operations of `io_uring`: one system call may submit many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Operations {
    /// The server has no ring.
    NoRing,
    /// From the counters of all rings of the server.
    Counted {
        /// Submission entries that the kernel took.
        submissions: u64,
        /// Completion entries that the kernel posted.
        completions: u64,
    },
    /// The kernel does not report the counters.
    NotTold {
        /// Why it does not report them.
        reason: Outside,
    },
}

impl Document for Trace {
    const KIND: Kind = Kind::Trace;
    const VERSION: u32 = FORMAT_VERSION;

    fn conclusions(&self, (): &()) -> Conclusions {
        Conclusions::from_pieces(self.rows.iter().map(|row| match row.outcome {
            Outcome::Traced { .. } => Conclusion::Green,
            Outcome::Unavailable { .. } => Conclusion::Unavailable,
        }))
    }
}

impl Pages for Trace {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    type Question = ();

    fn parts(&self, (): &(), medium: Medium) -> Vec<Part> {
        parts::parts(self, medium)
    }

    fn data(&self) -> impl Serialize {
        self
    }
}

impl Ladder {
    /// Name, model and driver, for the head of a column.
    #[must_use]
    pub fn title(&self) -> Outside {
        let Self { name, model, driver, workers, .. } = self;
        match workers {
            1 => outside!("{} ({}, {})", name, model, driver),
            _ => outside!("{} ({}, {}, {} workers)", name, model, driver, workers),
        }
    }

    /// Empty if the row is unavailable.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        match &self.outcome {
            Outcome::Traced { requests } => requests,
            Outcome::Unavailable { .. } => &[],
        }
    }

    /// Whether more than one thread of the server made a call.
    #[must_use]
    pub fn has_threads(&self) -> bool {
        let calls = self.requests().iter().flat_map(|request| [&request.calls, &request.waiting]);
        calls.flatten().any(|call| call.thread > 0)
    }

    /// Whether it has rings whose counters are known.
    #[must_use]
    pub fn has_rings(&self) -> bool {
        let is_counted = |one: &Request| matches!(one.operations, Operations::Counted { .. });
        self.requests().iter().any(is_counted)
    }

    /// The cost of a request in words, such as `3 system calls`.
    #[must_use]
    pub fn cost_per_request(&self) -> Outside {
        let count = |of: fn(&Request) -> u64| spread(self.requests().iter().map(of));
        let mut text = format_range(&count(Request::system_calls), "system call");
        if let Some(reason) = self.unknown_reason() {
            return outside!("{}, operations not told: {}", text, reason);
        }
        if self.has_rings() {
            let submissions = count(Request::submissions);
            let completions = count(Request::completions);
            text = format!("{text}, {}", format_range(&submissions, "operation"));
            if submissions != completions {
                text = format!("{text}, {}", format_range(&completions, "completion"));
            }
        }
        text.into()
    }

    /// The average cost of a message, if each request has one message on each of `connections`.
    #[must_use]
    pub fn cost_per_message(&self, connections: u32) -> String {
        let messages = f64::from(connections) * self.requests().len() as f64;
        let mean = |of: fn(&Request) -> u64| {
            let count = self.requests().iter().map(of).fold(0, u64::saturating_add);
            count as f64 / messages.max(1.0)
        };
        let calls = format!("{:.2} system calls", mean(Request::system_calls));
        if self.has_rings() {
            return format!("{calls}, {:.2} operations", mean(Request::submissions));
        }
        calls
    }

    fn unknown_reason(&self) -> Option<&Outside> {
        self.requests().iter().find_map(|request| match &request.operations {
            Operations::NotTold { reason } => Some(reason),
            Operations::NoRing | Operations::Counted { .. } => None,
        })
    }
}

impl Request {
    #[must_use]
    pub fn system_calls(&self) -> u64 {
        self.calls.len() as u64
    }

    fn submissions(&self) -> u64 {
        match self.operations {
            Operations::Counted { submissions, .. } => submissions,
            Operations::NoRing | Operations::NotTold { .. } => 0,
        }
    }

    fn completions(&self) -> u64 {
        match self.operations {
            Operations::Counted { completions, .. } => completions,
            Operations::NoRing | Operations::NotTold { .. } => 0,
        }
    }
}

/// The smallest and the largest of some numbers.
fn spread(numbers: impl Iterator<Item = u64> + Clone) -> (u64, u64) {
    (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0))
}

fn format_range(&(least, most): &(u64, u64), what: &str) -> String {
    let plural = if (least, most) == (1, 1) { "" } else { "s" };
    if least == most {
        return format!("{most} {what}{plural}");
    }
    format!("{least} to {most} {what}{plural}")
}

#[cfg(test)]
mod tests;
