//! What a row needs of io_uring beyond a plain ring, and since which Linux the kernel has it.

use report::host::{Availability, IoUring};
use serde::Deserialize;

/// What a row needs of io_uring. The names are those of [`SETUP_FLAGS`] and [`OPERATIONS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingNeeds {
    /// Flags of io_uring_setup(2).
    #[serde(default)]
    pub setup: Vec<String>,
    #[serde(default)]
    pub operations: Vec<String>,
}

/// A setup flag or an operation of io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFeature {
    /// The name as in the kernel's header, without its prefix; operations in lower case.
    pub name: &'static str,
    /// The first Linux that has it.
    pub since: &'static str,
}

const fn feature(name: &'static str, since: &'static str) -> RingFeature {
    RingFeature { name, since }
}

/// Flags of io_uring_setup(2), which names the first Linux of each.
pub const SETUP_FLAGS: [RingFeature; 7] = [
    feature("IOPOLL", "5.1"),
    feature("CQSIZE", "5.5"),
    feature("SUBMIT_ALL", "5.18"),
    feature("COOP_TASKRUN", "5.19"),
    feature("TASKRUN_FLAG", "5.19"),
    feature("SINGLE_ISSUER", "6.0"),
    feature("DEFER_TASKRUN", "6.1"),
];

/// Operations that a network server may want. `io_uring_enter(2)` names the first Linux of each.
/// `accept_multishot` and `recv_multishot` are flags of an operation, and `buffer_ring` is a
/// registration (`io_uring_register_buf_ring(3)`).
pub const OPERATIONS: [RingFeature; 25] = [
    feature("accept", "5.5"),
    feature("accept_multishot", "5.19"),
    feature("async_cancel", "5.5"),
    feature("buffer_ring", "5.19"),
    feature("close", "5.6"),
    feature("connect", "5.5"),
    feature("link_timeout", "5.5"),
    feature("msg_ring", "5.18"),
    feature("poll_add", "5.1"),
    feature("poll_remove", "5.1"),
    feature("provide_buffers", "5.7"),
    feature("read", "5.6"),
    feature("read_multishot", "6.7"),
    feature("recv", "5.6"),
    feature("recv_multishot", "6.0"),
    feature("recvmsg", "5.3"),
    feature("send", "5.6"),
    feature("send_zc", "6.0"),
    feature("sendmsg", "5.3"),
    feature("sendmsg_zc", "6.1"),
    feature("shutdown", "5.11"),
    feature("socket", "5.19"),
    feature("splice", "5.7"),
    feature("timeout", "5.4"),
    feature("write", "5.6"),
];

impl RingNeeds {
    /// The names that are in none of the lists.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        let is_known =
            |features: &[RingFeature], name: &str| features.iter().any(|it| it.name == name);
        let setup = self.setup.iter().filter(|name| !is_known(&SETUP_FLAGS, name));
        let operations = self.operations.iter().filter(|name| !is_known(&OPERATIONS, name));
        setup.chain(operations).map(String::as_str).collect()
    }

    /// What the row needs, in the order of the lists.
    fn needed(&self) -> Vec<RingFeature> {
        let setup = SETUP_FLAGS.iter().filter(|flag| self.setup.iter().any(|it| it == flag.name));
        let is_needed = |one: &&RingFeature| self.operations.iter().any(|it| it == one.name);
        setup.chain(OPERATIONS.iter().filter(is_needed)).copied().collect()
    }

    /// What the row needs and this kernel does not offer.
    fn missing(&self, offers: &IoUring) -> Vec<RingFeature> {
        let mut missing = self.needed();
        missing.retain(|feature| {
            let mut offered = offers.setup_flags.iter().chain(&offers.operations);
            !offered.any(|name| *name == feature.name)
        });
        missing
    }

    /// Whether this kernel's io_uring does for the row. If not, says what is missing and which
    /// Linux has it.
    #[must_use]
    pub fn judge(&self, offers: &IoUring) -> Availability {
        let missing = self.missing(offers);
        let Some(first) = first_linux(&missing) else {
            let needed = self.needed();
            let newest = first_linux(&needed).unwrap_or_default();
            let names = needed.iter().filter(|feature| feature.since == newest);
            let names = names.map(|feature| feature.name).collect::<Vec<_>>().join(", ");
            return Availability::available(format!("needs Linux {newest} ({names})"));
        };
        let names = missing.iter().map(|it| format!("{} (Linux {})", it.name, it.since));
        let names = names.collect::<Vec<_>>().join(", ");
        let fix = format!("boot Linux {first} or newer");
        Availability::unavailable(format!("this kernel's io_uring lacks {names}"), Some(&fix))
    }
}

/// The first Linux that has all of these.
fn first_linux(features: &[RingFeature]) -> Option<&'static str> {
    features.iter().map(|feature| feature.since).max_by_key(|release| version(release))
}

/// A release such as `5.19`, to compare.
fn version(release: &str) -> (u32, u32) {
    let (major, minor) = release.split_once('.').unwrap_or((release, "0"));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_lack_names_what_is_missing_and_the_first_linux_that_has_all_of_it() {
        let offers = IoUring {
            features: Vec::new(),
            setup_flags: vec!["CQSIZE".into()],
            operations: vec!["accept".into(), "recv".into()],
        };
        let needs = RingNeeds {
            setup: names(&["CQSIZE", "DEFER_TASKRUN"]),
            operations: names(&["accept", "buffer_ring"]),
        };
        let lacks =
            "this kernel's io_uring lacks DEFER_TASKRUN (Linux 6.1), buffer_ring (Linux 5.19)";
        let fix = Some("boot Linux 6.1 or newer");
        assert_eq!(needs.judge(&offers), Availability::unavailable(lacks, fix));
        let modest = RingNeeds { setup: names(&["CQSIZE"]), operations: names(&["recv"]) };
        assert_eq!(
            modest.judge(&offers),
            Availability::available("needs Linux 5.6 (recv)".to_owned())
        );
    }
}
