//! How much a run asks: how often each mutant must be caught, and which MUST cases show that it is
//! otherwise right.

use std::collections::BTreeSet;

use conformance::Error;
use conformance::case::Case;
use conformance::suites;
use harness::schedule::Sharing;
use report::Level;

/// The variable that selects the extent: `once`, `sample` or `all`.
const VARIABLE: &str = "CONFORMANCE_MUTANTS";

/// A few cases show as well as all whether a mutant is right in general, as long as they cover what
/// a server does. So each suite is here with its plainest case, and the suites with the most cases
/// are here more than once. Among similar cases, the sample has those that a correct server passes
/// with the least CPU time, nearly all within 0.7 s. `life/all-on-one-server` is left out, because
/// a third of the mutants break it by their own fault.
const SAMPLE: [&str; 25] = [
    "tcp-echo/one-byte",
    "tcp-echo/many-small-writes",
    "tcp-echo/cross-connection-isolation",
    "tcp-content/monotonous",
    "tcp-content/structured",
    "tcp-large/duplex-no-deadlock",
    "tcp-half-close/echo-then-fin",
    "tcp-close/connect-close-storm",
    "tcp-reset/then-descriptor-reuse",
    "tcp-backpressure/resume",
    "tcp-accept/burst",
    "tcp-concurrency/100-exact",
    "endurance/unread",
    "fair/bandwidth-split",
    "idle/cpu-no-connections",
    "res/descriptors-after-churn",
    "shutdown/sigterm-idle",
    "shutdown/releases-port",
    "life/ready-means-ready",
    "ip6/echo",
    "udp/boundaries",
    "udp/echo-basic",
    "udp/max-size",
    "unix/half-close",
    "unixdg/echo-bound-peer",
];

/// How much a run asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Each mutant must be caught once. The sample shows whether it is right in general.
    Once,
    /// Each mutant must be caught three times, each with another seed. The sample shows whether it
    /// is right in general.
    Sample,
    /// Each mutant must be caught three times, and is asked all other cases, which takes many times
    /// as long. The kill matrix is written from this.
    All,
}

impl Extent {
    /// Reads `CONFORMANCE_MUTANTS`. A run that writes the page asks all cases.
    pub(crate) fn read(writes_page: bool) -> Result<Self, Error> {
        match std::env::var(VARIABLE).unwrap_or_default().as_str() {
            _ if writes_page => Ok(Self::All),
            "once" => Ok(Self::Once),
            "" | "sample" => Ok(Self::Sample),
            "all" => Ok(Self::All),
            other => {
                let error = format!("{VARIABLE} is '{other}'; write once, sample or all");
                Err(Error::Variable(error.into()))
            }
        }
    }

    /// How often each mutant must be caught.
    pub(crate) fn runs(self) -> u32 {
        match self {
            Self::Once => 1,
            Self::Sample | Self::All => 3,
        }
    }

    pub(crate) fn includes(self, id: &str) -> bool {
        match self {
            Self::Once | Self::Sample => SAMPLE.contains(&id),
            Self::All => true,
        }
    }
}

/// What is wrong with the sample: a case that a mutant cannot be asked, or a suite without a case.
pub(crate) fn flaws() -> Vec<String> {
    let is_asked = |case: &Case| case.level == Level::Must && case.sharing == Sharing::Shared;
    let asked = suites::ALL.iter().flat_map(|suite| {
        let cases = suite.cases.iter().filter(move |case| is_asked(case));
        cases.map(move |case| (suite.name, format!("{}/{}", suite.name, case.name)))
    });
    let asked: Vec<(&str, String)> = asked.collect();
    let ids: BTreeSet<&str> = asked.iter().map(|(_, id)| id.as_str()).collect();
    let unknown = SAMPLE.iter().filter(|id| !ids.contains(*id));
    let sampled = asked.iter().filter(|(_, id)| SAMPLE.contains(&id.as_str()));
    let sampled: BTreeSet<&str> = sampled.map(|(suite, _)| *suite).collect();
    let all: BTreeSet<&str> = asked.iter().map(|(suite, _)| *suite).collect();
    let unknown = unknown.map(|id| format!("{id} is no MUST that a mutant can be asked"));
    unknown.chain(all.difference(&sampled).map(|suite| format!("none of {suite}"))).collect()
}
