//! Reads from procfs which open files of another process accept clients, and which ones a program
//! that it executes would inherit.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;

use procfs::net::{TcpState, UdpState};
use procfs::process::{FDTarget, Process};
use report::Transport;

use super::readings::ListeningSocket;
use crate::sock_diag::listeners;

/// `O_CLOEXEC` in fdinfo (proc_pid_fdinfo(5)), on all architectures of Rust except SPARC.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;
/// Standard input, output and error are meant to be inherited.
const STREAMS: i32 = 3;

/// The inodes of the sockets that a process has descriptors of.
fn inodes(pid: u32) -> io::Result<BTreeSet<u64>> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let files = Process::new(pid).and_then(|process| process.fd()).map_err(io::Error::other)?;
    Ok(files
        .flatten()
        .filter_map(|file| match file.target {
            FDTarget::Socket(inode) => Some(inode),
            FDTarget::Path(_)
            | FDTarget::Net(_)
            | FDTarget::Pipe(_)
            | FDTarget::AnonInode(_)
            | FDTarget::MemFD(_)
            | FDTarget::Other(..)
            | FDTarget::Unknown(..) => None,
        })
        .collect())
}

/// The address and the inode of each TCP listener of this host. Reads procfs if the kernel has no
/// socket diagnostics, as in gVisor or without the module tcp_diag.
pub(super) fn tcp_listeners() -> Vec<(SocketAddr, u64)> {
    if let Ok(all) = listeners() {
        return all.into_iter().map(|one| (one.address, one.inode)).collect();
    }
    // A kernel without IPv6 has no table for it.
    let tables = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listening = tables.filter(|one| one.state == TcpState::Listen);
    listening.map(|one| (one.local_address, one.inode)).collect()
}

/// How many sockets of a process do not belong to clients: TCP listeners, UDP sockets and, unless
/// clients use them, Unix sockets.
pub(super) fn own_sockets(pid: u32, clients: Transport) -> io::Result<usize> {
    let mut own: BTreeSet<u64> = tcp_listeners().into_iter().map(|(_, inode)| inode).collect();
    let udp = [procfs::net::udp(), procfs::net::udp6()].into_iter().flatten().flatten();
    own.extend(udp.map(|one| one.inode));
    if !matches!(clients, Transport::Unix | Transport::Unixgram) {
        own.extend(procfs::net::unix().into_iter().flatten().map(|one| one.inode));
    }
    Ok(inodes(pid)?.intersection(&own).count())
}

pub(super) fn listening_sockets(pid: u32) -> io::Result<Vec<ListeningSocket>> {
    let own = inodes(pid)?;
    let tcp = tcp_listeners().into_iter().filter(|(_, inode)| own.contains(inode));
    let tcp = tcp.map(|(address, _)| ListeningSocket { transport: Transport::Tcp, address });
    let udp = [procfs::net::udp(), procfs::net::udp6()].into_iter().flatten().flatten();
    let udp = udp.filter(|one| one.state == UdpState::Close && own.contains(&one.inode));
    let udp =
        udp.map(|one| ListeningSocket { transport: Transport::Udp, address: one.local_address });
    Ok(tcp.chain(udp).collect())
}

pub(super) fn inheritable_descriptors(pid: u32) -> io::Result<Vec<(i32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number: i32 = name.parse().map_err(io::Error::other)?;
        // The descriptor may be closed before it is read.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{name}")) else { continue };
        let Ok(file) = fs::read_link(format!("/proc/{pid}/fd/{name}")) else { continue };
        if number >= STREAMS && flags(&text).is_some_and(|flags| flags & CLOSE_ON_EXEC == 0) {
            found.push((number, file.to_string_lossy().into_owned()));
        }
    }
    Ok(found)
}

fn flags(fdinfo: &str) -> Option<u32> {
    let octal = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(octal.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd as _;

    use rustix::io::{FdFlags, fcntl_setfd};

    use super::*;

    #[test]
    fn sockets_that_wait_for_clients_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.2:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(datagrams.local_addr().unwrap()).unwrap();
        // Other tests have sockets, too.
        let all = listening_sockets(std::process::id()).unwrap();
        let has = |transport, address| all.contains(&ListeningSocket { transport, address });
        assert!(has(Transport::Tcp, listener.local_addr().unwrap()), "{all:?}");
        assert!(has(Transport::Udp, datagrams.local_addr().unwrap()), "{all:?}");
        assert!(!has(Transport::Udp, client.local_addr().unwrap()), "{all:?}");
    }

    #[test]
    fn a_descriptor_without_close_on_exec_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let is_told = || {
            let found = inheritable_descriptors(std::process::id()).unwrap();
            found.iter().any(|(number, _)| *number == socket.as_raw_fd())
        };
        assert!(!is_told());
        fcntl_setfd(&socket, FdFlags::empty()).unwrap();
        assert!(is_told());
    }
}
