//! Reads from the `fdinfo` of its descriptor what an epoll instance of another process watches.

use std::fs;
use std::io;

use super::links::{Target, target};

/// `EPOLLIN` and `EPOLLRDNORM`. Either one waits for input.
const INPUT: u32 = 0x1 | 0x40;
/// How deep epoll instances may watch each other (`EP_MAX_NESTS` in the kernel's eventpoll.c).
const DEEPEST: u32 = 5;

/// A file that an epoll instance watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    /// The file's descriptor when it was added. The number may belong to another file by now.
    descriptor: u32,
    events: u32,
    inode: u64,
}

/// Whether the epoll instance at `descriptor` waits for input from the socket with this inode,
/// directly or through an instance that it watches.
pub(super) fn waits_for(pid: u32, descriptor: u32, socket: u64) -> io::Result<bool> {
    waits_within(pid, descriptor, socket, DEEPEST)
}

fn waits_within(pid: u32, descriptor: u32, socket: u64, depth: u32) -> io::Result<bool> {
    let text = match fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for member in text.lines().filter_map(member).filter(|member| member.events & INPUT != 0) {
        let path = || format!("/proc/{pid}/fd/{}", member.descriptor);
        if member.inode == socket
            || (depth > 0
                && target(path()) == Target::Epoll
                && waits_within(pid, member.descriptor, socket, depth - 1)?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parses a line of `ep_show_fdinfo` (fs/eventpoll.c in the kernel). The descriptor is decimal, and
/// everything else is hexadecimal.
fn member(line: &str) -> Option<Member> {
    let mut words = line.strip_prefix("tfd:")?.split_whitespace();
    let descriptor = words.next()?.parse().ok()?;
    let (mut events, mut inode) = (0, 0);
    while let Some(word) = words.next() {
        if word == "events:" {
            events = u32::from_str_radix(words.next()?, 16).ok()?;
        } else if let Some(digits) = word.strip_prefix("ino:") {
            inode = u64::from_str_radix(digits, 16).ok()?;
        }
    }
    Some(Member { descriptor, events, inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_as_linux_writes_it() {
        let line =
            "tfd:        8 events: 80002019 data:         8000000a  pos:0 ino:40e4f9c sdev:8";
        let expected = Member { descriptor: 8, events: 0x8000_2019, inode: 0x40e_4f9c };
        assert_eq!(member(line), Some(expected));
        assert_eq!(member("ino:\t16"), None);
    }
}
