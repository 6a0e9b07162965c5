//! The descriptors of another process, and what they refer to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A socket, with its inode.
    Socket(u64),
    Epoll,
    /// A ring of `io_uring`.
    Ring,
    Other,
}

/// All descriptors of a process.
pub(super) fn targets(pid: u32) -> io::Result<BTreeMap<u32, Target>> {
    let mut targets = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // If the descriptor is closed meanwhile, its target is `Other`.
        let target = target(entry.path());
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            targets.insert(number, target);
        }
    }
    Ok(targets)
}

/// The descriptors of a process that refer to `target`.
pub(super) fn find_descriptors(pid: u32, target: Target) -> io::Result<Vec<u32>> {
    let targets = targets(pid)?.into_iter();
    Ok(targets.filter(|(_, other)| *other == target).map(|(number, _)| number).collect())
}

/// What a descriptor refers to; `Other` if it is closed.
pub(super) fn target(descriptor: impl AsRef<Path>) -> Target {
    let Ok(link) = fs::read_link(descriptor) else { return Target::Other };
    match link.to_str() {
        Some("anon_inode:[eventpoll]") => Target::Epoll,
        Some("anon_inode:[io_uring]") => Target::Ring,
        Some(link) => socket(link).map_or(Target::Other, Target::Socket),
        None => Target::Other,
    }
}

/// Parses the inode from the name of a socket, such as `socket:[302132]`.
pub(super) fn socket(name: &str) -> Option<u64> {
    name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
