//! Faults of a server that receives the descriptors that clients pass over Unix sockets, and keeps
//! them.

#[cfg(unix)]
use std::ffi::OsString;
use std::io;
#[cfg(unix)]
use std::os::unix::ffi::OsStringExt as _;
#[cfg(unix)]
use std::path::PathBuf;

use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixDatagram;

use super::Fault;
use crate::connection::{Connection, End, Over};
#[cfg(unix)]
use crate::datagrams::Client;
use crate::datagrams::DatagramHooks;
use crate::hooks::Hooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("keeps-passed", "Never closes the descriptors that a client passes", || {
        Box::new(KeepsPassed { keeps: Keeps::All, kept: Vec::new() })
    }),
    Fault::new(
        "closes-first-passed",
        "Closes only the first of the descriptors that a client passes with a message",
        || Box::new(KeepsPassed { keeps: Keeps::AllButFirst, kept: Vec::new() }),
    ),
    Fault::new(
        "closes-passed-at-end",
        "Closes the descriptors that a client passes only when the next connection ends",
        || Box::new(KeepsPassed { keeps: Keeps::UntilEnd, kept: Vec::new() }),
    ),
    Fault::datagram(
        "keeps-passed-with-datagram",
        "Never closes the descriptors that a client passes with a datagram",
        || Box::new(KeepsWithDatagram { named_too: true, kept: Vec::new() }),
    ),
    Fault::datagram(
        "keeps-passed-by-nobody",
        "Never closes the descriptors that a client without a path passes with a datagram",
        || Box::new(KeepsWithDatagram { named_too: false, kept: Vec::new() }),
    ),
];

/// Which of the passed descriptors the server keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeps {
    All,
    AllButFirst,
    UntilEnd,
}

struct KeepsPassed {
    keeps: Keeps,
    kept: Vec<Passed>,
}

impl Hooks for KeepsPassed {
    fn read(
        &mut self,
        connection: &mut Connection,
        buffer: &mut [u8],
    ) -> Option<io::Result<usize>> {
        if connection.over != Over::Unix {
            return None;
        }
        let received = receive(&connection.stream, buffer);
        Some(received.map(|(bytes, mut passed)| {
            if self.keeps == Keeps::AllButFirst && !passed.is_empty() {
                passed.remove(0);
            }
            self.kept.append(&mut passed);
            bytes
        }))
    }

    fn closed(&mut self, _connection: &mut Connection, _end: End) {
        if self.keeps == Keeps::UntilEnd {
            self.kept.clear();
        }
    }
}

#[cfg_attr(not(unix), expect(dead_code, reason = "nobody passes descriptors there"))]
struct KeepsWithDatagram {
    /// Whether to also keep those from a client with a path.
    named_too: bool,
    kept: Vec<Passed>,
}

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        type Passed = std::os::fd::OwnedFd;

        /// Reads with room for the most descriptors that a message can carry (`SCM_MAX_FD` on
        /// Linux).
        fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<Passed>)> {
            let (message, passed) = receive_message(stream, buffer)?;
            Ok((message.bytes, passed))
        }

        fn receive_message(
            socket: impl std::os::fd::AsFd,
            buffer: &mut [u8],
        ) -> io::Result<(rustix::net::RecvMsg, Vec<Passed>)> {
            use std::mem::MaybeUninit;

            use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut pieces = [io::IoSliceMut::new(buffer)];
            let message = recvmsg(socket, &mut pieces, &mut ancillary, RecvFlags::empty())?;
            let passed = ancillary.drain().flat_map(|message| {
                let RecvAncillaryMessage::ScmRights(descriptors) = message else {
                    return Vec::new();
                };
                descriptors.collect()
            });
            let passed = passed.collect();
            Ok((message, passed))
        }

        impl DatagramHooks for KeepsWithDatagram {
            fn receive(
                &mut self,
                socket: &UnixDatagram,
                buffer: &mut [u8],
            ) -> io::Result<(usize, Client)> {
                let (message, mut passed) = receive_message(socket, buffer)?;
                let address = message.address.map(rustix::net::SocketAddrUnix::try_from);
                let path = address.and_then(Result::ok).and_then(|address| {
                    let bytes = address.path_bytes()?.to_owned();
                    Some(PathBuf::from(OsString::from_vec(bytes)))
                });
                if self.named_too || path.is_none() {
                    self.kept.append(&mut passed);
                }
                Ok((message.bytes, path.map_or(Client::Unnamed, Client::Path)))
            }
        }
    } else {
        type Passed = std::convert::Infallible;

        fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<Passed>)> {
            use std::io::Read as _;

            let mut stream = stream;
            Ok((stream.read(buffer)?, Vec::new()))
        }

        impl DatagramHooks for KeepsWithDatagram {}
    }
}
