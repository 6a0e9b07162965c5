//! Descriptors of another process by what they are links to, such as `anon_inode:[eventpoll]`.

use std::fs;
use std::io;
use std::path::Path;

/// The descriptors of a process that are links to `target`.
pub(super) fn holding(pid: u32, target: &str) -> io::Result<Vec<String>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        if is_link(entry.path(), target) {
            numbers.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(numbers)
}

/// Whether a descriptor is there, as one may be closed between the listing and the look, and what
/// it is.
pub(super) fn is_link(descriptor: impl AsRef<Path>, target: &str) -> bool {
    fs::read_link(descriptor).is_ok_and(|link| link.as_os_str() == target)
}
