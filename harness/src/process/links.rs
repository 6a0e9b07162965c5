//! Descriptors of another process, by the targets of their links.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What a descriptor is a link to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A socket, by its inode.
    Socket(u64),
    /// An epoll instance.
    Epoll,
    /// A ring of `io_uring`.
    Ring,
    /// Anything else.
    Other,
}

/// All descriptors of a process.
pub(super) fn targets(pid: u32) -> io::Result<BTreeMap<u32, Target>> {
    let mut targets = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // One may be closed between the listing and the look.
        let target = target(entry.path());
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            targets.insert(number, target);
        }
    }
    Ok(targets)
}

/// The descriptors of a process that are links to `target`.
pub(super) fn holding(pid: u32, target: Target) -> io::Result<Vec<u32>> {
    let targets = targets(pid)?.into_iter();
    Ok(targets.filter(|(_, other)| *other == target).map(|(number, _)| number).collect())
}

/// What a descriptor is, or was.
pub(super) fn target(descriptor: impl AsRef<Path>) -> Target {
    let Ok(link) = fs::read_link(descriptor) else { return Target::Other };
    match link.to_str() {
        Some("anon_inode:[eventpoll]") => Target::Epoll,
        Some("anon_inode:[io_uring]") => Target::Ring,
        Some(link) => socket(link).map_or(Target::Other, Target::Socket),
        None => Target::Other,
    }
}

/// The inode of a socket by its name, which is no path: `socket:[302132]`.
pub(super) fn socket(name: &str) -> Option<u64> {
    name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
