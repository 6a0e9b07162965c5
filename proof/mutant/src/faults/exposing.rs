//! Faults that expose something to others than the clients: addresses that the server was not
//! given, and descriptors that a program inherits when the server executes it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

use mio::net::TcpStream;
use socket2::{SockRef, Socket, Type};

use super::Fault;
use crate::hooks::{Admission, Hooks};
use crate::process::{Ip, Port, ProcessHooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::process(
        "any-address",
        "Listens on all addresses of the family, not only on the one that it was given",
        &AnyAddress { of: Ip::Tcp, only_ipv6: false },
    ),
    Fault::process(
        "any-address-ipv6",
        "Listens on all IPv6 addresses, not only on the one that it was given",
        &AnyAddress { of: Ip::Tcp, only_ipv6: true },
    ),
    Fault::process(
        "any-address-udp",
        "Receives datagrams on all addresses, not only on the one that it was given",
        &AnyAddress { of: Ip::Udp, only_ipv6: false },
    ),
    Fault::process(
        "loopback-of-both-families",
        "Also listens on ::1 when it is given 127.0.0.1",
        &BothLoopbacks,
    ),
    Fault::process("second-door", "Opens an extra listener on all addresses", &SecondDoor),
    Fault::new("inheritable", "Leaves accepted connections open across exec", || {
        Box::new(Inheritable)
    }),
    Fault::process(
        "inheritable-listener",
        "Leaves its listeners open across exec",
        &InheritableSockets(Type::STREAM),
    ),
    Fault::process(
        "inheritable-datagrams",
        "Leaves its datagram sockets open across exec",
        &InheritableSockets(Type::DGRAM),
    ),
    Fault::process("inheritable-pipe", "Leaves a pipe open across exec", &InheritablePipe),
];

struct AnyAddress {
    of: Ip,
    only_ipv6: bool,
}

impl ProcessHooks for AnyAddress {
    fn binds(&self, asked: SocketAddr, transport: Ip) -> SocketAddr {
        let any: IpAddr = match asked {
            SocketAddr::V4(_) if self.only_ipv6 => return asked,
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        if transport == self.of { SocketAddr::new(any, asked.port()) } else { asked }
    }
}

/// Sockets and files that stay open for as long as the process lives.
static KEPT: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

fn keep(file: impl Send + 'static) {
    if let Ok(mut kept) = KEPT.lock() {
        kept.push(Box::new(file));
    }
}

struct BothLoopbacks;

impl ProcessHooks for BothLoopbacks {
    fn bound(&self, ports: &[Port]) -> io::Result<()> {
        for port in ports {
            // This fails if there is no IPv6, or if another listener has the port.
            if let Ok(other) = TcpListener::bind((Ipv6Addr::LOCALHOST, port.bound)) {
                keep(other);
            }
        }
        Ok(())
    }
}

struct SecondDoor;

impl ProcessHooks for SecondDoor {
    fn bound(&self, _ports: &[Port]) -> io::Result<()> {
        keep(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?);
        Ok(())
    }
}

struct Inheritable;

impl Hooks for Inheritable {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        let _ = leave_open_on_exec(&SockRef::from(&*stream));
        Admission::Serve
    }
}

struct InheritableSockets(Type);

impl ProcessHooks for InheritableSockets {
    fn bound_one(&self, socket: &Socket) -> io::Result<()> {
        if socket.r#type()? == self.0 { leave_open_on_exec(socket) } else { Ok(()) }
    }
}

struct InheritablePipe;

impl ProcessHooks for InheritablePipe {
    #[cfg(unix)]
    fn bound(&self, _ports: &[Port]) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty())?;
        keep((reader, writer));
        Ok(())
    }
}

#[cfg(unix)]
fn leave_open_on_exec(socket: &Socket) -> io::Result<()> {
    socket.set_cloexec(false)
}

#[cfg(not(unix))]
fn leave_open_on_exec(_: &Socket) -> io::Result<()> {
    Ok(())
}
