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

/// The version of the format of ladders that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Said wherever a ladder is shown.
pub const CAUTION: &str = "strace slows and reorders: shapes, not times";

/// Some rows under the same few requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Clients, each of which sends one message in each request.
    pub connections: u32,
    /// Length of a message.
    pub message_bytes: u64,
    /// The rows, as they were asked for.
    pub rows: Vec<Ladder>,
}

/// What one row's server did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: Outside,
    /// Readiness, completion or blocking.
    pub model: Model,
    /// The driver, as the server announced it.
    pub driver: Outside,
    /// Threads that do I/O, as announced.
    pub workers: u32,
    /// What was seen of it.
    pub outcome: Outcome,
}

/// Whether a row's server could be watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Outcome {
    /// It served every request.
    Traced {
        /// In the order in which they were sent.
        requests: Vec<Request>,
    },
    /// This host cannot run it.
    Unavailable {
        /// Why.
        reason: Outside,
    },
}

/// One message on each connection, from a server at rest to the server at rest again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The calls that returned meanwhile, and only these count. The first had been waiting: it is
    /// what woke the server.
    pub calls: Vec<Call>,
    /// The calls that began meanwhile and had not returned at the end. They count for the request
    /// that wakes them.
    pub waiting: Vec<Call>,
    /// What went through its rings meanwhile.
    pub operations: Operations,
}

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which of the server's threads made it, numbered from 0 as they appear.
    pub thread: usize,
    /// Its name.
    pub name: Outside,
    /// What it was about and what it returned, in a few words.
    pub gist: Outside,
}

/// Operations of `io_uring`: one call may hand over many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Operations {
    /// The server has no ring.
    NoRing,
    /// By the counters of all its rings.
    Counted {
        /// Entries that the kernel took.
        submissions: u64,
        /// Entries that it posted.
        completions: u64,
    },
    /// The kernel does not tell.
    NotTold {
        /// Why.
        reason: Outside,
    },
}

impl Document for Trace {
    const KIND: Kind = Kind::Trace;
    const VERSION: u32 = FORMAT_VERSION;

    fn conclusions(&self, (): &()) -> Conclusions {
        Conclusions::of(self.rows.iter().map(|row| match row.outcome {
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

    /// Its requests; none where it is unavailable.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        match &self.outcome {
            Outcome::Traced { requests } => requests,
            Outcome::Unavailable { .. } => &[],
        }
    }

    /// Whether more than one of its threads made a call.
    #[must_use]
    pub fn has_threads(&self) -> bool {
        let calls = self.requests().iter().flat_map(|request| [&request.calls, &request.waiting]);
        calls.flatten().any(|call| call.thread > 0)
    }

    /// Whether anything is known of rings that it has.
    #[must_use]
    pub fn has_rings(&self) -> bool {
        let is_counted = |one: &Request| matches!(one.operations, Operations::Counted { .. });
        self.requests().iter().any(is_counted)
    }

    /// What a request took, in words: `3 system calls`.
    #[must_use]
    pub fn per_request(&self) -> Outside {
        let count = |of: fn(&Request) -> u64| spread(self.requests().iter().map(of));
        let mut text = counted(&count(Request::system_calls), "system call");
        if let Some(reason) = self.untold() {
            return outside!("{}, operations not told: {}", text, reason);
        }
        if self.has_rings() {
            let submissions = count(Request::submissions);
            let completions = count(Request::completions);
            text = format!("{text}, {}", counted(&submissions, "operation"));
            if submissions != completions {
                text = format!("{text}, {}", counted(&completions, "completion"));
            }
        }
        text.into()
    }

    /// The same for each message of `connections` at once, on average.
    #[must_use]
    pub fn per_message(&self, connections: u32) -> String {
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

    fn untold(&self) -> Option<&Outside> {
        self.requests().iter().find_map(|request| match &request.operations {
            Operations::NotTold { reason } => Some(reason),
            Operations::NoRing | Operations::Counted { .. } => None,
        })
    }
}

impl Request {
    /// How many system calls returned.
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

/// The least and the most of some numbers.
fn spread(numbers: impl Iterator<Item = u64> + Clone) -> (u64, u64) {
    (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0))
}

fn counted(&(least, most): &(u64, u64), what: &str) -> String {
    let plural = if (least, most) == (1, 1) { "" } else { "s" };
    if least == most {
        return format!("{most} {what}{plural}");
    }
    format!("{least} to {most} {what}{plural}")
}

#[cfg(test)]
mod tests;
